package importer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// DefaultRetryFor is how long an import waits for a store that is away.
const DefaultRetryFor = 2 * time.Minute

const (
	firstWait = 250 * time.Millisecond
	longWait  = 10 * time.Second
)

// errStoreAway ends an import whose store stayed away.
var errStoreAway = errors.New("the store took no records")

// store writes the batch. Records that the store could not take are sent again,
// with growing waits, for as long as RetryFor after the last one that it took.
func (i *importer) store(ctx context.Context) error {
	pending := i.batch
	wait, waited := firstWait, time.Duration(0)
	for {
		left, err := i.append(ctx, pending)
		if err == nil && len(left) == 0 {
			return nil
		}
		if err != nil && !worthRetrying(err) {
			return i.stopped(pending, err)
		}
		if len(left) < len(pending) {
			wait, waited = firstWait, 0
		}
		pending = left
		if waited >= i.options.RetryFor {
			return i.stopped(pending, fmt.Errorf("%w for %s: %s", errStoreAway, waited.Round(time.Second), i.why(err)))
		}
		i.progress(true)
		pause := min(jitter(max(wait, retryAfter(err))), i.options.RetryFor)
		if err := i.options.Sleep(ctx, pause); err != nil {
			return i.stopped(pending, err)
		}
		waited += pause
		wait = min(2*wait, longWait)
	}
}

// append writes items once and returns those that have to be sent again.
func (i *importer) append(ctx context.Context, items []imported) ([]imported, error) {
	records := make([]record.Record, len(items))
	for n, item := range items {
		records[n] = item.record
	}
	outcomes, err := i.writer.Append(ctx, records)
	if err != nil {
		return items, err
	}
	if len(outcomes) != len(items) {
		return items, fmt.Errorf("the store answered for %d of %d records", len(outcomes), len(items))
	}
	var left []imported
	var failure error
	for n, outcome := range outcomes {
		again, err := i.count(items[n], outcome)
		if err != nil {
			failure = errors.Join(failure, err)
		}
		if again {
			left = append(left, items[n])
		}
	}
	return left, failure
}

// stopped says how far the import came and what to do.
func (i *importer) stopped(pending []imported, err error) error {
	return fmt.Errorf("stopped before line %d: %w; once that is put right, import the same file again: it stores only what is missing",
		pending[0].line, err)
}

func (i *importer) why(err error) string {
	if err == nil {
		return "it could not take them now"
	}
	return deadletter.Reason(err)
}

func worthRetrying(err error) bool { return store.IsUnavailable(err) || store.IsTimeout(err) }

func retryAfter(err error) time.Duration {
	var failure *store.Error
	if errors.As(err, &failure) {
		return min(failure.RetryAfter, longWait)
	}
	return 0
}

// jitter spreads d over its upper half, so that two importers do not come back
// together.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
