package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// outageDeadline is what a caller waits for a store that is down.
const outageDeadline = 10 * time.Second

// outage: a store that is stopped in the middle of a walk, and while another
// reader walks, gives errors that say so and no page that lacks something. It
// goes on where it was when it is back.
func outage(ctx context.Context, b *Backend, _ settings) error {
	want := newNaive()
	records := audits(0, 700)
	if err := errors.Join(want.add(records...), appendAll(ctx, b, records)); err != nil {
		return err
	}
	q := everyAudit(100)
	first, err := b.Store.List(ctx, q)
	if err != nil {
		return err
	}
	if err := samePage(first, want.page(q)); err != nil {
		return err
	}
	q.After = first.Next
	if err := stopWhileReading(ctx, b, want); err != nil {
		return err
	}
	if err := allUnavailable(ctx, b.Store, q); err != nil {
		return err
	}
	if b.Store, err = b.Start(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := sameWalk(ctx, b.Store, want, q); err != nil {
		return fmt.Errorf("the rest of the walk, after the outage: %w", err)
	}
	more := audits(700, 710)
	if err := errors.Join(want.add(more...), appendAll(ctx, b, more)); err != nil {
		return fmt.Errorf("after the outage: %w", err)
	}
	if err := appendWant(ctx, b.Store, asPrepared, records, store.Duplicate); err != nil {
		return fmt.Errorf("what was stored before the outage: %w", err)
	}
	return sameWalk(ctx, b.Store, want, everyAudit(query.MaxLimit))
}

// stopWhileReading stops the store while a reader takes page after page, each
// of which must be whole until the first error.
func stopWhileReading(ctx context.Context, b *Backend, want *naive) error {
	reading := make(chan struct{})
	var failure error
	var reader sync.WaitGroup
	reader.Go(func() {
		var once sync.Once
		started := func() { once.Do(func() { close(reading) }) }
		defer started()
		failure = readUntilError(ctx, b.Store, want, started)
	})
	<-reading
	err := b.Stop(ctx)
	reader.Wait()
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return failure
}

func readUntilError(ctx context.Context, r store.Reader, want *naive, started func()) error {
	q := everyAudit(50)
	for ctx.Err() == nil {
		page, err := listWithin(ctx, r, q)
		if err != nil {
			return outageError("list while the store stops", err)
		}
		if err := samePage(page, want.page(q)); err != nil {
			return fmt.Errorf("while the store stops: %w", err)
		}
		started()
		q.After = page.Next // nil at the end: the walk begins anew
	}
	return errors.New("the store was stopped, but its reader never saw an error")
}

func listWithin(ctx context.Context, r store.Reader, q query.Query) (store.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, outageDeadline)
	defer cancel()
	return r.List(ctx, q)
}

// allUnavailable calls every method of a store that is down.
func allUnavailable(ctx context.Context, s Store, next query.Query) error {
	down := append(calls(), call{"List of the next page", func(ctx context.Context, s Store) error {
		_, err := s.List(ctx, next)
		return err
	}}, call{"Append of a new record", func(ctx context.Context, s Store) error {
		outcomes, err := s.Append(ctx, []record.Record{audit(9999)})
		if err == nil && len(outcomes) == 1 && outcomes[0].Result == store.Failed {
			return outcomes[0].Err
		}
		return err
	}})
	for _, c := range down {
		within, cancel := context.WithTimeout(ctx, outageDeadline)
		err := c.do(within, s)
		cancel()
		if err := outageError(c.name+" while the store is down", err); err != nil {
			return err
		}
	}
	return nil
}

// outageError returns nil for an error that tells of an outage.
func outageError(when string, err error) error {
	if store.IsUnavailable(err) || store.IsTimeout(err) {
		return nil
	}
	return fmt.Errorf("%s: error %v, want Unavailable or Timeout", when, err)
}
