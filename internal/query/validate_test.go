package query_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"auditquery.dev/auditquery/internal/query"
)

func compare() cmp.Option {
	return cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
}

func nested(depth int) query.Filter {
	var f query.Filter = query.Exists{Field: "user"}
	for range depth - 1 {
		f = query.Not{Filter: f}
	}
	return f
}

func values(count int) []string {
	out := make([]string, count)
	for i := range out {
		out[i] = fmt.Sprintf("v%05d", i)
	}
	return out
}

func exists(count int) []query.Filter {
	out := make([]query.Filter, count)
	for i := range out {
		out[i] = query.Exists{Field: "user"}
	}
	return out
}

// stranger is a filter that this package did not declare.
type stranger struct{ query.Filter }

// refusal is a query that is refused, the place that the error names, and a part
// of what it says.
type refusal struct {
	query       query.Query
	wantPath    string
	wantMessage string
}

func testRefusals(t *testing.T, tests map[string]refusal) {
	t.Helper()
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := query.Validate(tc.query, schema{attributes: true})
			var invalid *query.Error
			if !errors.As(err, &invalid) {
				t.Fatalf("got %+v and the error %v, want a *query.Error", got, err)
			}
			if invalid.Path != tc.wantPath {
				t.Errorf("path %q, want %q", invalid.Path, tc.wantPath)
			}
			if !strings.Contains(invalid.Message, tc.wantMessage) || !strings.Contains(err.Error(), tc.wantPath) {
				t.Errorf("%q should name %q and say %q", err, tc.wantPath, tc.wantMessage)
			}
			if diff := cmp.Diff(query.Query{}, got); diff != "" {
				t.Errorf("a refused query must not be returned:\n%s", diff)
			}
		})
	}
}

func TestValidateRefusesQueries(t *testing.T) {
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	testRefusals(t, map[string]refusal{
		"another kind":              {valid(func(q *query.Query) { q.Kind = "Other" }), "kind", `"Other"`},
		"no rows":                   {valid(func(q *query.Query) { q.Limit = 0 }), "limit", "between 1 and 500"},
		"a negative limit":          {valid(func(q *query.Query) { q.Limit = -1 }), "limit", "-1"},
		"more rows than a page":     {valid(func(q *query.Query) { q.Limit = 501 }), "limit", "501"},
		"no scope":                  {valid(func(q *query.Query) { q.Scope = query.Scope{} }), "scope", "no scope"},
		"a scope without a filter":  {valid(func(q *query.Query) { q.Scope = query.Scope{Name: "namespace/a"} }), "scope", "namespace/a"},
		"a filter without a scope":  {valid(func(q *query.Query) { q.Scope = query.Scope{Restrict: query.Or{}} }), "scope", "no scope"},
		"a window that is empty":    {valid(func(q *query.Query) { q.From, q.To = day, day }), "from", "is not before to"},
		"a window that is reversed": {valid(func(q *query.Query) { q.From, q.To = day, day.Add(-1) }), "from", "2026-11-01"},
		"an invalid scope filter": {
			valid(func(q *query.Query) {
				q.Scope = query.Scope{Name: "n", Restrict: query.Equal{Field: "nope", Value: "x"}}
			}), "scope.nope", `"nope"`,
		},
	})
}

func TestValidateRefusesPredicates(t *testing.T) {
	testRefusals(t, map[string]refusal{
		"an unknown field":            {filtered(query.Equal{Field: "nope", Value: "x"}), "nope", "code, ip, org, time, user"},
		"an unknown field, any of":    {filtered(query.AnyOf{Field: "nope", Values: []string{"x"}}), "nope", `"nope"`},
		"an unknown field, prefix":    {filtered(query.Prefix{Field: "nope", Value: "x"}), "nope", `"nope"`},
		"an unknown field, exists":    {filtered(query.Exists{Field: "nope"}), "nope", `"nope"`},
		"an unknown field, range":     {filtered(query.Range{Field: "nope", Min: "x"}), "nope", `"nope"`},
		"an unknown field, CIDR":      {filtered(query.CIDR{Field: "nope", Net: netip.MustParsePrefix("::/0")}), "nope", `"nope"`},
		"a field without a name":      {filtered(query.Exists{}), "", "field"},
		"an empty value":              {filtered(query.Equal{Field: "user"}), "user", "empty"},
		"an empty value, any of":      {filtered(query.AnyOf{Field: "user", Values: []string{"a", ""}}), "user", "empty"},
		"an empty prefix":             {filtered(query.Prefix{Field: "user"}), "user", "empty"},
		"no value":                    {filtered(query.AnyOf{Field: "user"}), "user", "at least one"},
		"too many values":             {filtered(query.AnyOf{Field: "user", Values: values(1025)}), "user", "1025"},
		"a prefix of a number":        {filtered(query.Prefix{Field: "code", Value: "2"}), "code", "integer"},
		"a prefix of an address":      {filtered(query.Prefix{Field: "ip", Value: "10."}), "ip", "ip"},
		"a range without bounds":      {filtered(query.Range{Field: "user"}), "user", "bound"},
		"a range of addresses":        {filtered(query.Range{Field: "ip", Min: "10.0.0.1"}), "ip", "CIDR"},
		"a lower bound that is none":  {filtered(query.Range{Field: "code", Min: "x"}), "code", `"x"`},
		"an upper bound that is none": {filtered(query.Range{Field: "time", Max: "soon"}), "time", `"soon"`},
		"a CIDR of a text":            {filtered(query.CIDR{Field: "user", Net: netip.MustParsePrefix("::/0")}), "user", "keyword"},
		"a CIDR that is none":         {filtered(query.CIDR{Field: "ip"}), "ip", "not valid"},
		"an address that is none":     {filtered(query.Equal{Field: "ip", Value: "10.0.0"}), "ip", `"10.0.0"`},
		"a number that is none":       {filtered(query.AnyOf{Field: "code", Values: []string{"1", "1.5"}}), "code", `"1.5"`},
		"a time that is none":         {filtered(query.Equal{Field: "time", Value: "now"}), "time", `"now"`},
		"a text without words":        {filtered(query.Text{Words: []string{" ", ""}}), "text", "no letter or digit"},
		"no text":                     {filtered(query.Text{}), "text", "no letter or digit"},
		"too many words":              {filtered(query.Text{Words: values(65)}), "text", "65"},
	})
}

func TestValidateRefusesTrees(t *testing.T) {
	testRefusals(t, map[string]refusal{
		"an attribute without parts": {filtered(query.Attribute{}), "attribute", "needs"},
		"an empty part":              {filtered(query.Attribute{OrgID: []string{""}}), "attribute.attribute_org_id", "empty"},
		"too many parts":             {filtered(query.Attribute{Name: values(1025)}), "attribute.attribute_name", "1025"},
		"a missing filter":           {filtered(query.Not{}), "not.filter", "missing"},
		"a missing filter of two":    {filtered(query.And{query.Exists{Field: "user"}, nil}), "and[1].filter", "missing"},
		"a filter of no store":       {filtered(stranger{}), "filter", "stranger"},
		"a wrong value deep inside": {
			filtered(query.Not{Filter: query.Or{query.Exists{Field: "user"}, query.And{query.Equal{Field: "code", Value: "x"}}}}),
			"not.or[1].and[0].code", `"x"`,
		},
		"17 levels":     {filtered(nested(17)), strings.Repeat("not.", 16) + "filter", "deeper than 16"},
		"1,025 filters": {filtered(query.And(exists(1024))), "and[1023].filter", "more than 1024"},
	})
}

func TestValidateRefusesAttributesOfRecordsWithoutThem(t *testing.T) {
	_, err := query.Validate(filtered(query.Attribute{Type: []string{"a"}}), schema{})
	var invalid *query.Error
	if !errors.As(err, &invalid) || invalid.Path != "attribute" {
		t.Errorf("got %v", err)
	}
}

// canonical is a filter and what validation makes of it.
type canonical struct{ filter, want query.Filter }

func testCanonical(t *testing.T, tests map[string]canonical) {
	t.Helper()
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := query.Validate(filtered(tc.filter), schema{attributes: true})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Filter, compare()); diff != "" {
				t.Errorf("filter (-want +got):\n%s", diff)
			}
			again, err := query.Validate(got, schema{attributes: true})
			if err != nil {
				t.Fatalf("the canonical form is refused: %v", err)
			}
			if diff := cmp.Diff(got, again, compare()); diff != "" {
				t.Errorf("validating twice changes the query:\n%s", diff)
			}
		})
	}
}

func TestValidateCanonicalisesValues(t *testing.T) {
	testCanonical(t, map[string]canonical{
		"no filter":                       {nil, nil},
		"long text is cut":                {query.Equal{Field: "user", Value: "123456789"}, query.Equal{Field: "user", Value: "12345678"}},
		"a long prefix is cut":            {query.Prefix{Field: "user", Value: "123456789"}, query.Prefix{Field: "user", Value: "12345678"}},
		"text keeps its case and spaces":  {query.Equal{Field: "user", Value: " Ab\x00"}, query.Equal{Field: "user", Value: " Ab\x00"}},
		"numbers are plain":               {query.Equal{Field: "code", Value: "+0200"}, query.Equal{Field: "code", Value: "200"}},
		"addresses are short":             {query.Equal{Field: "ip", Value: "2001:DB8:0::1"}, query.Equal{Field: "ip", Value: "2001:db8::1"}},
		"one of one is equality":          {query.AnyOf{Field: "user", Values: []string{"a"}}, query.Equal{Field: "user", Value: "a"}},
		"values are sorted and told once": {query.AnyOf{Field: "user", Values: []string{"b", "a", "b"}}, query.AnyOf{Field: "user", Values: []string{"a", "b"}}},
		"values that are equal once cut":  {query.AnyOf{Field: "user", Values: []string{"123456789", "12345678"}}, query.Equal{Field: "user", Value: "12345678"}},
		"1,024 values":                    {query.AnyOf{Field: "user", Values: values(1024)}, query.AnyOf{Field: "user", Values: values(1024)}},
		"words are split and told once":   {query.Text{Words: []string{"Web in", "WEB"}}, query.Text{Words: []string{"in", "web"}}},
		"64 words":                        {query.Text{Words: values(64)}, query.Text{Words: values(64)}},
		"attribute parts are cut and told once": {
			query.Attribute{Type: []string{"b", "123456789", "a", "b"}}, query.Attribute{Type: []string{"12345678", "a", "b"}},
		},
	})
}

func TestValidateCanonicalisesNetworks(t *testing.T) {
	prefix := netip.MustParsePrefix
	testCanonical(t, map[string]canonical{
		"a CIDR is masked":                   {query.CIDR{Field: "ip", Net: prefix("10.1.2.3/8")}, query.CIDR{Field: "ip", Net: prefix("10.0.0.0/8")}},
		"an IPv4-mapped CIDR is IPv4":        {query.CIDR{Field: "ip", Net: prefix("::ffff:10.1.2.3/104")}, query.CIDR{Field: "ip", Net: prefix("10.0.0.0/8")}},
		"all IPv4-mapped addresses are IPv4": {query.CIDR{Field: "ip", Net: prefix("::ffff:0:0/96")}, query.CIDR{Field: "ip", Net: prefix("0.0.0.0/0")}},
		"one IPv4-mapped address":            {query.CIDR{Field: "ip", Net: prefix("::ffff:1.2.3.4/128")}, query.CIDR{Field: "ip", Net: prefix("1.2.3.4/32")}},
		"a network around the mapped ones":   {query.CIDR{Field: "ip", Net: prefix("::ffff:1.2.3.4/95")}, query.CIDR{Field: "ip", Net: prefix("::fffe:0:0/95")}},
		"all IPv6 stays all IPv6":            {query.CIDR{Field: "ip", Net: prefix("::/0")}, query.CIDR{Field: "ip", Net: prefix("::/0")}},
	})
}

func TestValidateCanonicalisesTrees(t *testing.T) {
	testCanonical(t, map[string]canonical{
		"empty and, empty or": {query.And{query.Or{}}, query.And{query.Or{}}},
		"16 levels":           {nested(16), nested(16)},
		"1,024 filters":       {query.And(exists(1023)), query.And(exists(1023))},
		"a range of text":     {query.Range{Field: "user", Min: "123456789"}, query.Range{Field: "user", Min: "12345678"}},
		"a range of numbers":  {query.Range{Field: "code", Min: "-05", Max: "010"}, query.Range{Field: "code", Min: "-5", Max: "10"}},
	})
}

func TestValidateCanonicalisesInstants(t *testing.T) {
	testCanonical(t, map[string]canonical{
		"a range of times is UTC and rounded up": {
			query.Range{Field: "time", Min: "2026-11-01T01:00:00.000000001+01:00", Max: "2026-11-01T00:00:00.0000005Z"},
			query.Range{Field: "time", Min: "2026-11-01T00:00:00.000001Z", Max: "2026-11-01T00:00:00.000001Z"},
		},
		"a range of times is clamped": {
			query.Range{Field: "time", Min: "0001-01-01T00:00:00Z", Max: "9999-12-31T23:59:59-23:00"},
			query.Range{Field: "time", Min: "1970-01-01T00:00:00.000000Z", Max: "2262-01-01T00:00:00.000000Z"},
		},
		"an instant that no store holds":    {query.Equal{Field: "time", Value: "1969-12-31T23:59:59.999999Z"}, query.Or{}},
		"the first instant that none holds": {query.Equal{Field: "time", Value: "2262-01-01T00:00:00Z"}, query.Or{}},
		"the last instant that stores hold": {
			query.Equal{Field: "time", Value: "2261-12-31T23:59:59.999999Z"}, query.Equal{Field: "time", Value: "2261-12-31T23:59:59.999999Z"},
		},
		"instants of which one can be held": {
			query.AnyOf{Field: "time", Values: []string{"0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"}},
			query.Equal{Field: "time", Value: "1970-01-01T00:00:00.000000Z"},
		},
	})
}

func TestValidateClampsTheWindow(t *testing.T) {
	at := func(text string) time.Time {
		parsed, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	tests := map[string]struct{ from, to, wantFrom, wantTo time.Time }{
		"open ends stay open": {},
		"1969 becomes 1970":   {from: at("1969-12-31T23:59:59.999999999Z"), wantFrom: at("1970-01-01T00:00:00Z")},
		"1970 stays":          {from: at("1970-01-01T00:00:00Z"), wantFrom: at("1970-01-01T00:00:00Z")},
		"2263 becomes 2262":   {to: at("2263-01-01T00:00:00Z"), wantTo: at("2262-01-01T00:00:00Z")},
		"both ends beyond": {
			from: at("1800-01-01T00:00:00Z"), to: at("9999-01-01T00:00:00Z"), wantFrom: at("1970-01-01T00:00:00Z"), wantTo: at("2262-01-01T00:00:00Z"),
		},
		"both ends before 1970": {
			from: at("1800-01-01T00:00:00Z"), to: at("1900-01-01T00:00:00Z"), wantFrom: at("1970-01-01T00:00:00Z"), wantTo: at("1970-01-01T00:00:00Z"),
		},
		"nanoseconds are rounded up": {
			from: at("2026-11-01T00:00:00.000000001Z"), to: at("2026-11-01T00:00:00.000001999Z"),
			wantFrom: at("2026-11-01T00:00:00.000001Z"), wantTo: at("2026-11-01T00:00:00.000002Z"),
		},
		"another zone becomes UTC": {from: at("2026-11-01T01:00:00+01:00"), wantFrom: at("2026-11-01T00:00:00Z")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := query.Validate(valid(func(q *query.Query) { q.From, q.To = tc.from, tc.to }), schema{})
			if err != nil {
				t.Fatal(err)
			}
			if !got.From.Equal(tc.wantFrom) || !got.To.Equal(tc.wantTo) {
				t.Errorf("window %v to %v, want %v to %v", got.From, got.To, tc.wantFrom, tc.wantTo)
			}
			if got.From.Location() != time.UTC || got.To.Location() != time.UTC {
				t.Errorf("the window is in %v and %v", got.From.Location(), got.To.Location())
			}
		})
	}
}

func TestValidateDoesNotBoundTheScope(t *testing.T) {
	orgs := values(5000)
	q := valid(func(q *query.Query) {
		q.Scope = query.Scope{Name: "namespace/large", Restrict: query.Or{query.AnyOf{Field: "org", Values: orgs}}}
		q.Filter = query.And(exists(1000))
	})
	got, err := query.Validate(q, schema{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(q.Scope, got.Scope); diff != "" {
		t.Error(diff)
	}
}

func TestValidateLeavesTheCallersQueryAlone(t *testing.T) {
	given := []string{"b", "a", "b", "123456789"}
	q := filtered(query.Or{query.AnyOf{Field: "user", Values: given}, query.Attribute{ID: given}})
	if _, err := query.Validate(q, schema{attributes: true}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "a", "b", "123456789"}, given); diff != "" {
		t.Errorf("the caller's values were changed:\n%s", diff)
	}
}
