package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// memory is a store that keeps records in a slice. It passes the suite, unless
// it is given a defect.
type memory struct {
	mu      sync.Mutex
	held    *naive
	stopped bool
	defect  defect
}

// defect replaces a part of a right store with a wrong one; nil leaves it.
type defect struct {
	// asked changes a query before it is answered.
	asked func(query.Query) query.Query
	// paged changes a page before it is returned.
	paged func(query.Query, store.Page) store.Page
	// counted changes a query before it is counted.
	counted func(query.Query) query.Query
	// got changes the scope of a Get.
	got func(query.Scope) query.Scope
	// appended changes an outcome.
	appended func(store.Outcome) store.Outcome
	// keeps makes it hold on to the memory of prepared records.
	keeps bool
	// trusts makes it store a prepared record without a look at it.
	trusts bool
	// overwrites makes a collision replace what is stored.
	overwrites bool
	// answered changes the answers of a batch.
	answered func([]store.Answer) []store.Answer
	// down answers instead of a failure while the store is stopped.
	down bool
	// deaf ignores contexts; untyped returns their errors as they are.
	deaf, untyped bool
	// gullible answers questions about fields that no record has.
	gullible bool
	// blended returns outcomes in another order than the records'.
	blended bool
}

func newMemory(d defect) *memory { return &memory{held: newNaive(), defect: d} }

func (m *memory) backend() Backend {
	set := func(stopped bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.stopped = stopped
	}
	return Backend{
		Store: m,
		Stop:  func(context.Context) error { set(true); return nil },
		Start: func(context.Context) (Store, error) { set(false); return m, nil },
	}
}

func (m *memory) ready(ctx context.Context, op string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := ctx.Err()
	switch {
	case m.stopped:
		return &store.Error{Reason: store.Unavailable, Op: op, Message: "stopped"}
	case err == nil || m.defect.deaf:
		return nil
	case m.defect.untyped:
		return err
	default:
		return &store.Error{Reason: store.Timeout, Op: op, Message: "interrupted", Err: err}
	}
}

// known refuses what validation refuses.
func (m *memory) known(q query.Query, op string) error {
	if q.Kind != record.KindAudit && q.Kind != record.KindAuthAudit {
		return &store.Error{Reason: store.Invalid, Op: op, Message: "unknown kind"}
	}
	if isUnknown(q.Filter) {
		return &store.Error{Reason: store.Invalid, Op: op, Message: "unknown field"}
	}
	return nil
}

func (m *memory) List(ctx context.Context, q query.Query) (store.Page, error) {
	if err := m.ready(ctx, "list"); err != nil {
		if m.defect.down && store.IsUnavailable(err) {
			return store.Page{}, nil
		}
		return store.Page{}, err
	}
	if err := m.known(q, "list"); err != nil {
		if m.defect.gullible {
			return store.Page{}, nil
		}
		return store.Page{}, err
	}
	asked := q
	if m.defect.asked != nil {
		asked = m.defect.asked(q)
	}
	page := m.held.page(asked)
	if m.defect.paged != nil {
		page = m.defect.paged(q, page)
	}
	return page, nil
}

func (m *memory) Get(ctx context.Context, kind record.Kind, id record.ID, scope query.Scope) ([]byte, error) {
	if err := m.ready(ctx, "get"); err != nil {
		return nil, err
	}
	if m.defect.got != nil {
		scope = m.defect.got(scope)
	}
	document, ok := m.held.get(kind, id, scope)
	if !ok {
		return nil, &store.Error{Reason: store.NotFound, Op: "get", Message: id.String()}
	}
	return document, nil
}

func (m *memory) Count(ctx context.Context, q query.Query, atMost int) (store.Count, error) {
	if err := m.ready(ctx, "count"); err != nil {
		return store.Count{}, err
	}
	if err := m.known(q, "count"); err != nil {
		return store.Count{}, err
	}
	if m.defect.counted != nil {
		q = m.defect.counted(q)
	}
	total := len(m.held.matching(q))
	if atMost > 0 && total > atMost {
		return store.Count{Records: int64(atMost)}, nil
	}
	return store.Count{Records: int64(total), Exact: true}, nil
}

func (m *memory) Search(ctx context.Context, questions []store.Question) []store.Answer {
	answers := make([]store.Answer, len(questions))
	for i, question := range questions {
		answers[i].Page, answers[i].Err = m.List(ctx, question.Query)
		if answers[i].Err == nil && question.CountAtMost > 0 {
			answers[i].Count, answers[i].Err = m.Count(ctx, question.Query, question.CountAtMost)
		}
	}
	if m.defect.answered != nil {
		answers = m.defect.answered(answers)
	}
	return answers
}

func (m *memory) Append(ctx context.Context, records []record.Record) ([]store.Outcome, error) {
	if err := m.ready(ctx, "append"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	outcomes := make([]store.Outcome, 0, len(records))
	for _, r := range records {
		o, err := m.appendOne(r)
		if err != nil {
			return nil, err
		}
		if m.defect.appended != nil {
			o = m.defect.appended(o)
		}
		outcomes = append(outcomes, o)
	}
	if m.defect.blended {
		slices.SortStableFunc(outcomes, func(a, b store.Outcome) int { return int(a.Result) - int(b.Result) })
	}
	return outcomes, nil
}

func (m *memory) AppendPrepared(ctx context.Context, prepared []record.Prepared) ([]store.Outcome, error) {
	if err := m.ready(ctx, "append"); err != nil {
		return nil, err
	}
	outcomes := make([]store.Outcome, len(prepared))
	var records []record.Record
	var places []int
	for i, p := range prepared {
		r, err := p.Record()
		if check := p.Check(); err == nil && !m.defect.trusts {
			err = check
		}
		if err != nil {
			outcomes[i] = store.Outcome{Result: store.Rejected, Err: err}
			continue
		}
		records, places = append(records, r), append(places, i)
	}
	appended, err := m.Append(ctx, records)
	for i, o := range appended {
		outcomes[places[i]] = o
		if m.defect.keeps && o.Result == store.Stored {
			m.held.keep(prepared[places[i]])
		}
	}
	return outcomes, err
}

// keep replaces the document of a record with one that the caller owns.
func (n *naive) keep(p record.Prepared) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, e := range n.records[p.Kind] {
		if e.record.Base().ID == p.ID {
			n.records[p.Kind][i].document = p.Document
		}
	}
}

func (m *memory) appendOne(r record.Record) (store.Outcome, error) {
	there, ok := m.held.get(r.Kind(), r.Base().ID, query.All())
	if !ok {
		return store.Outcome{Result: store.Stored}, m.held.add(clone(r))
	}
	document, err := record.Encode(r)
	if err != nil {
		return store.Outcome{}, err
	}
	same, err := record.SameContent(r.Kind(), there, document)
	if err != nil || same {
		return store.Outcome{Result: store.Duplicate}, err
	}
	if m.defect.overwrites {
		m.held.remove(r.Kind(), r.Base().ID)
		if err := m.held.add(clone(r)); err != nil {
			return store.Outcome{}, err
		}
	}
	return store.Outcome{Result: store.Collision, Err: errors.New("another record has this id")}, nil
}

// remove forgets a record.
func (n *naive) remove(kind record.Kind, id record.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.positions, id)
	n.records[kind] = slices.DeleteFunc(n.records[kind], func(e entry) bool { return e.record.Base().ID == id })
}

// clone copies a record as a store does: the caller may go on with its own.
func clone(r record.Record) record.Record {
	switch r := r.(type) {
	case *record.Audit:
		c := *r
		c.Details, c.Attributes = bytes.Clone(r.Details), slices.Clone(r.Attributes)
		return &c
	case *record.AuthAudit:
		c := *r
		c.Details = bytes.Clone(r.Details)
		return &c
	default:
		return r
	}
}
