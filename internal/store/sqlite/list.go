package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// maxGather is how many index entries are sorted for one page. A set of values
// or a prefix that more records have is dense enough to be met on the way through
// the index on time.
const maxGather = 10_000

// List returns one page, newest first.
func (s *Store) List(ctx context.Context, q query.Query) (store.Page, error) {
	op := fmt.Sprintf("list %s", q.Kind)
	ctx, done, err := s.begin(ctx, op)
	if err != nil {
		return store.Page{}, err
	}
	defer done()
	page, err := s.list(ctx, op, q)
	if err != nil {
		return store.Page{}, failure(ctx, op, err)
	}
	return page, nil
}

func (s *Store) list(ctx context.Context, op string, q query.Query) (store.Page, error) {
	l, err := s.layoutOf(op, q.Kind, q.Scope)
	if err != nil {
		return store.Page{}, err
	}
	if q.Limit < 1 || q.Limit > query.MaxLimit {
		return store.Page{}, invalid(op, fmt.Errorf("a limit of %d was not validated", q.Limit))
	}
	p, err := s.plan(ctx, op, l, q)
	if err != nil {
		return store.Page{}, err
	}
	// One more than asked for tells whether there is more.
	st, err := pageStatement(l, p, q.Limit+1)
	if err != nil {
		return store.Page{}, invalid(op, err)
	}
	stmt, release, err := s.read.get(ctx, st.text)
	if err != nil {
		return store.Page{}, err
	}
	defer release()
	rows, err := stmt.QueryContext(ctx, st.args...)
	if err != nil {
		return store.Page{}, err
	}
	page, err := readPage(rows, q.Limit, store.MaxPageBytes)
	return page, errors.Join(err, rows.Close())
}

// layoutOf refuses what query.Validate would have refused: without a scope, a
// forgotten check would show everything.
func (s *Store) layoutOf(op string, kind record.Kind, scope query.Scope) (*layout, error) {
	l, ok := s.layouts[kind]
	if !ok {
		return nil, invalid(op, fmt.Errorf("%q is not a kind of record", kind))
	}
	if scope.Name == "" || (scope.Restrict == nil && scope.Name != query.AllScope) {
		return nil, invalid(op, errors.New("no scope was resolved for this request"))
	}
	return l, nil
}

// plan decides on a plan, and abandons one that would sort too much.
func (s *Store) plan(ctx context.Context, op string, l *layout, q query.Query) (plan, error) {
	p := makePlan(l, q)
	if p.walk != walkGather || p.field == "id" {
		return p, nil
	}
	st, err := probeStatement(l, p, maxGather+1)
	if err != nil {
		return p, invalid(op, err)
	}
	n, err := s.number(ctx, st)
	if err != nil || n <= maxGather {
		return p, err
	}
	return p.throughTime(), nil
}

// readPage reads until the page is full or the rows end. It fails when they end
// early: a page that is short without saying so would hide records.
func readPage(rows *sql.Rows, limit, maxBytes int) (store.Page, error) {
	var (
		page  store.Page
		arena arena
		at    query.Position
		total int
	)
	for rows.Next() {
		var next query.Position
		var id, document sql.RawBytes
		if err := rows.Scan(&next.Micros, &id, &document); err != nil {
			return store.Page{}, err
		}
		copy(next.ID[:], id)
		first := len(page.Documents) == 0
		if !first && !before(next, at) {
			return store.Page{}, errDisorder
		}
		total += len(document)
		if len(page.Documents) == limit || (!first && total > maxBytes) {
			page.Next = &at
			return page, nil
		}
		page.Documents = append(page.Documents, arena.keep(document))
		at = next
	}
	if err := rows.Err(); err != nil {
		return store.Page{}, err
	}
	return page, nil
}

// before tells whether a comes after b in a page: earlier, or with a lesser id.
func before(a, b query.Position) bool {
	if a.Micros != b.Micros {
		return a.Micros < b.Micros
	}
	return bytes.Compare(a.ID[:], b.ID[:]) < 0
}

// arena keeps copies of documents in few allocations.
type arena struct{ free []byte }

const arenaBytes = 64 << 10

func (a *arena) keep(document []byte) []byte {
	if len(document) > len(a.free) {
		a.free = make([]byte, max(arenaBytes, len(document)))
	}
	n := copy(a.free, document)
	kept := a.free[:n:n]
	a.free = a.free[n:]
	return kept
}

// Get returns the document with an id, if scope allows it.
func (s *Store) Get(ctx context.Context, kind record.Kind, id record.ID, scope query.Scope) ([]byte, error) {
	op := fmt.Sprintf("get %s %s", kind, id)
	ctx, done, err := s.begin(ctx, op)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := s.layoutOf(op, kind, scope)
	if err != nil {
		return nil, err
	}
	st, err := documentStatement(l, id, scope.Restrict)
	if err != nil {
		return nil, invalid(op, err)
	}
	var document []byte
	err = s.one(ctx, st, &document)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &store.Error{Reason: store.NotFound, Op: op, Message: "there is no such record"}
	}
	if err != nil {
		return nil, failure(ctx, op, err)
	}
	return document, nil
}

// Count counts the records that match q, to the end or to atMost.
func (s *Store) Count(ctx context.Context, q query.Query, atMost int) (store.Count, error) {
	op := fmt.Sprintf("count %s", q.Kind)
	ctx, done, err := s.begin(ctx, op)
	if err != nil {
		return store.Count{}, err
	}
	defer done()
	count, err := s.count(ctx, op, q, atMost)
	if err != nil {
		return store.Count{}, failure(ctx, op, err)
	}
	return count, nil
}

func (s *Store) count(ctx context.Context, op string, q query.Query, atMost int) (store.Count, error) {
	l, err := s.layoutOf(op, q.Kind, q.Scope)
	if err != nil {
		return store.Count{}, err
	}
	q.After = nil
	most := int64(-1) // no limit
	if atMost > 0 {
		most = int64(atMost) + 1
	}
	st, err := countStatement(l, makePlan(l, q), most)
	if err != nil {
		return store.Count{}, invalid(op, err)
	}
	n, err := s.number(ctx, st)
	switch {
	case err != nil:
		return store.Count{}, err
	case n == most:
		return store.Count{Records: int64(atMost)}, nil
	default:
		return store.Count{Records: n, Exact: true}, nil
	}
}

func (s *Store) number(ctx context.Context, st statement) (int64, error) {
	var n int64
	err := s.one(ctx, st, &n)
	return n, err
}

// one reads a single row, in the first step of its statement: see pageStatement.
func (s *Store) one(ctx context.Context, st statement, into any) error {
	stmt, release, err := s.read.get(ctx, st.text)
	if err != nil {
		return err
	}
	defer release()
	return stmt.QueryRowContext(ctx, st.args...).Scan(into)
}

// Search runs each question by itself, as many at once as there are readers.
func (s *Store) Search(ctx context.Context, questions []store.Question) []store.Answer {
	answers := make([]store.Answer, len(questions))
	var group errgroup.Group
	group.SetLimit(s.readers)
	for i, question := range questions {
		group.Go(func() error {
			answers[i] = s.answer(ctx, question)
			return nil
		})
	}
	_ = group.Wait()
	return answers
}

func (s *Store) answer(ctx context.Context, question store.Question) store.Answer {
	page, err := s.List(ctx, question.Query)
	if err != nil {
		return store.Answer{Err: err}
	}
	a := store.Answer{Page: page}
	if question.CountAtMost > 0 {
		if a.Count, a.Err = s.Count(ctx, question.Query, question.CountAtMost); a.Err != nil {
			return store.Answer{Err: a.Err}
		}
	}
	return a
}
