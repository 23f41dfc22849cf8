package sqlite

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

func TestErasureGoesOnAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	s := open(t, Options{Path: path})
	mustAppend(t, s, crowd(3000)...)
	e, err := s.Erase(t.Context(), everything(0))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := e.Next(t.Context(), 500); n != 500 || err != nil {
		t.Fatalf("%d, %v, want 500", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Next(t.Context(), 500); !store.IsUnavailable(err) {
		t.Errorf("a batch after the end: %v, want Unavailable", err)
	}
	s = open(t, Options{Path: path})
	if err := s.FinishErasing(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := left(t, s); len(got) != 2500 || got[0] != 500 {
		t.Fatalf("%d are left, want 2500", len(got))
	}
	erased, err := s.EraseStretch(t.Context(), record.KindAudit, "1970-01", nil)
	if err != nil || erased.Records != 2500 {
		t.Errorf("%d, %v, want 2500", erased.Records, err)
	}
	if got := left(t, s); len(got) != 0 {
		t.Errorf("%d are left", len(got))
	}
}

func TestInterruptedErasureIsWholeBatches(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, crowd(3000)...)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	e, err := s.Erase(t.Context(), everything(0))
	if err != nil {
		t.Fatal(err)
	}
	_, next := e.Next(ended, 10)
	_, open := s.Erase(ended, everything(0))
	_, stretch := s.EraseStretch(ended, record.KindAudit, "1970-01", query.Exists{Field: "time"})
	_, stretches := s.Stretches(ended, record.KindAudit)
	for name, err := range map[string]error{"next": next, "stretch": stretch, "stretches": stretches} {
		if !store.IsTimeout(err) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want Timeout because of the cancellation", name, err)
		}
	}
	if open != nil && !store.IsTimeout(open) {
		t.Errorf("open: %v", open)
	}
	if got := left(t, s); len(got) != 3000 {
		t.Fatalf("%d are left, want all", len(got))
	}
	// In the middle of a month, at whatever moment that is.
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := s.EraseStretch(ctx, record.KindAudit, "1970-01", nil)
		failed <- err
	}()
	waitUntil(t, "a batch is erased", func() bool {
		c, err := s.Count(t.Context(), everything(1), 0)
		return err == nil && c.Records < 3000
	})
	cancel()
	if err := <-failed; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the cancellation", err)
	}
	if got := left(t, s); len(got)%1000 != 0 {
		t.Errorf("%d are left, want whole batches gone", len(got))
	}
	if _, err := s.EraseStretch(t.Context(), record.KindAudit, "1970-01", nil); err != nil {
		t.Error(err)
	}
	if got := left(t, s); len(got) != 0 {
		t.Errorf("%d are left", len(got))
	}
}

// Whoever pages while records are erased gets whole pages of what is left, and
// every record that was not erased.
func TestReadersPageWhileRecordsAreErased(t *testing.T) {
	s := open(t, Options{})
	const count = 4000
	mustAppend(t, s, crowd(count)...)
	erased := make(chan error, 1)
	go func() {
		erased <- func() error {
			q := everything(0)
			q.Filter = query.Equal{Field: "org_id", Value: "bank"}
			e, err := s.Erase(context.Background(), q)
			for err == nil {
				_, err = e.Next(context.Background(), 20)
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}()
	}()
	for running := true; running; {
		select {
		case err := <-erased:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
		q := everything(100)
		q.Filter = query.Text{Words: []string{"looked"}}
		stay := 0
		for {
			page, err := s.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if page.Next != nil && len(page.Documents) != 100 {
				t.Fatalf("a page of %d documents, want 100", len(page.Documents))
			}
			for _, document := range page.Documents {
				if !strings.Contains(string(document), `"bank"`) {
					stay++
				}
			}
			if q.After = page.Next; page.Next == nil {
				break
			}
		}
		if stay != count*3/4 {
			t.Fatalf("%d records that stay, want %d", stay, count*3/4)
		}
	}
}

// Words go with their record, whatever they are: another build may have cut a text
// into others.
func TestUnexpectedWordsAreErased(t *testing.T) {
	tests := map[string]string{
		"a text was cut in another way": "UPDATE audit_word SET word = 'looke' WHERE word = 'looked' AND time < 5000000",
		"a document is damaged":         "UPDATE audit SET doc = x'7b' WHERE time = 5000000",
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{})
			mustAppend(t, s, crowd(10)...)
			execute(t, s.write.db, change)
			q := everything(0)
			q.To = time.Unix(8, 0)
			eraseAll(t, s, q, 100)
			if diff := cmp.Diff([]int{8, 9}, left(t, s)); diff != "" {
				t.Errorf("left (-want +got)\n%s", diff)
			}
		})
	}
}

func TestAppendPreparedStoresTheWordsOfTheDocument(t *testing.T) {
	s := open(t, Options{})
	p := record.Prepare(audit(1))
	p.Words = append(p.Words, "other")
	if outcomes, err := s.AppendPrepared(t.Context(), []record.Prepared{p}); err != nil || outcomes[0].Result != store.Stored {
		t.Fatal(outcomes, err)
	}
	eraseAll(t, s, everything(0), 1)
	if got := left(t, s); len(got) != 0 {
		t.Errorf("%d are left", len(got))
	}
}

func TestErasingWalksNoTable(t *testing.T) {
	s := open(t, Options{})
	for _, l := range s.layouts {
		q := query.Query{Kind: l.kind, Scope: query.All(), From: time.Unix(1, 0), To: time.Unix(2, 0)}
		documents, err := documentsStatement(l, q, []int64{1, 2})
		if err != nil {
			t.Fatal(err)
		}
		wantPlan(t, s, documents.text, documents.args, "SEARCH d USING INTEGER PRIMARY KEY")
		var st eraseStatements
		for text := range l.erases(&st, documents.text) {
			if text != documents.text && !strings.HasPrefix(text, "DELETE FROM "+l.words+" WHERE ref") {
				wantPlan(t, s, text, slices.Repeat([]any{"[1]"}, strings.Count(text, "?")), "SEARCH ")
			}
		}
		p := makePlan(l, q)
		p.window.past = &query.Position{Micros: 1_500_000}
		refs, err := refsStatement(l, p, 10)
		if err != nil {
			t.Fatal(err)
		}
		wantPlan(t, s, refs.text, refs.args, l.index("time")+" ((time,id)>(?,?)")
		if plan := explained(t, s, refs.text, refs.args); strings.Contains(plan, "ORDER BY") {
			t.Errorf("it sorts:\n%s", plan)
		}
	}
}
