package sqlite

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

func TestPageEndsAtItsBounds(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, audits(10)...)
	one := len(mustList(t, s, everything(1)).Documents[0])
	tests := map[string]struct {
		limit, maxBytes int
		wantDocuments   int
		wantNext        bool
	}{
		"at its limit":                         {4, 1 << 20, 4, true},
		"at the end":                           {10, 1 << 20, 10, false},
		"at its bytes":                         {10, 3 * one, 3, true},
		"with one document that is too large":  {10, one - 1, 1, true},
		"at the end, which fills it to a byte": {10, 10 * one, 10, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			st, err := pageStatement(s.layouts[record.KindAudit], makePlan(s.layouts[record.KindAudit], everything(1)), test.limit+1)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := s.read.db.Query(st.text, st.args...)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = rows.Close() }()
			page, err := readPage(rows, test.limit, test.maxBytes)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Documents) != test.wantDocuments || (page.Next != nil) != test.wantNext {
				t.Fatalf("%d documents, next %v; want %d, %t", len(page.Documents), page.Next, test.wantDocuments, test.wantNext)
			}
			if page.Next != nil && *page.Next != store.PositionOf(audit(10-test.wantDocuments)) {
				t.Errorf("next is %v, which is not the last document", page.Next)
			}
		})
	}
}

func mustList(t *testing.T, s *Store, q query.Query) store.Page {
	t.Helper()
	page, err := s.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestRowsOutOfOrderAreAnError(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, audits(3)...)
	for _, order := range []string{"time, id", "time DESC LIMIT 1) UNION ALL SELECT * FROM (SELECT time, id, doc FROM audit"} {
		rows, err := s.read.db.Query("SELECT * FROM (SELECT time, id, doc FROM audit ORDER BY " + order + ")")
		if err != nil {
			t.Fatal(err)
		}
		if page, err := readPage(rows, 10, 1<<20); err == nil {
			t.Errorf("ordered by %s: a page of %d", order, len(page.Documents))
		}
		_ = rows.Close()
	}
}

func TestDenseSetsAreMetOnTheWayThroughTime(t *testing.T) {
	users := query.AnyOf{Field: "user_id", Values: append(numbers(maxMerge), "alice")}
	prefix := query.Prefix{Field: "user_id", Value: "al"}
	s := open(t, Options{})
	for more, want := range []walk{walkGather, walkTime} {
		mustAppend(t, s, audits(maxGather + more)[more*maxGather:]...)
		for _, f := range []query.Filter{users, prefix} {
			q := everything(10)
			q.Filter = f
			p, err := s.plan(t.Context(), "list", s.layouts[q.Kind], q)
			if err != nil || p.walk != want {
				t.Errorf("%T: walk %d (%v), want %d", f, p.walk, err, want)
			}
			if page := mustList(t, s, q); len(page.Documents) != 10 {
				t.Errorf("%T: %d documents, want 10", f, len(page.Documents))
			}
			q.Filter = query.And{f, query.Equal{Field: "user_id", Value: "bob"}}
			if page := mustList(t, s, q); len(page.Documents) != 0 {
				t.Errorf("%T and another user: %d documents, want none", f, len(page.Documents))
			}
		}
	}
}

func TestLargeFiltersAreAnswered(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, audits(5)...)
	alice := query.Equal{Field: "user_id", Value: "alice"}
	wide := func(of query.Filter) []query.Filter { return slices.Repeat([]query.Filter{of}, query.MaxNodes-1) }
	part := query.Attribute{Type: numbers(maxInline), ID: numbers(maxInline), OrgID: numbers(maxInline), Name: numbers(maxInline)}
	deep := query.Filter(query.Not{Filter: alice})
	for range query.MaxDepth - 2 {
		deep = query.Not{Filter: query.And{deep, query.Or(wide(alice)[:20])}}
	}
	orgs := query.AnyOf{Field: "org_id", Values: numbers(60_000)}
	tests := map[string]struct {
		scope  query.Scope
		filter query.Filter
		want   int
	}{
		"as many ors as there may be":        {query.All(), query.Or(wide(query.Equal{Field: "action", Value: "x"})), 0},
		"as many ands as there may be":       {query.All(), query.And(wide(query.Equal{Field: "source_type", Value: record.SourceImport})), 5},
		"as many words as there may be":      {query.All(), query.And(wide(query.Text{Words: []string{"web", "alice"}})), 5},
		"as many attributes as there may be": {query.All(), query.Or(wide(part)), 0},
		"merged users with a large filter":   {query.All(), query.And{query.AnyOf{Field: "user_id", Values: []string{"alice", "bob"}}, query.Not{Filter: query.Or(wide(part)[:1000])}}, 5},
		"as deep as it may be":               {query.All(), deep, -1},
		"60,000 org ids":                     {namespace(query.Or{orgs, alice}), nil, 5},
		"none of 60,000 org ids":             {namespace(query.Not{Filter: orgs}), alice, 5},
		"one of 60,000 org ids":              {namespace(orgs), alice, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q := everything(10)
			q.Scope, q.Filter = test.scope, test.filter
			page := mustList(t, s, q)
			count, err := s.Count(t.Context(), q, 0)
			if err != nil || int(count.Records) != len(page.Documents) {
				t.Errorf("count %v (%v), but %d documents", count, err, len(page.Documents))
			}
			if test.want >= 0 && len(page.Documents) != test.want {
				t.Errorf("%d documents, want %d", len(page.Documents), test.want)
			}
		})
	}
}

func TestAppendGivesEachRecordItsOutcome(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, audit(1))
	again := audit(1, func(a *record.Audit) { a.IngestTime++ })
	other := audit(1, func(a *record.Audit) { a.UserID = "bob" })
	broken := audit(3, func(a *record.Audit) { a.SourceIP = "not an address" })
	nameless := audit(4, func(a *record.Audit) { a.ID = record.ID{} })
	outcomes, err := s.Append(t.Context(), []record.Record{again, other, audit(2), broken, nil, nameless, audit(2)})
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Result{store.Duplicate, store.Collision, store.Stored, store.Rejected, store.Rejected, store.Rejected, store.Duplicate}
	for i, o := range outcomes {
		if o.Result != want[i] {
			t.Errorf("record %d is %s (%v), want %s", i, o.Result, o.Err, want[i])
		}
		explained := o.Result != store.Stored && o.Result != store.Duplicate
		if explained != (o.Err != nil) {
			t.Errorf("record %d is %s with error %v", i, o.Result, o.Err)
		}
	}
	if text := fmt.Sprint(outcomes[1].Err); !strings.Contains(text, audit(1).ID.String()) {
		t.Errorf("the collision %q does not name the id", text)
	}
}

func TestLaterTransactionsFailAlone(t *testing.T) {
	s := open(t, Options{})
	execute(t, s.write.db, `CREATE TRIGGER stop BEFORE INSERT ON audit WHEN NEW.user_agent = 'stop'
		BEGIN SELECT RAISE(ABORT, 'stopped'); END`)
	records := audits(maxTransaction + 10)
	records[maxTransaction+5].(*record.Audit).UserAgent = "stop"
	outcomes, err := s.Append(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		want := store.Stored
		if i >= maxTransaction {
			want = store.Failed
		}
		if o.Result != want || (o.Err != nil) != (want == store.Failed) {
			t.Fatalf("record %d is %s (%v), want %s", i, o.Result, o.Err, want)
		}
	}
	if _, err := s.Append(t.Context(), records[maxTransaction:]); !store.IsUnavailable(err) {
		t.Errorf("%v, want Unavailable when nothing was stored", err)
	}
}

func TestPreparedStatementsAreBounded(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, audits(3)...)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 3 * maxPrepared {
				q := everything(10)
				q.Filter = query.And(slices.Repeat([]query.Filter{query.Exists{Field: "user_id"}}, 1+(i*(worker+1))%(2*maxPrepared)))
				if page, err := s.List(t.Context(), q); err != nil || len(page.Documents) != 3 {
					t.Errorf("%d documents, %v", len(page.Documents), err)
					return
				}
			}
		})
	}
	group.Wait()
	if n := s.read.recent.Len(); n != maxPrepared || len(s.read.byText) != n {
		t.Errorf("%d are kept under %d texts, want %d", n, len(s.read.byText), maxPrepared)
	}
}
