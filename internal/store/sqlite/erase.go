package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// maxErase is how many records are erased in one transaction, which holds
	// the only writer: as many as are written in one.
	maxErase = maxTransaction
	// maxFound is how many records are looked up ahead, 32 bytes each.
	// Looking up goes on where it ended and needs no writer.
	maxFound = 10 * maxErase
	// maxStretch is how many records a month may have that is erased by one
	// call. Its cost grows with them, to about 5 s, and nobody looks for holds
	// meanwhile. More are a matter of batches, between which one does.
	maxStretch = 50 * maxErase
)

// EraseStretch erases the records of a calendar month, named YYYY-MM, in
// transactions of at most a thousand records each: the writer is free in between.
// Each erases what is doomed and nothing else, so that a record that comes
// meanwhile and is not doomed stays. After an error a part of the doomed records
// may be gone, and Erased says how many; another call erases the rest.
//
// ErrSurvivors means that this call erased nothing, NotFound that the month holds
// no records, Invalid also that it holds more than 50,000, which are to be erased in
// batches. Bytes is an estimate, as that of Stretches.
func (s *Store) EraseStretch(ctx context.Context, kind record.Kind, name string, filter query.Filter) (store.Erased, error) {
	op := fmt.Sprintf("erase a month of %s", kind)
	ctx, done, err := s.begin(ctx, op)
	if err != nil {
		return store.Erased{}, err
	}
	defer done()
	if err := ctx.Err(); err != nil {
		return store.Erased{}, failure(ctx, op, err)
	}
	erased, err := s.eraseMonth(ctx, op, kind, name, filter)
	if err != nil && !errors.Is(err, store.ErrSurvivors) {
		err = failure(ctx, op, err)
	}
	return erased, err
}

func (s *Store) eraseMonth(ctx context.Context, op string, kind record.Kind, name string, filter query.Filter) (store.Erased, error) {
	missing := &store.Error{Reason: store.NotFound, Op: op, Message: fmt.Sprintf("there are no records of the month %q", name)}
	from, err := time.Parse(monthName, name)
	if err != nil {
		missing.Err = err
		return store.Erased{}, missing
	}
	e, err := s.erasureOf(ctx, op, query.Query{Kind: kind, Scope: query.All(), From: from, To: from.AddDate(0, 1, 0), Filter: filter})
	if err != nil {
		return store.Erased{}, err
	}
	all := e.what
	all.Filter = nil
	held, err := s.count(ctx, op, all, s.maxStretch)
	switch {
	case err != nil:
		return store.Erased{}, err
	case held.Records == 0:
		return store.Erased{}, missing
	case !held.Exact:
		return store.Erased{}, invalid(op, fmt.Errorf("it holds more than %d records; erase them in batches", s.maxStretch))
	}
	if err := s.noneSurvives(ctx, op, e.what); err != nil {
		return store.Erased{}, err
	}
	return s.eraseToEnd(ctx, e)
}

// noneSurvives returns store.ErrSurvivors when a record of the window of q does not
// match its filter.
func (s *Store) noneSurvives(ctx context.Context, op string, q query.Query) error {
	if q.Filter == nil {
		return nil
	}
	q.Filter = query.Not{Filter: q.Filter}
	survivors, err := s.count(ctx, op, q, 1)
	if err == nil && survivors.Records > 0 {
		err = store.ErrSurvivors
	}
	return err
}

func (s *Store) eraseToEnd(ctx context.Context, e *erasure) (store.Erased, error) {
	var erased store.Erased
	each, err := s.averageBytes(ctx)
	for err == nil {
		var n int
		n, err = e.next(ctx, maxErase)
		erased.Records += int64(n)
		erased.Bytes = int64(each * float64(erased.Records))
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return erased, err
}

func (s *Store) averageBytes(ctx context.Context) (float64, error) {
	tx, err := s.read.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	return s.bytesPerRecord(ctx, tx)
}

// FinishErasing has nothing to do: a transaction is erased whole or not at all.
func (s *Store) FinishErasing(ctx context.Context) error {
	const op = "finish erasing"
	ctx, done, err := s.begin(ctx, op)
	if err != nil {
		return err
	}
	defer done()
	if err := ctx.Err(); err != nil {
		return failure(ctx, op, err)
	}
	return nil
}

// Erase opens the erasure of the records of q, oldest first. It holds nothing open
// between batches. Records that come while it goes on are erased by it only where
// it has not been yet. A batch is at most a thousand records.
func (s *Store) Erase(ctx context.Context, q query.Query) (store.Erasure, error) {
	op := fmt.Sprintf("erase %s", q.Kind)
	ctx, done, err := s.begin(ctx, op)
	if err != nil {
		return nil, err
	}
	defer done()
	e, err := s.erasureOf(ctx, op, q)
	if err != nil {
		return nil, failure(ctx, op, err)
	}
	return e, nil
}

// erasure is an erasure under way. It is for one goroutine at a time.
type erasure struct {
	store  *Store
	op     string
	layout *layout
	plan   plan
	// what may be erased. Every transaction asks again.
	what query.Query
	// found are the next records, in order; more tells that there may be
	// others behind them.
	found  []int64
	more   bool
	closed bool
}

func (s *Store) erasureOf(ctx context.Context, op string, q query.Query) (*erasure, error) {
	l, err := s.layoutOf(op, q.Kind, q.Scope)
	if err != nil {
		return nil, err
	}
	what, err := store.Erasable(op, q, l.schema)
	if err != nil {
		return nil, err
	}
	p, err := s.plan(ctx, op, l, what)
	if err != nil {
		return nil, err
	}
	return &erasure{store: s, op: op, layout: l, plan: p, what: what, more: true}, nil
}

// Next erases the next records, at most limit and at most a thousand. It returns
// io.EOF when there is none left.
func (e *erasure) Next(ctx context.Context, limit int) (int, error) {
	ctx, done, err := e.store.begin(ctx, e.op)
	if err != nil {
		return 0, err
	}
	defer done()
	switch {
	case e.closed:
		return 0, invalid(e.op, errors.New("the erasure was closed"))
	case limit < 1 || limit > store.MaxErasureBatch:
		return 0, invalid(e.op, fmt.Errorf("a batch is of 1 to %d records, not %d", store.MaxErasureBatch, limit))
	}
	n, err := e.next(ctx, limit)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, failure(ctx, e.op, err)
	}
	return n, err
}

func (e *erasure) next(ctx context.Context, limit int) (int, error) {
	for {
		if len(e.found) == 0 {
			if !e.more {
				return 0, io.EOF
			}
			if err := e.find(ctx); err != nil {
				return 0, err
			}
			continue
		}
		batch := e.found[:min(limit, maxErase, len(e.found))]
		n, err := e.store.eraseBatch(ctx, e.layout, e.what, batch)
		if err != nil {
			return 0, err
		}
		e.found = e.found[len(batch):]
		if n > 0 { // none is left of them when another one erases as well
			return n, nil
		}
	}
}

// find looks up the next records.
func (e *erasure) find(ctx context.Context) error {
	st, err := refsStatement(e.layout, e.plan, maxFound)
	if err != nil {
		return invalid(e.op, err)
	}
	stmt, release, err := e.store.read.get(ctx, st.text)
	if err != nil {
		return err
	}
	defer release()
	rows, err := stmt.QueryContext(ctx, st.args...)
	if err != nil {
		return err
	}
	found, last, err := readRefs(rows)
	if err := errors.Join(err, rows.Close()); err != nil {
		return err
	}
	e.found, e.more = found, len(found) == maxFound
	if len(found) > 0 {
		e.plan.window.past = &last
	}
	return nil
}

func readRefs(rows *sql.Rows) ([]int64, query.Position, error) {
	var refs []int64
	var at query.Position
	for rows.Next() {
		var ref int64
		var id sql.RawBytes
		next := query.Position{}
		if err := rows.Scan(&ref, &next.Micros, &id); err != nil {
			return nil, at, err
		}
		copy(next.ID[:], id)
		if len(refs) > 0 && !before(at, next) {
			return nil, at, errDisorder
		}
		refs, at = append(refs, ref), next
	}
	return refs, at, rows.Err()
}

// Close ends the erasure. Nothing is held open.
func (e *erasure) Close(context.Context) error {
	e.closed, e.found, e.more = true, nil, false
	return nil
}
