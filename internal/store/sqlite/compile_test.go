package sqlite

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

const someID = "00112233445566778899aabbccddeeff"

func idBytes(t *testing.T, text string) []byte {
	t.Helper()
	id, err := record.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id[:]
}

func TestFilterBecomesTextAndArguments(t *testing.T) {
	eight := []string{"a", "b", "c", "d", "e", "f", "g", "h\x00"}
	tests := map[string]struct {
		filter   query.Filter
		wantText string
		wantArgs []any
	}{
		"a keyword is compared as text": {
			query.Equal{Field: "user_id", Value: "a%_\\'\x00"}, "d.user_id = ?", []any{"a%_\\'\x00"}},
		"an id is compared as bytes, and hidden from the planner": {
			query.Equal{Field: "id", Value: someID}, "+d.id = ?", []any{idBytes(t, someID)}},
		"a number is compared as one": {
			query.Equal{Field: "response_code", Value: "404"}, "d.response_code = ?", []any{int64(404)}},
		"an instant is compared in microseconds": {
			query.Equal{Field: "ingest_time", Value: "1970-01-01T00:00:01.000002Z"}, "d.ingest_time = ?", []any{int64(1000002)}},
		"an address is compared with its family": {
			query.Equal{Field: "source_ip", Value: "10.0.0.1"}, "d.source_ip = ?", []any{[]byte("4\x0a\x00\x00\x01")}},
		"few values are bound one by one": {
			query.AnyOf{Field: "user_id", Values: []string{"a", "b"}}, "d.user_id IN (?, ?)", []any{"a", "b"}},
		"many values are bound as one array": {
			query.AnyOf{Field: "user_id", Values: eight}, "d.user_id IN (SELECT value FROM json_each(?))",
			[]any{`["a","b","c","d","e","f","g","h\u0000"]`}},
		"a prefix is a range of bytes": {
			query.Prefix{Field: "user_id", Value: "a%"}, "(d.user_id >= ? AND d.user_id < ?)", []any{"a%", "a&"}},
		"the end of a prefix may be no valid text": {
			query.Prefix{Field: "user_id", Value: "\u00bf"}, "(d.user_id >= ? AND d.user_id < ?)", []any{"\u00bf", "\xc2\xc0"}},
		"the replacement character ends a prefix like any other": {
			query.Prefix{Field: "user_id", Value: "\ufffd"}, "(d.user_id >= ? AND d.user_id < ?)", []any{"\ufffd", "\xef\xbf\xbe"}},
		"a range has the bounds it was given": {
			query.Range{Field: "response_code", Min: "400"}, "(d.response_code >= ?)", []any{int64(400)}},
		"a range of both bounds is half-open": {
			query.Range{Field: "action", Min: "a", Max: "b"}, "(d.action >= ? AND d.action < ?)", []any{"a", "b"}},
		"a network is the range from its first address to its last": {
			query.CIDR{Field: "source_ip", Net: netip.MustParsePrefix("10.1.0.0/15")}, "(d.source_ip >= ? AND d.source_ip <= ?)",
			[]any{[]byte("4\x0a\x00\x00\x00"), []byte("4\x0a\x01\xff\xff")}},
		"every IPv6 address is no IPv4 one": {
			query.CIDR{Field: "source_ip", Net: netip.MustParsePrefix("::/0")}, "(d.source_ip >= ? AND d.source_ip <= ?)",
			[]any{[]byte("6" + strings.Repeat("\x00", 16)), []byte("6" + strings.Repeat("\xff", 16))}},
		"a field exists when it is not null": {query.Exists{Field: "session"}, "d.session IS NOT NULL", nil},
		"not is the complement also of what is null": {
			query.Not{Filter: query.Equal{Field: "outcome", Value: "x"}}, "(d.outcome = ?) IS NOT TRUE", []any{"x"}},
		"a long or is balanced": {
			query.Or{query.Exists{Field: "session"}, query.Exists{Field: "action"}, query.Exists{Field: "outcome"}, query.Exists{Field: "cluster"}},
			"((d.session IS NOT NULL OR d.action IS NOT NULL) OR (d.outcome IS NOT NULL OR d.cluster IS NOT NULL))", nil},
		"an empty and holds":     {query.And{}, "?", []any{int64(1)}},
		"an empty or never does": {query.Or{}, "?", []any{int64(0)}},
		"each word is looked up": {
			query.Text{Words: []string{"a", "b"}},
			"((EXISTS (SELECT 1 FROM audit_word AS w WHERE w.word = ? AND w.time = d.time AND w.id = d.id)) IS TRUE AND " +
				"(EXISTS (SELECT 1 FROM audit_word AS w WHERE w.word = ? AND w.time = d.time AND w.id = d.id)) IS TRUE)", []any{"a", "b"}},
		"the parts of an attribute are those of one row": {
			query.Attribute{Type: []string{"t"}, Name: []string{"n", "m"}},
			"(EXISTS (SELECT 1 FROM audit_attribute AS p WHERE p.ref = d.ref AND p.attribute_type = ? AND " +
				"p.attribute_name IN (?, ?))) IS TRUE", []any{"t", "n", "m"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := &compiler{layout: layouts()[record.KindAudit]}
			c.filter(test.filter, "d")
			got, err := c.done()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(statement{test.wantText, test.wantArgs}, got, cmp.AllowUnexported(statement{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestFilterThatWasNotValidatedIsRefused(t *testing.T) {
	tests := map[string]struct {
		kind   record.Kind
		filter query.Filter
	}{
		"an unknown field":               {record.KindAudit, query.Equal{Field: "doc", Value: "x"}},
		"text that would be SQL":         {record.KindAudit, query.Equal{Field: "1 OR 1", Value: "x"}},
		"no filter":                      {record.KindAudit, query.Not{}},
		"a number that is none":          {record.KindAudit, query.Equal{Field: "response_code", Value: "x"}},
		"an address that is none":        {record.KindAudit, query.AnyOf{Field: "source_ip", Values: []string{"x"}}},
		"an instant that is none":        {record.KindAudit, query.Range{Field: "time", Min: "x"}},
		"a range of addresses":           {record.KindAudit, query.Range{Field: "source_ip", Min: "::"}},
		"a prefix of a number":           {record.KindAudit, query.Prefix{Field: "response_code", Value: "4"}},
		"a range without bounds":         {record.KindAudit, query.Range{Field: "action"}},
		"an attribute of an AuthAudit":   {record.KindAuthAudit, query.Attribute{ID: []string{"x"}}},
		"a field of the other kind only": {record.KindAuthAudit, query.Equal{Field: "action", Value: "x"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := layouts()[test.kind]
			p := makePlan(l, query.Query{Kind: test.kind, Scope: query.All(), Filter: test.filter})
			if st, err := pageStatement(l, p, 10); err == nil {
				t.Errorf("it became %s", st.text)
			}
		})
	}
}
