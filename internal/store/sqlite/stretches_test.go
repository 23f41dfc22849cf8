package sqlite

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// date is midnight UTC of a day.
func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// in sets the time and the org of a record.
func in(at time.Time, org string) func(*record.Audit) {
	return func(a *record.Audit) { a.Time, a.OrgID = record.At(at), org }
}

func TestStretchesAreTheMonthsThatHoldRecords(t *testing.T) {
	last := func(of time.Time) time.Time { return of.Add(-time.Microsecond) }
	march, april, may := date(2025, 3, 1), date(2025, 4, 1), date(2025, 5, 1)
	month := func(name string, from, to time.Time, orgs ...store.Stock) store.Stretch {
		return store.Stretch{Kind: record.KindAudit, Name: name, From: from, To: to, Orgs: orgs}
	}
	tests := map[string]struct {
		records []record.Record
		want    []store.Stretch
	}{
		"nothing": {},
		"the ends of a month belong to it": {
			[]record.Record{audit(1, in(march, "shop")), audit(2, in(last(april), "shop")), audit(3, in(april, "shop"))},
			[]store.Stretch{
				month("2025-03", march, april, store.Stock{OrgID: "shop", Records: 2, Oldest: march, Newest: last(april)}),
				month("2025-04", april, may, store.Stock{OrgID: "shop", Records: 1, Oldest: april, Newest: april})}},
		"orgs are apart, and none comes first": {
			[]record.Record{audit(1, in(march.Add(1*time.Hour), "shop")), audit(2, in(march.Add(2*time.Hour), "")),
				audit(3, in(march.Add(3*time.Hour), "bank")), audit(4, in(march.Add(4*time.Hour), "")), audit(5, in(march.Add(5*time.Hour), "shop"))},
			[]store.Stretch{month("2025-03", march, april,
				store.Stock{Records: 2, Oldest: march.Add(2 * time.Hour), Newest: march.Add(4 * time.Hour)},
				store.Stock{OrgID: "bank", Records: 1, Oldest: march.Add(3 * time.Hour), Newest: march.Add(3 * time.Hour)},
				store.Stock{OrgID: "shop", Records: 2, Oldest: march.Add(1 * time.Hour), Newest: march.Add(5 * time.Hour)})}},
		"months without records are left out, and a leap day is a day": {
			[]record.Record{audit(1, in(date(1970, 1, 1), "")), audit(2, in(date(2024, 2, 29), "shop")), audit(3, in(date(2261, 12, 31), "bank"))},
			[]store.Stretch{
				month("1970-01", date(1970, 1, 1), date(1970, 2, 1), store.Stock{Records: 1, Oldest: date(1970, 1, 1), Newest: date(1970, 1, 1)}),
				month("2024-02", date(2024, 2, 1), date(2024, 3, 1), store.Stock{OrgID: "shop", Records: 1, Oldest: date(2024, 2, 29), Newest: date(2024, 2, 29)}),
				month("2261-12", date(2261, 12, 1), date(2262, 1, 1), store.Stock{OrgID: "bank", Records: 1, Oldest: date(2261, 12, 31), Newest: date(2261, 12, 31)})}},
		"the other kind is not counted": {
			[]record.Record{&record.AuthAudit{Common: record.Common{ID: record.ID{1}, Time: record.At(march), OrgID: "shop"}}, audit(1, in(april, "shop"))},
			[]store.Stretch{month("2025-04", april, may, store.Stock{OrgID: "shop", Records: 1, Oldest: april, Newest: april})}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{})
			mustAppend(t, s, test.records...)
			got, err := s.Stretches(t.Context(), record.KindAudit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(store.Stretch{}, "Bytes")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestBytesOfAStretchAreItsPartOfTheFile(t *testing.T) {
	s := open(t, Options{})
	if stretches, err := s.Stretches(t.Context(), record.KindAudit); err != nil || len(stretches) != 0 {
		t.Fatalf("%v, %v, want nothing of an empty file", stretches, err)
	}
	var records []record.Record
	for i := range 4000 {
		records = append(records, audit(i, in(date(2025, time.Month(1+min(i/1000, 1)), 1+i%20), "shop")))
	}
	mustAppend(t, s, records...)
	stretches, err := s.Stretches(t.Context(), record.KindAudit)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := s.pragma(t.Context(), "page_count")
	if err != nil {
		t.Fatal(err)
	}
	if len(stretches) != 2 {
		t.Fatalf("%d months, want 2", len(stretches))
	}
	file := pages * pageBytes
	if a, b := stretches[0].Bytes, stretches[1].Bytes; b < 3*a-3 || b > 3*a+3 || a+b > file || a+b < file-2 {
		t.Errorf("1,000 records have %d bytes and 3,000 %d, want a quarter and the rest of %d", a, b, file)
	}
}

func TestStretchesReadIndicesOnly(t *testing.T) {
	s := open(t, Options{})
	for _, l := range s.layouts {
		for want, statement := range map[string]string{
			"SEARCH c USING COVERING INDEX " + l.index("time") + " (time>? AND time<?)":                l.stockStatement(l.byMonth()),
			"SEARCH c USING COVERING INDEX " + l.index("org_id") + " (org_id=? AND time>? AND time<?)": l.stockStatement(l.byOrgAndMonth()),
			"SEARCH n USING COVERING INDEX " + l.index("time") + " (time>?)":                           l.stockStatement(l.byMonth()),
			"SEARCH n USING COVERING INDEX " + l.index("org_id") + " ((org_id,time)>(?,?)":             l.stockStatement(l.byOrgAndMonth()),
		} {
			wantPlan(t, s, statement, nil, want)
		}
	}
}
