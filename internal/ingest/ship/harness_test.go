package ship

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/entry"
	"auditquery.dev/auditquery/internal/ingest/ledger"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/builders"
)

const source = "kubernetes/prod"

// fakeSpool keeps entries in memory and can fail the next Take.
type fakeSpool struct {
	mutex     sync.Mutex
	wake      chan struct{}
	queue     []spool.Taken
	errs      []error
	appended  int
	taken     map[uint64]bool // and not confirmed
	confirmed int
	mostTaken int
}

func newFakeSpool() *fakeSpool {
	return &fakeSpool{wake: make(chan struct{}), taken: map[uint64]bool{}}
}

func (f *fakeSpool) changed() {
	close(f.wake)
	f.wake = make(chan struct{})
}

func (f *fakeSpool) append(entries ...[]byte) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, data := range entries {
		f.appended++
		f.queue = append(f.queue, spool.Taken{Seq: uint64(f.appended), Data: data})
	}
	f.changed()
}

func (f *fakeSpool) fail(errs ...error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.errs = append(f.errs, errs...)
	f.changed()
}

func (f *fakeSpool) Take(ctx context.Context, most, mostBytes int) ([]spool.Taken, error) {
	for {
		got, wake, err := f.poll(most, mostBytes)
		if len(got) > 0 || err != nil {
			return got, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *fakeSpool) poll(most, mostBytes int) ([]spool.Taken, <-chan struct{}, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, nil, err
	}
	var got []spool.Taken
	for len(f.queue) > 0 && len(got) < most && (len(got) == 0 || bytesOf(got)+len(f.queue[0].Data) <= mostBytes) {
		got = append(got, f.queue[0])
		f.taken[f.queue[0].Seq] = true
		f.queue = f.queue[1:]
	}
	f.mostTaken = max(f.mostTaken, len(f.taken))
	return got, f.wake, nil
}

func (f *fakeSpool) Confirm(seqs ...uint64) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, seq := range seqs {
		if !f.taken[seq] {
			panic(fmt.Sprintf("entry %d is confirmed and is not taken", seq))
		}
		delete(f.taken, seq)
		f.confirmed++
	}
}

func (f *fakeSpool) state() ledger.SpoolState {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return ledger.SpoolState{Records: int64(f.appended - f.confirmed)}
}

// call is one AppendPrepared.
type call struct {
	at      time.Time
	records int
	// others is how many more calls were under way.
	others int
}

// fakeStore keeps records in memory.
type fakeStore struct {
	mutex  sync.Mutex
	stored map[record.ID]time.Time
	calls  []call
	inside int
	// outcome is what becomes of a record; nil, or a zero Result, for the usual.
	outcome func(record.Prepared) store.Outcome
	// during runs in each call, before anything is stored; its error is the
	// call's.
	during func(ctx context.Context, records []record.Prepared) error
}

func (f *fakeStore) AppendPrepared(ctx context.Context, records []record.Prepared) ([]store.Outcome, error) {
	f.mutex.Lock()
	f.calls = append(f.calls, call{at: time.Now(), records: len(records), others: f.inside})
	f.inside++
	during := f.during
	f.mutex.Unlock()
	var err error
	if during != nil {
		err = during(ctx, records)
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.inside--
	if err != nil {
		return nil, err
	}
	outcomes := make([]store.Outcome, len(records))
	for n, r := range records {
		outcomes[n] = f.append(r)
	}
	return outcomes, nil
}

func (f *fakeStore) append(r record.Prepared) store.Outcome {
	if f.outcome != nil {
		if o := f.outcome(r); o.Result != 0 {
			return o
		}
	}
	if _, ok := f.stored[r.ID]; ok {
		return store.Outcome{Result: store.Duplicate}
	}
	f.stored[r.ID] = time.Now()
	return store.Outcome{Result: store.Stored}
}

func (f *fakeStore) behave(during func(ctx context.Context, records []record.Prepared) error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.during = during
}

func (f *fakeStore) callsSince(t time.Time) []call {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var calls []call
	for _, c := range f.calls {
		if !c.at.Before(t) {
			calls = append(calls, c)
		}
	}
	return calls
}

func (f *fakeStore) has(ids ...record.ID) bool {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, id := range ids {
		if _, ok := f.stored[id]; !ok {
			return false
		}
	}
	return true
}

// fakeLetters keeps letters in memory, unless it fails.
type fakeLetters struct {
	mutex   sync.Mutex
	letters []deadletter.Letter
	err     error
}

func (f *fakeLetters) Put(letters ...deadletter.Letter) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.err != nil {
		return f.err
	}
	f.letters = append(f.letters, letters...)
	return nil
}

func (f *fakeLetters) fail(err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.err = err
}

func (f *fakeLetters) causes() []deadletter.Cause {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var all []deadletter.Cause
	for _, l := range f.letters {
		all = append(all, l.Cause)
	}
	return all
}

// rig is a shipper among fakes. Time is that of the test's bubble.
type rig struct {
	t        *testing.T
	spool    *fakeSpool
	store    *fakeStore
	letters  *fakeLetters
	ledger   *ledger.Ledger
	registry *prometheus.Registry
	forgot   []record.ID
	began    time.Time

	mutex sync.Mutex
	lines []string

	stop func()
	err  chan error
}

// inBubble runs a test whose clock stands still while anybody works.
func inBubble(t *testing.T, test func(t *testing.T, r *rig), modify ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{
			t: t, spool: newFakeSpool(), store: &fakeStore{stored: map[record.ID]time.Time{}}, letters: &fakeLetters{},
			ledger: ledger.New(nil), registry: prometheus.NewRegistry(), began: time.Now(), err: make(chan error, 1),
		}
		r.ledger.Watch(r.spool.state)
		options := Options{
			Spool: r.spool, Writer: r.store, Letters: r.letters, Ledger: r.ledger, Registerer: r.registry, Log: r.logger(),
			Forget: func(ids []record.ID) {
				r.mutex.Lock()
				defer r.mutex.Unlock()
				r.forgot = append(r.forgot, ids...)
			},
		}
		for _, m := range modify {
			m(&options)
		}
		s, err := New(options)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		r.stop = cancel
		go func() { r.err <- s.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-r.err; err != nil {
				t.Error(err)
			}
		}()
		test(t, r)
	})
}

func (r *rig) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.lines = append(r.lines, args)
	}, funcr.Options{})
}

func (r *rig) logged(part string) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	n := 0
	for _, line := range r.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// after lets time pass until everybody waits.
func (r *rig) after(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's clock, which jumps
	synctest.Wait()
}

func numbered(n int) *record.Audit {
	return builders.Audit(func(a *record.Audit) { a.TargetResourceName = fmt.Sprint("object-", n) })
}

func id(n int) record.ID {
	return record.ID{byte(n >> 16), byte(n >> 8), byte(n), 1}
}

// entryOf is the spooled form of the nth record.
func entryOf(n int) []byte {
	a := numbered(n)
	a.ID, a.Time = id(n), record.At(time.Now().Add(-time.Second))
	return entry.Append(nil, &entry.Entry{Source: source, Received: record.At(time.Now()), Record: record.Prepare(a)})
}

// append puts records n from until to into the spool.
func (r *rig) append(from, to int) {
	var entries [][]byte
	for n := from; n < to; n++ {
		entries = append(entries, entryOf(n))
	}
	r.spool.append(entries...)
}

// missing counts those of the records that are not stored.
func (r *rig) missing(from, to int) int {
	n := 0
	for at := from; at < to; at++ {
		if !r.store.has(id(at)) {
			n++
		}
	}
	return n
}

func (r *rig) account() ledger.Account { return r.ledger.Accounts()[source] }

func (r *rig) metric(name string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "auditquery_ingest_ship_"+name {
			m := family.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	r.t.Fatalf("there is no metric %s", name)
	return 0
}

func unavailable(after time.Duration) error {
	return &store.Error{Reason: store.Unavailable, Op: "append", Message: "the store is away", RetryAfter: after,
		Err: errors.New("dial https://elastic:secret@10.0.0.1:9200: refused")}
}

func failed() store.Outcome { return store.Outcome{Result: store.Failed, Err: unavailable(0)} }

// holds tells whether one of records is the nth.
func holds(records []record.Prepared, n int) bool {
	for _, r := range records {
		if r.ID == id(n) {
			return true
		}
	}
	return false
}
