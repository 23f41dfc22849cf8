package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// bytesOf returns the sizes of the file and of its log, in bytes.
func bytesOf(t *testing.T, path string) (file, log int64) {
	t.Helper()
	for suffix, into := range map[string]*int64{"": &file, "-wal": &log} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		*into = info.Size()
	}
	return file, log
}

func TestReclaimGivesSpaceBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	s := open(t, Options{Path: path})
	mustAppend(t, s, crowd(6000)...)
	mustReclaim(t, s)
	full, _ := bytesOf(t, path)
	q := everything(0)
	q.To = time.Unix(5000, 0)
	eraseAll(t, s, q, 1000)
	mustReclaim(t, s)
	file, log := bytesOf(t, path)
	if file > full*3/10 || log != 0 {
		t.Errorf("%d bytes and a log of %d, want less than 3 tenths of %d and no log", file, log, full)
	}
	if free, err := s.pragma(t.Context(), "freelist_count"); err != nil || free != 0 {
		t.Errorf("%d pages are free (%v), want none", free, err)
	}
	if got := left(t, s); len(got) != 1000 {
		t.Errorf("%d are left, want 1000", len(got))
	}
	var check string
	if err := s.write.db.QueryRow("PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
		t.Errorf("the file is %q (%v)", check, err)
	}
	if patience := value(t, s.write.db, "PRAGMA busy_timeout"); patience != "5000" {
		t.Errorf("the writer waits for %s ms, want 5000", patience)
	}
}

func mustReclaim(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Reclaim(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, db *sql.DB, text string) string {
	t.Helper()
	var got string
	if err := db.QueryRow(text).Scan(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReclaimEndsWithItsContext(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, crowd(3000)...)
	eraseAll(t, s, everything(0), 1000)
	free, err := s.pragma(t.Context(), "freelist_count")
	if err != nil || free < reclaimPages {
		t.Fatalf("%d pages are free (%v), want more than one step", free, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, stop := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer stop()
	for name, ctx := range map[string]context.Context{"cancelled": cancelled, "late": late} {
		if err := s.Reclaim(ctx); err != nil {
			t.Errorf("%s: %v, want nil", name, err)
		}
	}
	if now, err := s.pragma(t.Context(), "freelist_count"); err != nil || now != free {
		t.Errorf("%d pages are free (%v), want %d still", now, err, free)
	}
	mustReclaim(t, s)
	mustAppend(t, s, audit(1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Reclaim(t.Context()); !store.IsUnavailable(err) {
		t.Errorf("a closed store: %v, want Unavailable", err)
	}
}

// A reader that has a page open keeps the log, and nobody waits for it.
func TestReclaimWaitsForNoReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	s := open(t, Options{Path: path, BusyTimeout: time.Hour})
	mustAppend(t, s, crowd(1000)...)
	other := raw(t, path)
	tx, err := other.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM audit").Scan(&n); err != nil || n != 1000 {
		t.Fatal(n, err)
	}
	eraseAll(t, s, everything(0), 1000)
	mustReclaim(t, s)
	if err := tx.QueryRow("SELECT count(*) FROM audit_word").Scan(&n); err != nil || n == 0 {
		t.Errorf("the reader sees %d words (%v), want those of before", n, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	mustReclaim(t, s)
	if file, log := bytesOf(t, path); log != 0 || file > 100*pageBytes {
		t.Errorf("%d bytes and a log of %d, want a file of empty tables and no log", file, log)
	}
}

func TestRecordsAreTakenInDuringReclaim(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, crowd(4000)...)
	eraseAll(t, s, everything(0), 1000)
	reclaimed := make(chan error, 1)
	go func() { reclaimed <- s.Reclaim(context.Background()) }()
	count := 0
	for running := true; running; count++ {
		select {
		case err := <-reclaimed:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
		mustAppend(t, s, audit(count))
	}
	if c, err := s.Count(t.Context(), everything(1), 0); err != nil || c.Records != int64(count) {
		t.Errorf("%d records (%v), want %d", c.Records, err, count)
	}
}

// What was erased is not in the file any more once its space was given back.
func TestErasedTextIsGoneFromTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	s := open(t, Options{Path: path})
	var records []record.Record
	for i := range 2000 {
		records = append(records, audit(i, func(a *record.Audit) {
			a.OrgID = "shop"
			if i%3 == 0 {
				a.OrgID, a.UserID, a.UserAgent, a.Description = "bank", "confidential", strings.Repeat("Confidential ", 400), "confidential"
				a.TargetID, a.Attributes = "confidential", []record.Attribute{{Type: "pod", ID: "confidential", Name: "confidential"}}
			}
		}))
	}
	mustAppend(t, s, records...)
	mustReclaim(t, s)
	if n := occurrences(t, path); n == 0 {
		t.Fatal("the file does not hold the text, which proves nothing")
	}
	q := everything(0)
	q.Filter = query.Equal{Field: "org_id", Value: "bank"}
	eraseAll(t, s, q, 1000)
	mustReclaim(t, s)
	if n := occurrences(t, path); n != 0 {
		t.Errorf("the file still holds the text %d times", n)
	}
}

func occurrences(t *testing.T, path string) int {
	t.Helper()
	count := 0
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		count += strings.Count(strings.ToLower(string(data)), "confidential")
	}
	return count
}
