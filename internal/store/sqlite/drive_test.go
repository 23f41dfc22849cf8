package sqlite

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// numbers returns n distinct values.
func numbers(n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = strconv.Itoa(i)
	}
	return values
}

func namespace(restrict query.Filter) query.Scope {
	return query.Scope{Name: "namespace/shop", Restrict: restrict}
}

func TestPlanWalksTheBestIndex(t *testing.T) {
	user := query.Equal{Field: "user_id", Value: "alice"}
	org := query.Equal{Field: "org_id", Value: "shop"}
	denied := query.Equal{Field: "outcome", Value: "Denied"}
	trace := query.Equal{Field: "trace_id", Value: "x"}
	any3 := query.AnyOf{Field: "user_id", Values: numbers(3)}
	tests := map[string]struct {
		scope  query.Scope
		filter query.Filter
		// wantIndex is the index or table and the way it is walked.
		wantIndex string
		// wantSort tells that rows are sorted, a bounded number of them.
		wantSort bool
	}{
		"nothing":                            {query.All(), nil, "audit_by_time", false},
		"a common value":                     {query.All(), denied, "audit_by_time", false},
		"a user":                             {query.All(), user, "audit_by_user_id (user_id=?", false},
		"a user and a common value":          {query.All(), query.And{denied, user}, "audit_by_user_id (user_id=?", false},
		"a user inside of ands":              {query.All(), query.And{query.And{denied, query.And{user}}}, "audit_by_user_id (user_id=?", false},
		"a user in a namespace":              {namespace(org), user, "audit_by_user_id (user_id=?", false},
		"a namespace":                        {namespace(org), denied, "audit_by_org_id (org_id=?", false},
		"a trace is rarer than a user":       {query.All(), query.And{user, trace}, "audit_by_trace_id (trace_id=?", false},
		"not a user":                         {query.All(), query.Not{Filter: user}, "audit_by_time", false},
		"a user or a common value":           {query.All(), query.Or{user, denied}, "audit_by_time", false},
		"few users are merged":               {query.All(), any3, "MERGE (UNION ALL)", false},
		"two users as an or are merged":      {query.All(), query.Or{user, query.And{query.Equal{Field: "user_id", Value: "bob"}, denied}}, "MERGE (UNION ALL)", false},
		"a namespace that claims org ids":    {namespace(query.Or{query.AnyOf{Field: "org_id", Values: numbers(3)}, query.And{org, denied}}), nil, "MERGE (UNION ALL)", false},
		"many users are sorted":              {query.All(), query.AnyOf{Field: "user_id", Values: numbers(50)}, "audit_by_user_id (user_id=?", true},
		"a prefix of users is sorted":        {query.All(), query.Prefix{Field: "user_id", Value: "a"}, "audit_by_user_id (user_id>?", true},
		"ids are few":                        {query.All(), query.AnyOf{Field: "id", Values: []string{someID, strings.Repeat("0", 32)}}, "audit_by_id (id=?", true},
		"a word":                             {query.All(), query.Text{Words: []string{"web"}}, "SEARCH d USING PRIMARY KEY (word=?", false},
		"words and a common value":           {query.All(), query.And{query.Text{Words: []string{"web", "deployment"}}, denied}, "SEARCH d USING PRIMARY KEY (word=?", false},
		"not a word":                         {query.All(), query.Not{Filter: query.Text{Words: []string{"web"}}}, "audit_by_time", false},
		"an attribute's id":                  {query.All(), query.Attribute{Type: []string{"t"}, ID: []string{"x"}}, "audit_attribute_by_attribute_id (attribute_id=?", false},
		"an attribute's id and common value": {query.All(), query.And{denied, query.Attribute{ID: []string{"x"}}}, "audit_attribute_by_attribute_id (attribute_id=?", false},
		"an attribute's type":                {query.All(), query.Attribute{Type: []string{"t"}}, "audit_by_time", false},
		"nothing in scope":                   {namespace(query.Or{}), user, "audit_by_user_id (user_id=?", false},
	}
	s := open(t, Options{})
	for name, test := range tests {
		for position, after := range map[string]*query.Position{"page 1": nil, "a later page": {Micros: 5000}} {
			t.Run(name+", "+position, func(t *testing.T) {
				q := query.Query{Kind: record.KindAudit, Scope: test.scope, Filter: test.filter, After: after,
					From: time.UnixMicro(1000), To: time.UnixMicro(9000), Limit: 10}
				explained := explain(t, s, q)
				if !strings.Contains(explained, test.wantIndex) {
					t.Errorf("want %q in\n%s", test.wantIndex, explained)
				}
				if sorts := strings.Contains(explained, "FOR ORDER BY"); sorts != test.wantSort {
					t.Errorf("sorts: %t, want %t\n%s", sorts, test.wantSort, explained)
				}
				wantStart := "(time,id)<(?,?)"
				if after != nil && !test.wantSort && !strings.Contains(explained, wantStart) {
					t.Errorf("want %q, so that a later page costs as the first, in\n%s", wantStart, explained)
				}
			})
		}
	}
}

func explain(t *testing.T, s *Store, q query.Query) string {
	t.Helper()
	l := s.layouts[q.Kind]
	st, err := pageStatement(l, makePlan(l, q), q.Limit+1)
	if err != nil {
		t.Fatal(err)
	}
	return explained(t, s, st.text, st.args)
}

// explained is the plan that SQLite makes for a statement.
func explained(t *testing.T, s *Store, text string, args []any) string {
	t.Helper()
	rows, err := s.write.db.Query("EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer func() { _ = rows.Close() }()
	var lines []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func TestPlanTakesWindowsOutOfFilters(t *testing.T) {
	at := func(micros int64) string { return record.Timestamp(micros).String() }
	tests := map[string]struct {
		query        query.Query
		wantWindow   window
		wantResidual []query.Filter
	}{
		"no window": {query.Query{Scope: query.All()}, window{from: math.MinInt64, to: math.MaxInt64}, nil},
		"the window and two ranges of time are cut": {
			query.Query{Scope: namespace(query.Range{Field: "time", Min: at(10)}), From: time.UnixMicro(5), To: time.UnixMicro(30),
				Filter: query.And{query.Range{Field: "time", Min: at(1), Max: at(20)}, query.Exists{Field: "session"}}},
			window{from: 10, to: 20}, []query.Filter{query.Exists{Field: "session"}}},
		"a range under not stays": {
			query.Query{Scope: query.All(), Filter: query.Not{Filter: query.Range{Field: "time", Min: at(1)}}},
			window{from: math.MinInt64, to: math.MaxInt64},
			[]query.Filter{query.Not{Filter: query.Range{Field: "time", Min: at(1)}}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := makePlan(layouts()[record.KindAudit], test.query)
			if diff := cmp.Diff(test.wantWindow, p.window, cmp.AllowUnexported(window{})); diff != "" {
				t.Errorf("window (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(test.wantResidual, p.residual); diff != "" {
				t.Errorf("residual (-want +got)\n%s", diff)
			}
		})
	}
}

func TestOneUpperBoundOfTimeIsWritten(t *testing.T) {
	tests := map[string]struct {
		window   window
		wantText string
		wantArgs []any
	}{
		"the end":                          {window{from: 1, to: 9}, " AND d.time >= ? AND d.time < ?", []any{int64(1), int64(9)}},
		"the position when it is earlier":  {window{from: 1, to: 9, after: &query.Position{Micros: 8}}, " AND d.time >= ? AND (d.time, d.id) < (?, ?)", []any{int64(1), int64(8), make([]byte, 16)}},
		"the end when it is not later":     {window{from: 1, to: 8, after: &query.Position{Micros: 8}}, " AND d.time >= ? AND d.time < ?", []any{int64(1), int64(8)}},
		"nothing when everything is asked": {window{from: math.MinInt64, to: math.MaxInt64}, "", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := &compiler{}
			c.window(test.window)
			if diff := cmp.Diff(statement{test.wantText, test.wantArgs}, statement{c.text.String(), c.args}, cmp.AllowUnexported(statement{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
