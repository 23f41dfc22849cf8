package storetest

import (
	"context"
	"io"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// memoryDeleter is a memory that erases. It passes the suite of erasing, unless
// it is given a fault.
type memoryDeleter struct {
	*memory
	// writing is held by appends, so that an erasure can stop them.
	writing sync.RWMutex
	noting  sync.Mutex
	notes   map[string]store.Note
	lost    map[string]bool
	fault   fault
}

// fault replaces a part of a right eraser with a wrong one.
type fault struct {
	// asked changes what an erasure is asked for.
	asked func(query.Query) query.Query
	// careless erases a stretch whatever is in it.
	careless bool
	// racy looks for survivors, and erases a moment later.
	racy bool
	// newest begins with the newest records; greedy takes one more.
	newest, greedy bool
	// stocked changes what a stretch says of its orgs.
	stocked func([]store.Stock) []store.Stock
	// forgetful says that an erased stretch was there.
	forgetful bool
	// blind replaces a note whatever its version.
	blind bool
	// literal takes filters as they are given.
	literal bool
	// oblivious takes a note that is lost for one that never was.
	oblivious bool
}

func newMemoryDeleter(f fault) *memoryDeleter {
	return &memoryDeleter{memory: newMemory(defect{}), notes: map[string]store.Note{}, lost: map[string]bool{}, fault: f}
}

func (m *memoryDeleter) deleterBackend() DeleterBackend {
	return DeleterBackend{
		Store:  m,
		Reopen: func(context.Context) (DeleterStore, error) { return m, nil },
		Stop:   m.backend().Stop,
		LoseNote: func(_ context.Context, name string) error {
			m.noting.Lock()
			defer m.noting.Unlock()
			delete(m.notes, name)
			m.lost[name] = !m.fault.oblivious
			return nil
		},
	}
}

func (m *memoryDeleter) Append(ctx context.Context, records []record.Record) ([]store.Outcome, error) {
	m.writing.RLock()
	defer m.writing.RUnlock()
	return m.memory.Append(ctx, records)
}

func monthOf(at time.Time) time.Time {
	return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
}

func (m *memoryDeleter) Stretches(ctx context.Context, kind record.Kind) ([]store.Stretch, error) {
	if err := m.ready(ctx, "stretches"); err != nil {
		return nil, err
	}
	if err := m.known(query.Query{Kind: kind}, "stretches"); err != nil {
		return nil, err
	}
	var stretches []store.Stretch
	found := m.held.matching(query.Query{Kind: kind, Scope: query.All()})
	for _, e := range slices.Backward(found) {
		month := monthOf(e.record.Base().Time.Time())
		if len(stretches) == 0 || !stretches[len(stretches)-1].From.Equal(month) {
			s := store.Stretch{Kind: kind, Name: month.Format("2006-01"), From: month, To: month.AddDate(0, 1, 0)}
			stretches = append(stretches, s)
		}
		stretches[len(stretches)-1].Orgs = count(stretches[len(stretches)-1].Orgs, e.record)
	}
	for i := range stretches {
		slices.SortFunc(stretches[i].Orgs, func(a, b store.Stock) int {
			if a.OrgID < b.OrgID {
				return -1
			}
			return 1
		})
		if m.fault.stocked != nil {
			stretches[i].Orgs = m.fault.stocked(stretches[i].Orgs)
		}
	}
	return stretches, nil
}

// count adds a record to the stock of its org, which is not newer than others.
func count(stocks []store.Stock, r record.Record) []store.Stock {
	at := r.Base().Time.Time()
	for i := range stocks {
		if stocks[i].OrgID == r.Base().OrgID {
			stocks[i].Records++
			stocks[i].Newest = at
			return stocks
		}
	}
	return append(stocks, store.Stock{OrgID: r.Base().OrgID, Records: 1, Oldest: at, Newest: at})
}

func (m *memoryDeleter) EraseStretch(ctx context.Context, kind record.Kind, name string, doomed query.Filter) (store.Erased, error) {
	const op = "erase a stretch"
	q, err := m.erasable(op, query.Query{Kind: kind, Scope: query.All(), Filter: doomed})
	if err != nil {
		return store.Erased{}, err
	}
	stretches, err := m.Stretches(ctx, kind)
	at := slices.IndexFunc(stretches, func(s store.Stretch) bool { return s.Name == name })
	if err != nil || (at < 0 && !m.fault.forgetful) {
		if err == nil {
			err = &store.Error{Reason: store.NotFound, Op: op, Message: name}
		}
		return store.Erased{}, err
	}
	if at < 0 {
		return store.Erased{}, nil
	}
	q.From, q.To = stretches[at].From, stretches[at].To
	if !m.fault.racy {
		m.writing.Lock()
		defer m.writing.Unlock()
	}
	all := q
	all.Filter = nil
	if len(m.held.matching(q)) < len(m.held.matching(all)) && !m.fault.careless {
		return store.Erased{}, store.ErrSurvivors
	}
	if m.fault.racy {
		moment, cancel := context.WithTimeout(ctx, 10*time.Millisecond) // in which records arrive
		defer cancel()
		<-moment.Done()
	}
	return store.Erased{Records: int64(m.held.erase(all))}, nil
}

func (m *memoryDeleter) erasable(op string, q query.Query) (query.Query, error) {
	if err := m.known(q, op); err != nil || m.fault.literal {
		return q, err
	}
	return store.Erasable(op, q, record.NewSchema(q.Kind))
}

func (m *memoryDeleter) FinishErasing(ctx context.Context) error { return m.ready(ctx, "finish") }

func (m *memoryDeleter) Reclaim(ctx context.Context) error { return m.ready(ctx, "reclaim") }

type memoryErasure struct {
	*memoryDeleter
	query query.Query
}

func (m *memoryDeleter) Erase(ctx context.Context, q query.Query) (store.Erasure, error) {
	if err := m.ready(ctx, "erase"); err != nil {
		return nil, err
	}
	q, err := m.erasable("erase", q)
	if m.fault.asked != nil {
		q = m.fault.asked(q)
	}
	return &memoryErasure{memoryDeleter: m, query: q}, err
}

func (e *memoryErasure) Next(ctx context.Context, limit int) (int, error) {
	if err := e.ready(ctx, "erase"); err != nil {
		return 0, err
	}
	if limit < 1 || limit > store.MaxErasureBatch {
		return 0, &store.Error{Reason: store.Invalid, Op: "erase", Message: strconv.Itoa(limit)}
	}
	found := e.held.matching(e.query)
	if len(found) == 0 {
		return 0, io.EOF
	}
	if !e.fault.newest {
		slices.Reverse(found)
	}
	if e.fault.greedy {
		limit++
	}
	found = found[:min(limit, len(found))]
	for _, entry := range found {
		e.held.remove(e.query.Kind, entry.record.Base().ID)
	}
	return len(found), nil
}

func (e *memoryErasure) Close(context.Context) error { return nil }

func (m *memoryDeleter) ReadNote(ctx context.Context, name string) (store.Note, error) {
	if err := m.ready(ctx, "read"); err != nil {
		return store.Note{}, err
	}
	m.noting.Lock()
	defer m.noting.Unlock()
	if m.lost[name] {
		return store.Note{}, &store.Error{Reason: store.Conflict, Op: "read", Message: name}
	}
	return m.notes[name], store.CheckNote("read", name, nil)
}

func (m *memoryDeleter) WriteNote(ctx context.Context, name string, data []byte, version string) (string, error) {
	if err := m.ready(ctx, "write"); err != nil {
		return "", err
	}
	if err := store.CheckNote("write", name, data); err != nil {
		return "", err
	}
	m.noting.Lock()
	defer m.noting.Unlock()
	if m.lost[name] || (m.notes[name].Version != version && !m.fault.blind) {
		return "", &store.Error{Reason: store.Conflict, Op: "write", Message: version}
	}
	number, _ := strconv.Atoi(m.notes[name].Version)
	next := strconv.Itoa(number + 1)
	m.notes[name] = store.Note{Data: slices.Clone(data), Version: next}
	return next, nil
}

func TestMemoryDeleterPasses(t *testing.T) {
	RunDeleter(t, func(*testing.T) DeleterBackend { return newMemoryDeleter(fault{}).deleterBackend() })
}

func TestErasersWithAFaultFail(t *testing.T) {
	asking := func(change func(*query.Query)) fault {
		return fault{asked: func(q query.Query) query.Query { change(&q); return q }}
	}
	for name, c := range map[string]struct {
		fault      fault
		wantCaught string
	}{
		"the filter is ignored":            {asking(func(q *query.Query) { q.Filter = nil }), "random parts are erased and nothing else"},
		"the beginning is ignored":         {asking(func(q *query.Query) { q.From = time.Time{} }), "random parts are erased and nothing else"},
		"the end is inclusive":             {asking(func(q *query.Query) { q.To = q.To.Add(time.Microsecond) }), "random parts are erased and nothing else"},
		"holds are not written as records": {fault{literal: true}, "what is held stays"},
		"the newest goes first":            {fault{newest: true}, "batches are bounded and begin with the oldest"},
		"a batch is too large":             {fault{greedy: true}, "batches are bounded and begin with the oldest"},
		"survivors are erased":             {fault{careless: true}, "a stretch with one survivor"},
		"survivors may come in between":    {fault{racy: true}, "records arrive while stretches are erased"},
		"an erased stretch is there":       {fault{forgetful: true}, "a whole stretch"},
		"an org is not counted": {fault{stocked: func(s []store.Stock) []store.Stock { return s[:min(len(s), 2_000)] }},
			"a stretch of many orgs"},
		"a note is overwritten":         {fault{blind: true}, "notes"},
		"a lost note is a note to make": {fault{oblivious: true}, "a note that is lost"},
	} {
		t.Run(name, func(t *testing.T) {
			settings := settings{seed: 1, queries: defaultQueries}
			for _, check := range deleterChecks() {
				if check.name != c.wantCaught {
					continue
				}
				b := newMemoryDeleter(c.fault).deleterBackend()
				if err := check.run(&b, settings); err == nil {
					t.Errorf("%q did not notice", check.name)
				}
			}
		})
	}
}
