package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// erasure erases by pages of a point in time. The next page is looked for while
// the records of one are deleted.
type erasure struct {
	*Store
	op    string
	query query.Query
	// groups are the indices that are still to be opened, oldest first.
	groups []indexGroup
	point  *point
	// held are hits that were found and not deleted yet.
	held   []hit
	ahead  *lookAhead
	life   context.Context
	cancel context.CancelFunc
}

// hit is a record that is to be deleted.
type hit struct {
	index string
	id    record.ID
}

// lookAhead is a page that is looked for meanwhile.
type lookAhead struct {
	done chan struct{}
	hits []hit
	err  error
}

// Erase opens the erasure of the records of q.
func (s *Store) Erase(ctx context.Context, q query.Query) (store.Erasure, error) {
	op := "erase " + clip(string(q.Kind))
	q, err := s.erasable(op, q)
	if err != nil {
		return nil, explain(op, err)
	}
	if _, err := s.conditions(q); err != nil {
		return nil, explainQuery("erase", q.Kind, err)
	}
	if err := s.settle(ctx); err != nil {
		return nil, explain(op, err)
	}
	e := &erasure{Store: s, op: op, query: q}
	if e.groups, err = s.groupsIn(ctx, q); err != nil {
		return nil, explain(op, err)
	}
	e.life, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return e, nil
}

// indexGroup is the indices of a month: their names fit into a URL, and an index
// of a day lies in the month of one of a month.
type indexGroup struct {
	indices []string
	window  span
}

// groupsIn lists the indices of a window.
func (s *Store) groupsIn(ctx context.Context, q query.Query) ([]indexGroup, error) {
	known, err := s.catalogue.renew(ctx)
	if err != nil {
		return nil, err
	}
	if err := known.stateLost(s.catalogue.names); err != nil {
		return nil, err
	}
	months := map[int]indexGroup{}
	for _, index := range known.recordedIn(s.catalogue.names, q.Kind, window(q)) {
		if _, ok := known.beingErased(index); ok {
			return nil, errBeingErased(index)
		}
		if err := known.ours(index); err != nil {
			return nil, err
		}
		covers := known.present[index].covers
		first := time.Date(covers.from.Year(), covers.from.Month(), 1, 0, 0, 0, 0, time.UTC)
		group := months[month(first)]
		group.indices = append(group.indices, index)
		group.window = span{from: first, to: first.AddDate(0, 1, 0)}.within(q)
		months[month(first)] = group
	}
	groups := make([]indexGroup, 0, len(months))
	for _, m := range slices.Sorted(maps.Keys(months)) {
		groups = append(groups, months[m])
	}
	return groups, nil
}

// within cuts a span to the window of a query.
func (s span) within(q query.Query) span {
	if q.From.After(s.from) {
		s.from = q.From
	}
	if !q.To.IsZero() && q.To.Before(s.to) {
		s.to = q.To
	}
	return s
}

// Next erases at most limit records.
func (e *erasure) Next(ctx context.Context, limit int) (int, error) {
	if limit < 1 || limit > store.MaxErasureBatch {
		return 0, &store.Error{Reason: store.Invalid, Op: e.op,
			Message: fmt.Sprintf("a batch of %d records is not between 1 and %d", limit, store.MaxErasureBatch)}
	}
	ctx, cancel := withMargin(ctx)
	defer cancel()
	if err := e.settle(ctx); err != nil {
		return 0, explain(e.op, err)
	}
	hits, err := e.take(ctx, limit)
	if errors.Is(err, io.EOF) {
		return 0, io.EOF
	}
	if err != nil {
		return 0, explain(e.op, err)
	}
	if len(e.held) == 0 {
		e.lookAhead(limit)
	}
	erased, err := e.deleteHits(ctx, hits)
	if err != nil {
		return 0, explain(e.op, err)
	}
	return erased, nil
}

// take returns the next hits, io.EOF if there are none.
func (e *erasure) take(ctx context.Context, limit int) ([]hit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(e.held) == 0 {
		var err error
		if e.held, err = e.wait(ctx, limit); err != nil {
			return nil, err
		}
	}
	if len(e.held) == 0 {
		return nil, io.EOF
	}
	hits := e.held[:min(limit, len(e.held))]
	e.held = e.held[len(hits):]
	return hits, nil
}

// wait returns the page that is being looked for, or looks for it.
func (e *erasure) wait(ctx context.Context, limit int) ([]hit, error) {
	ahead := e.ahead
	if ahead == nil {
		return e.find(ctx, limit)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-ahead.done:
		e.ahead = nil
		return ahead.hits, ahead.err
	}
}

// lookAhead begins to look for the next page. It ends by the client's timeout, or
// with the erasure.
func (e *erasure) lookAhead(limit int) {
	ahead := &lookAhead{done: make(chan struct{})}
	e.ahead = ahead
	go func() {
		defer close(ahead.done)
		ahead.hits, ahead.err = e.find(e.life, limit)
	}()
}

// find returns at most size hits, oldest first, none at the end. A point in time
// that is gone is opened anew once.
func (e *erasure) find(ctx context.Context, size int) ([]hit, error) {
	ctx, cancel := context.WithTimeout(ctx, e.client.timeout)
	defer cancel()
	renewed := false
	for {
		hits, err := e.findOnce(ctx, size)
		if pointGone(err) && !renewed {
			renewed = true
			if err := e.begin(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil || len(hits) > 0 || (e.point == nil && len(e.groups) == 0) {
			return hits, err
		}
	}
}

// pointGone tells whether a point in time has to be opened anew: it expired, or
// an index was erased.
func pointGone(err error) bool {
	var partial *partialError
	return vanished(err) || errors.As(err, &partial)
}

// begin goes on from where the point in time was with the indices of now. What
// was found and is not deleted yet is found again, which does no harm.
func (e *erasure) begin(ctx context.Context) error {
	if e.point != nil && e.point.at.After(e.query.From) {
		e.query.From = e.point.at
	}
	e.point = nil
	groups, err := e.groupsIn(ctx, e.query)
	e.groups = groups
	return err
}

// findOnce asks one page, of the next group if there is no point in time.
func (e *erasure) findOnce(ctx context.Context, size int) ([]hit, error) {
	if e.point == nil {
		if len(e.groups) == 0 {
			return nil, nil
		}
		if err := e.open(ctx, e.groups[0], size); err != nil {
			return nil, err
		}
		e.groups = e.groups[1:]
	}
	var hits []hit
	if !e.point.ended() {
		var err error
		if hits, err = e.page(ctx, size); err != nil {
			return nil, err
		}
	}
	if e.point.ended() {
		ended := e.point
		e.point = nil
		e.closePoint(ctx, ended)
	}
	return hits, nil
}

// Close ends the erasure.
func (e *erasure) Close(ctx context.Context) error {
	e.cancel()
	if e.ahead != nil {
		<-e.ahead.done
		e.ahead = nil
	}
	if e.point != nil {
		e.closePoint(ctx, e.point)
		e.point = nil
	}
	e.held, e.groups = nil, nil
	return nil
}
