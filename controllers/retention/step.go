package retention

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// maxBatchTries is how often in a row a batch may fail before its step does.
	maxBatchTries = 3
	// maxEmptyBatches is how many batches in a row may erase nothing.
	maxEmptyBatches = 50
	// maxPause bounds the pause after a batch.
	maxPause = 10 * time.Second
	// closeTimeout bounds the end of an erasure.
	closeTimeout = 5 * time.Second
)

// take executes one step: a whole stretch at once where that is possible, else
// batches.
func (r *run) take(ctx context.Context, step retention.Step) error {
	r.policy(step.Policy)
	if !step.Whole {
		return r.takeBatches(ctx, step)
	}
	err := r.takeWhole(ctx, step)
	switch {
	case store.IsNotFound(err):
		return nil
	case errors.Is(err, store.ErrSurvivors), store.IsInvalid(err):
		r.e.Log.Info("a stretch cannot be erased as a whole, so it is erased in batches", "kind", step.Kind, "stretch", step.Stretch)
		return r.takeBatches(ctx, step)
	}
	return err
}

func (r *run) takeWhole(ctx context.Context, step retention.Step) error {
	doomed := step.Doomed(r.plan.Holds)
	var erased store.Erased
	var took time.Duration
	err := r.guarded(ctx, func(ctx context.Context) error {
		began := time.Now()
		var err error
		erased, err = r.e.Store.EraseStretch(ctx, step.Kind, step.Stretch, doomed)
		took = r.e.metrics.batch(began)
		return r.doubt(step, err)
	})
	// A part may be known to be gone although the whole is not.
	r.gone(step, erased.Records, erased.Bytes)
	if err != nil {
		return err
	}
	return r.pause(ctx, took)
}

// doubtError is the failure of a call that erases after which nobody knows what it has
// erased, or whether the store is still at work on it.
type doubtError struct{ error }

func (e doubtError) Unwrap() error { return e.error }

// doubt takes the error of a call that erases. Unless it says that nothing was erased,
// the trail says from then on that it counts too little, perhaps.
func (r *run) doubt(step retention.Step, err error) error {
	if err == nil || errors.Is(err, store.ErrSurvivors) || store.IsInvalid(err) || store.IsNotFound(err) {
		return err
	}
	r.unsure = true
	r.policy(step.Policy).AtLeast = true
	for _, name := range r.concerned(step) {
		r.policy(name).AtLeast = true
	}
	return doubtError{err}
}

// takeBatches erases what the step dooms within its bounds of time. After a batch
// that failed the erasure is opened anew: what is gone is gone.
func (r *run) takeBatches(ctx context.Context, step retention.Step) error {
	q := query.Query{Kind: step.Kind, Scope: query.All(), From: step.From, To: step.Until, Filter: step.Doomed(r.plan.Holds)}
	b := &batches{run: r, step: step, query: q, size: r.e.BatchSize}
	defer b.close(ctx)
	for {
		more, err := b.next(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// batches are those of one step.
type batches struct {
	run   *run
	step  retention.Step
	query query.Query
	size  int

	open            store.Erasure
	failures, empty int
}

// next erases one batch; false at the end. A batch that took too long is tried again
// with half the size.
func (b *batches) next(ctx context.Context) (bool, error) {
	var erased int
	var took time.Duration
	ended := false
	err := b.run.guarded(ctx, func(ctx context.Context) error {
		began := time.Now()
		var err error
		erased, ended, err = b.erase(ctx)
		took = b.run.e.metrics.batch(began)
		return err
	})
	if err != nil {
		b.close(ctx)
		return b.again(err)
	}
	b.failures = 0
	b.run.gone(b.step, int64(erased), b.run.share(b.step, int64(erased)))
	if ended {
		return false, nil
	}
	if b.empty++; erased > 0 {
		b.empty = 0
	}
	if b.empty == maxEmptyBatches {
		return false, fmt.Errorf("%d batches in a row have erased nothing", b.empty)
	}
	return true, b.run.pause(ctx, took)
}

func (b *batches) erase(ctx context.Context) (erased int, ended bool, err error) {
	if b.open == nil {
		if b.open, err = b.run.e.Store.Erase(ctx, b.query); err != nil {
			b.open = nil
			return 0, false, err
		}
	}
	erased, err = b.open.Next(ctx, b.size)
	if errors.Is(err, io.EOF) {
		return erased, true, nil
	}
	return erased, false, b.run.doubt(b.step, err)
}

// again tells whether a batch that failed is worth another try.
func (b *batches) again(err error) (bool, error) {
	var halt haltError
	tooSlow := store.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded)
	if errors.As(err, &halt) || errors.Is(err, errRulesChanged) || errors.Is(err, errOutOfTime) || !tooSlow {
		return false, err
	}
	if b.failures++; b.failures == maxBatchTries {
		return false, err
	}
	b.size = max(b.size/2, 1)
	return true, nil
}

// close frees what an open erasure holds in the store. That it cannot be freed now
// costs the store memory for a while, and nothing else.
func (b *batches) close(ctx context.Context) {
	if b.open == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := b.open.Close(ctx); err != nil {
		b.run.e.Log.V(1).Info("an erasure could not be closed", "error", err.Error())
	}
	b.open = nil
}

// pause leaves the store to others, in proportion to how long it was ours.
func (r *run) pause(ctx context.Context, took time.Duration) error {
	wait := min(time.Duration(float64(took)*r.e.Throttle), maxPause)
	if wait <= 0 {
		return ctx.Err()
	}
	return sleep(ctx, wait)
}

// gone counts what a step has erased.
func (r *run) gone(step retention.Step, records, bytes int64) {
	if records == 0 && bytes == 0 {
		return
	}
	p := r.policy(step.Policy)
	was := p.Erased[step.Kind]
	now := Gone{Records: was.Records + records, Bytes: was.Bytes + bytes, From: was.From, Until: was.Until}
	if was.Records == 0 || step.From.Before(was.From) {
		now.From = step.From
	}
	if step.Until.After(was.Until) {
		now.Until = step.Until
	}
	p.Erased[step.Kind] = now
	r.e.metrics.erased(step.Policy, step.Kind, records, bytes)
	r.e.Log.V(1).Info("erased", "policy", step.Policy, "kind", step.Kind, "stretch", step.Stretch, "records", records)
}

// share is about how many bytes a number of records of a stretch took.
func (r *run) share(step retention.Step, records int64) int64 {
	for _, s := range r.index {
		if s.Kind != step.Kind || s.Name != step.Stretch {
			continue
		}
		var all int64
		for _, org := range s.Orgs {
			all += org.Records
		}
		if all > 0 {
			return int64(float64(s.Bytes) / float64(all) * float64(records))
		}
	}
	return 0
}

// fail notes that a step failed, for each policy of this run whose records it left.
func (r *run) fail(step retention.Step, err error) {
	r.failed[keyOf(step)] = true
	for _, name := range r.concerned(step) {
		p := r.policy(name)
		p.Failures++
		if len(p.Errors) < maxReportErrors {
			p.Errors = append(p.Errors, sentence(step, err))
		}
	}
	r.e.Log.Info("a step of retention failed", "policy", step.Policy, "kind", step.Kind, "stretch", step.Stretch, "error", err.Error())
}

func (r *run) policy(name string) *PolicyReport {
	p, ok := r.done[name]
	if !ok {
		p = &PolicyReport{Name: name, Erased: map[record.Kind]Gone{}}
		for _, policy := range r.seen.policies {
			if policy.Name == name {
				p.UID = policy.UID
			}
		}
		r.done[name] = p
	}
	return p
}
