package sqlite

import (
	"encoding/binary"
	"path/filepath"
	"testing"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// open opens a store on a file of the test's own, unless o names another.
func open(t *testing.T, o Options) *Store {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "records.db")
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// audit returns the nth of a row of valid records, changed by modify.
func audit(n int, modify ...func(*record.Audit)) *record.Audit {
	a := &record.Audit{Common: record.Common{Time: record.Timestamp(1_000_000 * n), IngestTime: record.Timestamp(2_000_000 * n),
		SourceType: record.SourceImport, UserID: "alice"}, Description: "alice looked at web"}
	binary.BigEndian.PutUint64(a.ID[8:], uint64(n)+1)
	for _, m := range modify {
		m(a)
	}
	return a
}

func audits(n int) []record.Record {
	records := make([]record.Record, n)
	for i := range records {
		records[i] = audit(i)
	}
	return records
}

// mustAppend stores records that are not there yet.
func mustAppend(t *testing.T, s *Store, records ...record.Record) {
	t.Helper()
	outcomes, err := s.Append(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if o.Result != store.Stored {
			t.Fatalf("record %d is %s (%v), want stored", i, o.Result, o.Err)
		}
	}
}

func everything(limit int) query.Query {
	return query.Query{Kind: record.KindAudit, Scope: query.All(), Limit: limit}
}
