package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// endless is a query that reads every record, compares each with very many
// values and finds none.
func endless() query.Query {
	q := everything(10)
	var or query.Or
	for i := range 1000 {
		or = append(or, query.Prefix{Field: "user_agent", Value: fmt.Sprintf("x%d", i)})
	}
	q.Filter = or
	return q
}

// openSlow returns a store on which endless takes seconds: a hundred times what
// the tests give it.
func openSlow(t *testing.T) *Store {
	t.Helper()
	s := open(t, Options{Readers: 2})
	var records []record.Record
	for i := range 20_000 {
		records = append(records, audit(i, func(a *record.Audit) { a.UserAgent, a.Description = "y", "" }))
	}
	mustAppend(t, s, records...)
	return s
}

func TestRunningQueryEndsWithItsContext(t *testing.T) {
	s := openSlow(t)
	calls := map[string]func(context.Context) error{
		"list": func(ctx context.Context) error {
			_, err := s.List(ctx, endless())
			return err
		},
		"count": func(ctx context.Context) error {
			_, err := s.Count(ctx, endless(), 0)
			return err
		},
		"search": func(ctx context.Context) error {
			return s.Search(ctx, []store.Question{{Query: endless()}})[0].Err
		},
	}
	for name, call := range calls {
		t.Run(name+" at its deadline", func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			if err := call(ctx); !store.IsTimeout(err) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want Timeout because of the deadline", err)
			}
		})
		t.Run(name+" when it is cancelled", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(30*time.Millisecond, cancel)
			if err := call(ctx); !errors.Is(err, context.Canceled) || store.ReasonOf(err) == 0 {
				t.Errorf("%v, want an *Error because of the cancellation", err)
			}
		})
	}
	t.Run("and the store goes on", func(t *testing.T) {
		if page, err := s.List(t.Context(), everything(10)); err != nil || len(page.Documents) != 10 {
			t.Errorf("%d documents, %v", len(page.Documents), err)
		}
	})
}

func waitUntil(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("the test ended before %s", what)
		}
	}
}

func TestCloseEndsWhatRuns(t *testing.T) {
	s := openSlow(t)
	failed := make(chan error, 1)
	go func() {
		_, err := s.List(context.Background(), endless())
		failed <- err
	}()
	waitUntil(t, "the query runs", func() bool { return s.read.db.Stats().InUse > 0 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !store.IsUnavailable(err) || !strings.Contains(err.Error(), "closed") {
		t.Errorf("%v, want Unavailable because the store is closed", err)
	}
}

func TestClosedStoreIsUnavailable(t *testing.T) {
	s := open(t, Options{})
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	_, list := s.List(t.Context(), everything(1))
	_, get := s.Get(t.Context(), record.KindAudit, audit(1).ID, query.All())
	_, count := s.Count(t.Context(), everything(1), 0)
	_, add := s.Append(t.Context(), audits(1))
	_, key := s.CursorKey(t.Context())
	for name, err := range map[string]error{"list": list, "get": get, "count": count, "append": add, "key": key,
		"search": s.Search(t.Context(), []store.Question{{Query: everything(1)}})[0].Err} {
		if !store.IsUnavailable(err) {
			t.Errorf("%s: %v, want Unavailable", name, err)
		}
	}
}

func TestFileLockedByAnotherWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	s := open(t, Options{Path: path, BusyTimeout: 20 * time.Millisecond})
	patient := open(t, Options{Path: path, BusyTimeout: time.Hour})
	mustAppend(t, s, audit(1))
	other := raw(t, path)
	execute(t, other, "BEGIN IMMEDIATE")

	_, err := s.Append(t.Context(), []record.Record{audit(2)})
	var e *store.Error
	if !store.IsUnavailable(err) || !errors.As(err, &e) || e.RetryAfter <= 0 {
		t.Errorf("append: %v, want Unavailable with a time to retry after", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := patient.Append(ctx, []record.Record{audit(2)}); !store.IsTimeout(err) {
		t.Errorf("append with a deadline: %v, want Timeout", err)
	}
	if page, err := s.List(t.Context(), everything(10)); err != nil || len(page.Documents) != 1 {
		t.Errorf("list: %d documents, %v, want the one that is there", len(page.Documents), err)
	}
	execute(t, other, "ROLLBACK")
	mustAppend(t, s, audit(2))
}

func TestFullAndDamagedFiles(t *testing.T) {
	t.Run("a full disk is unavailable, and nothing is half stored", func(t *testing.T) {
		s := open(t, Options{})
		var pages int
		if err := s.write.db.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
			t.Fatal(err)
		}
		execute(t, s.write.db, fmt.Sprintf("PRAGMA max_page_count = %d", pages+5))
		_, err := s.Append(t.Context(), audits(1000))
		if !store.IsUnavailable(err) || !strings.Contains(err.Error(), "full") {
			t.Errorf("%v, want Unavailable because it is full", err)
		}
		if count, err := s.Count(t.Context(), everything(1), 0); err != nil || count.Records != 0 {
			t.Errorf("%v (%v), want none", count, err)
		}
	})
	t.Run("a damaged page is unavailable, not missing records", func(t *testing.T) {
		s := open(t, Options{})
		mustAppend(t, s, audits(1000)...)
		var page, size int64
		row := s.write.db.QueryRow("SELECT rootpage FROM sqlite_schema WHERE name = 'audit_by_time'")
		if err := errors.Join(row.Scan(&page), s.write.db.QueryRow("PRAGMA page_size").Scan(&size)); err != nil {
			t.Fatal(err)
		}
		execute(t, s.write.db, "PRAGMA writable_schema = 1", fmt.Sprintf("UPDATE sqlite_dbpage SET data = zeroblob(%d) WHERE pgno = %d", size, page))
		_, err := s.List(t.Context(), everything(10))
		if !store.IsUnavailable(err) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%v, want Unavailable because the file is damaged", err)
		}
	})
}

func TestUnresolvedScopeIsRefused(t *testing.T) {
	s := open(t, Options{})
	for name, scope := range map[string]query.Scope{"no scope": {}, "a namespace that restricts nothing": {Name: "namespace/shop"}} {
		q := everything(1)
		q.Scope = scope
		_, list := s.List(t.Context(), q)
		_, count := s.Count(t.Context(), q, 0)
		_, get := s.Get(t.Context(), record.KindAudit, audit(1).ID, scope)
		for call, err := range map[string]error{"list": list, "count": count, "get": get} {
			if !store.IsInvalid(err) {
				t.Errorf("%s, %s: %v, want Invalid", name, call, err)
			}
		}
	}
}
