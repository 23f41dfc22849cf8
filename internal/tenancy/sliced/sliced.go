// Package sliced asks a store about scopes that are too large for one question.
//
// The scope of the records that nobody claims may need a condition for each
// namespace. Within a window most of these are the same for all records, so this
// Reader narrows every scope to its query's window and, where still too much is
// left, asks about one part of the window after the other, newest first. Answers
// are those of the store behind it.
package sliced

import (
	"context"
	"errors"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy"
)

// Store is what is asked.
type Store interface {
	store.Reader
	store.BatchReader
}

// Reader is a Store that asks another one.
type Reader struct{ store Store }

var _ Store = (*Reader)(nil)

// NewReader returns a Reader of a store.
func NewReader(s Store) *Reader { return &Reader{store: s} }

// List returns one page, newest first.
func (r *Reader) List(ctx context.Context, q query.Query) (store.Page, error) {
	if !tenancy.Sliced(q.Scope, q.From, end(q)) {
		return r.store.List(ctx, narrowed(q))
	}
	pager := pager{kind: q.Kind, limit: q.Limit, maxBytes: store.MaxPageBytes}
	for slice := range tenancy.Slices(q.Scope, q.From, end(q)) {
		part := q
		part.From, part.To, part.Scope, part.Limit = slice.From, slice.To, slice.Scope, pager.wanted()
		page, err := r.store.List(ctx, part)
		if err != nil {
			return store.Page{}, err
		}
		if full, err := pager.add(page); err != nil || full {
			return pager.page, err
		}
	}
	return pager.page, nil
}

// end is the end of a query's window: nothing at or after it is asked for.
func end(q query.Query) time.Time {
	if q.After == nil {
		return q.To
	}
	after := time.UnixMicro(q.After.Micros + 1).UTC()
	if q.To.IsZero() || after.Before(q.To) {
		return after
	}
	return q.To
}

func narrowed(q query.Query) query.Query {
	q.Scope = tenancy.Narrow(q.Scope, q.From, end(q))
	return q
}

// Get returns the document with an id if scope allows it.
//
// A scope that is too large is narrowed to the record's time, for which the record
// is looked at first. Whether it may be seen the store says after that.
func (r *Reader) Get(ctx context.Context, kind record.Kind, id record.ID, scope query.Scope) ([]byte, error) {
	if !tenancy.Sliced(scope, time.Time{}, time.Time{}) {
		return r.store.Get(ctx, kind, id, scope)
	}
	document, err := r.store.Get(ctx, kind, id, query.All())
	if err != nil {
		return nil, err
	}
	at, err := position(kind, document)
	if err != nil {
		return nil, err
	}
	from := time.UnixMicro(at.Micros).UTC()
	return r.store.Get(ctx, kind, id, tenancy.Narrow(scope, from, from.Add(time.Microsecond)))
}

// Count counts the records that match q, to the end or to atMost.
func (r *Reader) Count(ctx context.Context, q query.Query, atMost int) (store.Count, error) {
	total := store.Count{Exact: true}
	for slice := range tenancy.Slices(q.Scope, q.From, q.To) {
		part, most := q, 0
		part.From, part.To, part.Scope = slice.From, slice.To, slice.Scope
		if atMost > 0 {
			// One more than is left, so that reaching the end of what
			// may be counted is told from passing it.
			most = atMost - int(total.Records) + 1
		}
		count, err := r.store.Count(ctx, part, most)
		if err != nil {
			return store.Count{}, err
		}
		total.Records += count.Records
		if atMost > 0 && total.Records > int64(atMost) {
			return store.Count{Records: int64(atMost)}, nil
		}
		total.Exact = total.Exact && count.Exact
	}
	return total, nil
}

// Search runs each question: all that need no more than one part of their window
// in one round trip, the others one by one.
func (r *Reader) Search(ctx context.Context, questions []store.Question) []store.Answer {
	answers := make([]store.Answer, len(questions))
	var joined []store.Question
	var places []int
	for i, question := range questions {
		q := question.Query
		if tenancy.Sliced(q.Scope, q.From, q.To) {
			answers[i] = r.answer(ctx, question)
			continue
		}
		// The count ignores After, so only the window narrows the scope.
		question.Query.Scope = tenancy.Narrow(q.Scope, q.From, q.To)
		joined, places = append(joined, question), append(places, i)
	}
	if len(joined) == 0 {
		return answers
	}
	for i, answer := range r.store.Search(ctx, joined) {
		answers[places[i]] = answer
	}
	return answers
}

func (r *Reader) answer(ctx context.Context, question store.Question) store.Answer {
	page, err := r.List(ctx, question.Query)
	if err != nil || question.CountAtMost <= 0 {
		return store.Answer{Page: page, Err: err}
	}
	count, err := r.Count(ctx, question.Query, question.CountAtMost)
	if err != nil {
		return store.Answer{Err: err}
	}
	return store.Answer{Page: page, Count: count}
}

// pager puts one page together from those of the parts of a window.
type pager struct {
	kind            record.Kind
	limit, maxBytes int
	page            store.Page
	bytes           int
}

// wanted is how many rows to ask the next part for. When the page is full one more
// row still tells whether anything follows.
func (p *pager) wanted() int { return max(p.limit-len(p.page.Documents), 1) }

// add takes a part's page in; full says that nothing more is to be asked.
func (p *pager) add(part store.Page) (full bool, err error) {
	for _, document := range part.Documents {
		fits := len(p.page.Documents) == 0 || p.bytes+len(document) <= p.maxBytes
		if len(p.page.Documents) == p.limit || !fits {
			last, err := position(p.kind, p.page.Documents[len(p.page.Documents)-1])
			if err != nil {
				p.page = store.Page{}
				return true, err
			}
			p.page.Next = &last
			return true, nil
		}
		p.page.Documents = append(p.page.Documents, document)
		p.bytes += len(document)
	}
	p.page.Next = part.Next
	return part.Next != nil, nil
}

// position reads a document's place in the order of records.
func position(kind record.Kind, document []byte) (query.Position, error) {
	r := record.New(kind)
	if r == nil {
		return query.Position{}, unreadable(errors.New("unknown kind"))
	}
	if err := record.Decode(document, r); err != nil {
		return query.Position{}, unreadable(err)
	}
	return store.PositionOf(r), nil
}

func unreadable(err error) error {
	return &store.Error{Reason: store.Conflict, Op: "read", Message: "the store holds a record that cannot be read", Err: err}
}
