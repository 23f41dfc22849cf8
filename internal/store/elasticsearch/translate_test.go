package elasticsearch

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

func TestTranslate(t *testing.T) {
	id := strings.Repeat("0", 31) + "1"
	long := strings.Repeat("a", maxIndexedBytes) + "é"
	cases := map[string]struct {
		filter query.Filter
		want   string
	}{
		"equality":                    {query.Equal{Field: "user_id", Value: `a"b`}, `{"term":{"user_id":"a\"b"}}`},
		"any of":                      {query.AnyOf{Field: "user_id", Values: []string{"a", "b"}}, `{"terms":{"user_id":["a","b"]}}`},
		"a number is written as text": {query.Equal{Field: "response_code", Value: "200"}, `{"term":{"response_code":"200"}}`},
		"a time is a range of itself": {query.Equal{Field: "time", Value: "2026-11-01T00:00:00.000001Z"},
			`{"range":{"time":{"gte":"2026-11-01T00:00:00.000001Z","lte":"2026-11-01T00:00:00.000001Z"}}}`},
		"any of two times": {query.AnyOf{Field: "time", Values: []string{"T1", "T2"}},
			`{"bool":{"should":[{"range":{"time":{"gte":"T1","lte":"T1"}}},{"range":{"time":{"gte":"T2","lte":"T2"}}}],"minimum_should_match":1}}`},
		"an id is the document's": {query.Equal{Field: "id", Value: id}, `{"ids":{"values":["` + id + `"]}}`},
		"every record has an id":  {query.Exists{Field: "id"}, `{"match_all":{}}`},
		"ids are ordered by their halves": {query.Range{Field: "id", Min: id},
			`{"bool":{"filter":[{"bool":{"should":[{"range":{"id_high":{"gt":"-9223372036854775808"}}},` +
				`{"bool":{"filter":[{"term":{"id_high":"-9223372036854775808"}},{"range":{"id_low":{"gte":"-9223372036854775807"}}}]}}],` +
				`"minimum_should_match":1}}]}}`},
		"a whole id as a prefix":   {query.Prefix{Field: "id", Value: id}, `{"ids":{"values":["` + id + `"]}}`},
		"prefix":                   {query.Prefix{Field: "user_id", Value: "a*"}, `{"prefix":{"user_id":"a*"}}`},
		"presence":                 {query.Exists{Field: "session"}, `{"exists":{"field":"session"}}`},
		"a half-open range":        {query.Range{Field: "user_id", Min: "a", Max: "b"}, `{"range":{"user_id":{"gte":"a","lt":"b"}}}`},
		"a range with an open end": {query.Range{Field: "response_code", Max: "400"}, `{"range":{"response_code":{"lt":"400"}}}`},
		"a long bound compares the column": {query.Range{Field: "user_id", Min: long},
			`{"range":{"user_id.order":{"gte":"` + long + `"}}}`},
		"a long prefix is narrowed by its beginning": {query.Prefix{Field: "user_id", Value: long},
			`{"bool":{"filter":[{"prefix":{"user_id":"` + long[:maxIndexedBytes] + `"}},{"range":{"user_id.order":{"gte":"` + long +
				`","lt":"` + long[:maxIndexedBytes] + `ê"}}}]}}`},
		"an IPv4 network": {query.CIDR{Field: "source_ip", Net: netip.MustParsePrefix("10.0.0.0/8")}, `{"term":{"source_ip":"10.0.0.0/8"}}`},
		"an IPv6 network": {query.CIDR{Field: "source_ip", Net: netip.MustParsePrefix("2001:db8::/32")}, `{"term":{"source_ip":"2001:db8::/32"}}`},
		"an IPv6 network around the mapped IPv4 addresses has none of them": {
			query.CIDR{Field: "source_ip", Net: netip.MustParsePrefix("::/0")},
			`{"bool":{"filter":[{"term":{"source_ip":"::/0"}}],"must_not":[{"term":{"source_ip":"0.0.0.0/0"}}]}}`},
		"every word": {query.Text{Words: []string{"shop", "web"}}, `{"bool":{"filter":[{"term":{"words":"shop"}},{"term":{"words":"web"}}]}}`},
		"the parts of one attribute": {query.Attribute{Type: []string{"a"}, Name: []string{"b", "c"}},
			`{"nested":{"path":"audit_attributes","score_mode":"none","query":{"bool":{"filter":[{"term":{"audit_attributes.attribute_type":"a"}},` +
				`{"terms":{"audit_attributes.attribute_name":["b","c"]}}]}}}}`},
		"the complement": {query.Not{Filter: query.Exists{Field: "session"}}, `{"bool":{"must_not":[{"exists":{"field":"session"}}]}}`},
		"all of none":    {query.And{}, `{"match_all":{}}`},
		"one of none":    {query.Or{}, `{"match_none":{}}`},
		"one of two": {query.Or{query.Exists{Field: "session"}, query.And{query.Exists{Field: "org_id"}}},
			`{"bool":{"should":[{"exists":{"field":"session"}},{"bool":{"filter":[{"exists":{"field":"org_id"}}]}}],"minimum_should_match":1}}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := translate(record.NewSchema(record.KindAudit), c.filter)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got.appendTo(nil))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestManyValuesAreSplit(t *testing.T) {
	values := make([]string, maxTerms+1)
	for i := range values {
		values[i] = "v"
	}
	got := oneOf("org_id", values)
	parts, ok := got.(anyOf)
	if !ok || len(parts) != 2 || len(parts[0].(terms).values) != maxTerms || len(parts[1].(terms).values) != 1 {
		t.Errorf("got %T of %d parts", got, len(parts))
	}
}

func TestAfterPrefix(t *testing.T) {
	cases := map[string]struct{ prefix, want string }{
		"a letter":                       {"ab", "ac"},
		"the last code point is dropped": {"a\U0010FFFF", "b"},
		"nothing follows":                {"\U0010FFFF", ""},
		"surrogates are no characters":   {"\uD7FF", "\uE000"},
		"one byte grows into two":        {"\x7F", "\u0080"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := afterPrefix(c.prefix); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestSearchBody(t *testing.T) {
	s := &Store{schemas: map[record.Kind]*record.Schema{record.KindAudit: record.NewSchema(record.KindAudit)}}
	valid := func(modify ...func(*query.Query)) query.Query {
		q := query.Query{Kind: record.KindAudit, Scope: query.All(), Limit: 2}
		for _, m := range modify {
			m(&q)
		}
		return q
	}
	const head = `{"size":3,"track_total_hits":false,"sort":[{"time":"desc"},{"id_high":"desc"},{"id_low":"desc"}]`
	after := &query.Position{Micros: date(2026, 11, 1).UnixMicro(), ID: [16]byte{0: 0x80, 15: 1}}
	cases := map[string]struct {
		query   query.Query
		want    string
		wantErr bool
	}{
		"everything": {query: valid(), want: head + `,"query":{"match_all":{}}}`},
		"scope, window and filter": {query: valid(func(q *query.Query) {
			q.Scope = query.Scope{Name: "namespace/a", Restrict: query.Equal{Field: "org_id", Value: "a"}}
			q.From, q.To = date(2026, 10, 1), date(2026, 11, 1)
			q.Filter = query.Exists{Field: "session"}
		}), want: head + `,"query":{"bool":{"filter":[{"range":{"time":{"gte":"2026-10-01T00:00:00.000000Z","lt":"2026-11-01T00:00:00.000000Z"}}},` +
			`{"term":{"org_id":"a"}},{"exists":{"field":"session"}}]}}}`},
		"a cursor bounds the time": {query: valid(func(q *query.Query) { q.After = after; q.To = date(2026, 12, 1) }),
			want: head + `,"search_after":["2026-11-01T00:00:00.000000Z",0,-9223372036854775807],` +
				`"query":{"bool":{"filter":[{"range":{"time":{"lte":"2026-11-01T00:00:00.000000Z"}}}]}}}`},
		"a cursor at the end of the window": {query: valid(func(q *query.Query) { q.After = after; q.To = date(2026, 11, 1) }),
			want: head + `,"search_after":["2026-11-01T00:00:00.000000Z",0,-9223372036854775807],` +
				`"query":{"bool":{"filter":[{"range":{"time":{"lt":"2026-11-01T00:00:00.000000Z"}}}]}}}`},
		"no scope is refused": {query: valid(func(q *query.Query) { q.Scope = query.Scope{} }), wantErr: true},
		"no kind is refused":  {query: valid(func(q *query.Query) { q.Kind = "Other" }), wantErr: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := s.pageSearch(c.query, 3, noTotals)
			if (err != nil) != c.wantErr {
				t.Fatalf("error %v, want one: %v", err, c.wantErr)
			}
			if diff := cmp.Diff(c.want, string(got.body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
