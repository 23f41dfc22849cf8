package ship

import (
	"context"
	"testing"

	"github.com/go-logr/logr"

	"auditquery.dev/auditquery/internal/ingest/ledger"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// idleStore takes everything and does nothing.
type idleStore struct{}

func (idleStore) AppendPrepared(_ context.Context, records []record.Prepared) ([]store.Outcome, error) {
	outcomes := make([]store.Outcome, len(records))
	for n := range outcomes {
		outcomes[n].Result = store.Stored
	}
	return outcomes, nil
}

// BenchmarkDeliver is what shipping itself costs of a group of 1,000 records.
func BenchmarkDeliver(b *testing.B) {
	s, err := New(Options{Spool: newFakeSpool(), Writer: idleStore{}, Letters: &fakeLetters{}, Ledger: ledger.New(nil), Log: logr.Discard()})
	if err != nil {
		b.Fatal(err)
	}
	var taken []spool.Taken
	for n := range 1000 {
		taken = append(taken, spool.Taken{Seq: uint64(n), Data: entryOf(n)})
	}
	fake := s.options.Spool.(*fakeSpool)
	b.ReportAllocs()
	for b.Loop() {
		for _, t := range taken {
			fake.taken[t.Seq] = true
		}
		s.deliver(b.Context(), newGroup(taken))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}
