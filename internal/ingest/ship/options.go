package ship

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// Spool is where records come from; *spool.Spool is one.
type Spool interface {
	// Take waits for entries that were not taken yet and returns them, oldest
	// first. One goroutine calls it.
	Take(ctx context.Context, maxEntries, maxBytes int) ([]spool.Taken, error)
	// Confirm says that entries have another place. Workers call it.
	Confirm(seqs ...uint64)
}

// LetterBox keeps what the store will never take; *deadletter.Folder is one.
type LetterBox interface {
	// Put returns when the letters are durable. It may be called concurrently.
	Put(letters ...deadletter.Letter) error
}

// Ledger counts what became of records; *ledger.Ledger is one.
type Ledger interface {
	Stored(source string, n int)
	Duplicate(source string, n int)
	DeadLettered(source string, cause deadletter.Cause, n int)
	// Lag notes how long after its event a record could be found.
	Lag(d time.Duration)
}

// Finder tells whether a record can be found by a search. It is asked a few times
// a second at most.
type Finder func(ctx context.Context, kind record.Kind, id record.ID, at record.Timestamp) (bool, error)

// Options are what a Shipper needs. Spool, Writer, Letters and Ledger are
// required; zero means the default of everything else.
type Options struct {
	Spool   Spool
	Writer  store.PreparedWriter
	Letters LetterBox
	Ledger  Ledger

	// Workers is how many groups are sent at once; the default is 2.
	Workers int
	// MaxRecords and MaxBytes bound a group; the defaults are 1,000 and 4 MiB.
	// One record may be larger than MaxBytes.
	MaxRecords, MaxBytes int
	// Linger is how long a group that is not full waits for more records; the
	// default is 20 ms, less than zero means not at all.
	Linger time.Duration
	// Timeout is how long the store may take for one group; the default is 60 s.
	Timeout time.Duration
	// Stop is how long groups that are being sent may take when Run is to end;
	// the default is 20 s.
	Stop time.Duration

	// Forget is told of records that are not in the spool any more; nil means
	// nobody.
	Forget func([]record.ID)
	// Searchable is asked when a record of a sample can be found; nil means that
	// the lag is not measured.
	Searchable Finder
	// Registerer gets the metrics; nil means none.
	Registerer prometheus.Registerer
	// Now is the clock of letters and of the lag; nil means the system's.
	Now func() time.Time
	Log logr.Logger
}

func (o Options) complete() (Options, error) {
	if o.Spool == nil || o.Writer == nil || o.Letters == nil || o.Ledger == nil {
		return o, errors.New("a shipper needs a spool, a store, dead letters and a ledger")
	}
	o.Workers = orDefault(o.Workers, 2)
	o.MaxRecords = orDefault(o.MaxRecords, 1000)
	o.MaxBytes = orDefault(o.MaxBytes, 4<<20)
	o.Linger = orDefault(o.Linger, 20*time.Millisecond)
	o.Timeout = orDefault(o.Timeout, time.Minute)
	o.Stop = orDefault(o.Stop, 20*time.Second)
	if o.Forget == nil {
		o.Forget = func([]record.ID) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}

func orDefault[T int | time.Duration](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}
