package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// raw opens a second connection to a store's file, as another process would.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := pool(path, 1, url.Values{"_txlock": {"immediate"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestColumnsAreTheFieldTable(t *testing.T) {
	s := open(t, Options{})
	for _, kind := range record.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			want := []string{"ref INTEGER"}
			for _, f := range record.Fields(kind) {
				if f.Filterable() {
					want = append(want, f.Name+" "+columnType(f))
				}
			}
			want = append(want, "doc BLOB")
			var got string
			query := "SELECT group_concat(name || ' ' || type, ',') FROM pragma_table_info(?)"
			if err := s.read.db.QueryRow(query, s.layouts[kind].table).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, strings.Split(got, ",")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Files of version 1 exist: what makes them may not change. A new field needs a
// new schemaVersion and a migration, and definitions that stay as they were.
func TestDefinitionsOfVersionOneStay(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("testdata", "schema_1.sql"))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(definitions(), ";\n") + ";\n"
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFileIsSetUp(t *testing.T) {
	s := open(t, Options{})
	tests := map[string]struct {
		db     *sql.DB
		pragma string
		want   string
	}{
		"the log is written ahead":                {s.write.db, "journal_mode", "wal"},
		"every commit is synced":                  {s.write.db, "synchronous", "2"},
		"erased pages can be given back":          {s.write.db, "auto_vacuum", "2"},
		"the file says whose it is":               {s.write.db, "application_id", fmt.Sprint(applicationID)},
		"the file says its version":               {s.write.db, "user_version", fmt.Sprint(schemaVersion)},
		"readers can't write":                     {s.read.db, "query_only", "1"},
		"readers wait for a recovery of the file": {s.read.db, "busy_timeout", "5000"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got string
			if err := test.db.QueryRow("PRAGMA " + test.pragma).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("%s is %s, want %s", test.pragma, got, test.want)
			}
		})
	}
}

func TestFilesAreTheirOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	mustAppend(t, open(t, Options{Path: path}), audit(1))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", info.Name(), info.Mode().Perm())
		}
	}
}

func TestOpenTakesAnyPath(t *testing.T) {
	for _, name := range []string{"with space.db", "a?mode=ro", "a#b", "a%20b", "é&x=y", ":memory:"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			mustAppend(t, open(t, Options{Path: path}), audit(1))
			if info, err := os.Stat(path); err != nil || info.Size() == 0 {
				t.Errorf("the file is not where it should be: %v, %v", info, err)
			}
		})
	}
}

func TestOpenRefusesWhatItCannotUse(t *testing.T) {
	ours := func(t *testing.T, path string) {
		if err := open(t, Options{Path: path}).Close(); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		prepare     func(t *testing.T, path string)
		wantReason  store.Reason
		wantMessage string
	}{
		"a newer version": {func(t *testing.T, path string) {
			ours(t, path)
			execute(t, raw(t, path), "PRAGMA user_version = 2")
		}, store.Conflict, "start the newer build again"},
		"another program's database": {func(t *testing.T, path string) {
			execute(t, raw(t, path), "CREATE TABLE theirs (x)")
		}, store.Conflict, "another program"},
		"a file of ours without a version": {func(t *testing.T, path string) {
			ours(t, path)
			execute(t, raw(t, path), "PRAGMA user_version = 0")
		}, store.Conflict, "not of which version"},
		"a table that lacks a column": {func(t *testing.T, path string) {
			ours(t, path)
			execute(t, raw(t, path), "ALTER TABLE auth_audit DROP COLUMN issuer")
		}, store.Conflict, "no column issuer"},
		"a file that is no database": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, store.Unavailable, "damaged"},
		"a directory": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, store.Unavailable, "failed"},
		"a directory that is not there": {func(t *testing.T, path string) {
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}, store.Unavailable, "does not exist"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "own", "records.db")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			test.prepare(t, path)
			s, err := Open(t.Context(), Options{Path: path})
			if err == nil {
				_ = s.Close()
				t.Fatal("it was opened")
			}
			if store.ReasonOf(err) != test.wantReason || !strings.Contains(err.Error(), test.wantMessage) {
				t.Errorf("%v, want %v and %q", err, test.wantReason, test.wantMessage)
			}
			if strings.Contains(err.Error(), path) {
				t.Errorf("%v names the path", err)
			}
		})
	}
	if _, err := Open(t.Context(), Options{}); !store.IsInvalid(err) {
		t.Errorf("without a path: %v, want Invalid", err)
	}
}

func TestOpeningAtOnceMakesOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	const openers = 8
	keys := make([]string, openers)
	errs := make([]error, openers)
	var group sync.WaitGroup
	for i := range openers {
		group.Go(func() {
			s, err := Open(t.Context(), Options{Path: path})
			if err != nil {
				errs[i] = err
				return
			}
			key, err := s.CursorKey(context.Background())
			keys[i], errs[i] = string(key), err
			if err := s.Close(); err != nil {
				errs[i] = err
			}
		})
	}
	group.Wait()
	for i := range openers {
		if errs[i] != nil {
			t.Errorf("opener %d: %v", i, errs[i])
		}
	}
	if keys = slices.Compact(keys); len(keys) != 1 || len(keys[0]) != cursorKeyBytes {
		t.Errorf("%d different keys, the first of %d bytes, want one of %d", len(keys), len(keys[0]), cursorKeyBytes)
	}
}

func TestTwoStoresShareOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	a, b := open(t, Options{Path: path}), open(t, Options{Path: path})
	mustAppend(t, a, audit(1))
	mustAppend(t, b, audit(2))
	outcomes, err := a.Append(t.Context(), []record.Record{audit(2)})
	if err != nil || outcomes[0].Result != store.Duplicate {
		t.Errorf("what the other store wrote is %v (%v), want duplicate", outcomes, err)
	}
	for name, s := range map[string]*Store{"a": a, "b": b} {
		if count, err := s.Count(t.Context(), everything(1), 0); err != nil || count.Records != 2 {
			t.Errorf("store %s counts %v (%v), want 2", name, count, err)
		}
	}
}
