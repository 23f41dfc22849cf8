package ship

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/ledger"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store/sqlite"
	"auditquery.dev/auditquery/test/await"
)

// parts are the real ones, in a folder.
type parts struct {
	spool   *spool.Spool
	letters *deadletter.Folder
	store   *sqlite.Store
	ledger  *ledger.Ledger
}

func openParts(t *testing.T, dir string) *parts {
	t.Helper()
	p := &parts{ledger: ledger.New(nil)}
	var err error
	if p.letters, err = deadletter.Open(deadletter.Options{Dir: filepath.Join(dir, "letters")}); err != nil {
		t.Fatal(err)
	}
	p.spool, err = spool.Open(t.Context(), spool.Options{
		Dir: filepath.Join(dir, "spool"), Damaged: SetAside(p.letters, p.ledger, nil), Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "records.db")}); err != nil {
		t.Fatal(err)
	}
	p.ledger.Watch(func() ledger.SpoolState {
		s := p.spool.Stats()
		return ledger.SpoolState{Records: s.Records, Bytes: s.Bytes, MaxBytes: s.MaxBytes, Found: s.Found, Oldest: s.OldestAppended}
	})
	return p
}

func (p *parts) close(t *testing.T) {
	t.Helper()
	if err := p.spool.Close(); err != nil {
		t.Error(err)
	}
	if err := p.store.Close(); err != nil {
		t.Error(err)
	}
}

func (p *parts) append(t *testing.T, entries ...[]byte) {
	t.Helper()
	var b spool.Batch
	for _, e := range entries {
		b.Add(func(dst []byte) []byte { return append(dst, e...) })
	}
	if err := p.spool.Append(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	p.ledger.Acknowledged(source, len(entries))
}

// ship ships until the spool is empty.
func (p *parts) ship(t *testing.T) {
	t.Helper()
	s, err := New(Options{Spool: p.spool, Writer: p.store, Letters: p.letters, Ledger: p.ledger, MaxRecords: 100, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	await.True(t, "the spool is empty", func() bool { return p.spool.Stats().Records == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTheRealPartsTogether(t *testing.T) {
	dir := t.TempDir()
	p := openParts(t, dir)
	var entries [][]byte
	for n := range 500 {
		entries = append(entries, entryOf(n))
	}
	for n := 0; n < 500; n += 50 {
		p.append(t, entries[n:n+50]...)
	}
	p.ship(t)
	if err := p.ledger.Check(); err != nil {
		t.Error(err)
	}
	// What the next process finds in the spool: a new record, one again, another
	// one with the id of one that is stored, and something of another version.
	p.append(t, entryOf(500), entries[7], entryOf(8), []byte("?"))
	p.close(t)

	p = openParts(t, dir)
	defer p.close(t)
	p.ship(t)
	if err := p.ledger.Check(); err != nil {
		t.Error(err)
	}
	b := p.ledger.Balance()
	if b.Found != 4 || b.Stored != 1 || b.Duplicate != 1 || b.DeadLettered != 2 {
		t.Errorf("%+v", b)
	}
	count, err := p.store.Count(t.Context(), query.Query{Kind: record.KindAudit, Scope: query.All()}, 0)
	if err != nil || count.Records != 501 {
		t.Errorf("%d records are stored, %v", count.Records, err)
	}
}
