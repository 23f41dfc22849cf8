package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"auditquery.dev/auditquery/internal/store/sqlite"
	"auditquery.dev/auditquery/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, newBackend)
}

// newBackend is a store on a file of its own. Its outage is a closed store.
func newBackend(t *testing.T) storetest.Backend {
	options := sqlite.Options{Path: filepath.Join(t.TempDir(), "records.db")}
	open := func(ctx context.Context) (*sqlite.Store, error) { return sqlite.Open(ctx, options) }
	s, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return storetest.Backend{
		Store: s,
		Stop:  func(context.Context) error { return s.Close() },
		Start: func(ctx context.Context) (storetest.Store, error) {
			again, err := open(ctx)
			if err == nil {
				s = again
			}
			return again, err
		},
	}
}

func TestDeleterConformance(t *testing.T) {
	storetest.RunDeleter(t, func(t *testing.T) storetest.DeleterBackend {
		options := sqlite.Options{Path: filepath.Join(t.TempDir(), "records.db")}
		s, err := sqlite.Open(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return storetest.DeleterBackend{
			Store: s,
			Stop:  func(context.Context) error { return s.Close() },
			LoseNote: func(ctx context.Context, name string) (err error) {
				file, err := sql.Open("sqlite", options.Path)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, file.Close()) }()
				_, err = file.ExecContext(ctx, "DELETE FROM meta WHERE name = ?", "note/"+name)
				return err
			},
			Reopen: func(ctx context.Context) (storetest.DeleterStore, error) {
				if err := s.Close(); err != nil {
					return nil, err
				}
				again, err := sqlite.Open(ctx, options)
				if err == nil {
					s = again
				}
				return again, err
			},
		}
	})
}
