package tenancy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

func orgs(ids ...string) query.Filter { return oneOf(ids) }

func from(seconds float64) query.Filter {
	return query.Range{Field: fieldTime, Min: record.At(at(seconds)).String()}
}

func before(seconds float64) query.Filter {
	return query.Range{Field: fieldTime, Max: record.At(at(seconds)).String()}
}

func TestNarrow(t *testing.T) {
	tests := map[string]struct {
		from, to time.Time
		filter   query.Filter
		want     query.Filter
	}{
		"without a window nothing changes": {
			filter: query.And{orgs("a"), from(5)}, want: query.And{orgs("a"), from(5)},
		},
		"a time before the window is no condition": {
			from: at(5), filter: query.And{orgs("a"), from(5)}, want: orgs("a"),
		},
		"a time inside the window stays": {
			from: at(5), to: at(6), filter: query.And{orgs("a"), from(5.000001)}, want: query.And{orgs("a"), from(5.000001)},
		},
		"a time from the window's end on holds for nothing": {
			to: at(5), filter: query.And{orgs("a"), from(5)}, want: query.Or{},
		},
		"an end before the window holds for nothing": {
			from: at(5), filter: before(5), want: query.Or{},
		},
		"an end after the window is no condition": {
			to: at(5), filter: before(5), want: query.And{},
		},
		"not nothing is everything": {
			to: at(5), filter: query.Not{Filter: from(5)}, want: query.And{},
		},
		"not everything is nothing": {
			from: at(5), filter: query.Not{Filter: from(5)}, want: query.Or{},
		},
		"lists of either are joined": {
			from: at(5), filter: query.Or{orgs("b", "d"), query.And{orgs("a"), from(2)}, query.And{orgs("c"), from(7)}, orgs("b")},
			want: query.Or{orgs("a", "b", "d"), query.And{orgs("c"), from(7)}},
		},
		"of lists of both only what they share is left": {
			from: at(5), filter: query.And{orgs("a", "b", "c"), query.Or{query.And{orgs("b"), from(4)}, query.And{orgs("c", "d"), from(5)}}},
			want: orgs("b", "c"),
		},
		"lists of both that share nothing hold for nothing": {
			from: at(5), filter: query.And{orgs("a", "b"), query.And{orgs("c", "d"), from(5)}}, want: query.Or{},
		},
		"other fields are left alone": {
			from: at(5), filter: query.Or{query.Equal{Field: "user_id", Value: "a"}, query.Range{Field: "ingest_time", Min: "x"}},
			want: query.Or{query.Equal{Field: "user_id", Value: "a"}, query.Range{Field: "ingest_time", Min: "x"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			scope := query.Scope{Name: "namespace/x", Restrict: tc.filter}
			want := query.Scope{Name: "namespace/x", Restrict: tc.want}
			if diff := cmp.Diff(want, Narrow(scope, tc.from, tc.to)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(query.All(), Narrow(query.All(), at(1), at(2))); diff != "" {
		t.Errorf("the scope of all was changed (-want +got):\n%s", diff)
	}
}
