package retention

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// firstRetry and maxRetry bound the pause after a run that failed; it doubles
	// with each failure in a row.
	firstRetry = 10 * time.Second
	maxRetry   = 10 * time.Minute
	// goOn is the pause before a run that goes on where the last one reached its
	// bound of time.
	goOn = 5 * time.Second
)

// outcome is what the last run came to for one policy.
type outcome struct {
	started, ended time.Time
	report         PolicyReport
	// errors is report's, or why the whole run failed.
	errors []string
	// clean: everything that was due for it at plannedAt is gone.
	clean     bool
	plannedAt time.Time
	// state is what was known of the policy at plannedAt; the zero state when
	// nothing was, by which nothing is erased.
	state retention.PolicyState
}

// runner runs the eraser in a goroutine of its own, for the policies that it is
// ordered to. It is a runnable of a manager, and for the leader only.
type runner struct {
	eraser *Eraser
	clock  clock.PassiveClock
	// done is told after each run.
	done   func()
	orders chan []string
	log    logr.Logger

	mu        sync.Mutex
	busy      bool
	attempted map[string]time.Time
	retry     map[string]time.Time
	outcomes  map[string]outcome
	failures  int
	ended     time.Time
}

func newRunner(eraser *Eraser, clock clock.PassiveClock, log logr.Logger, done func()) *runner {
	return &runner{
		eraser: eraser, clock: clock, log: log, done: done, orders: make(chan []string, 1),
		attempted: map[string]time.Time{}, retry: map[string]time.Time{}, outcomes: map[string]outcome{},
	}
}

// NeedLeaderElection makes the manager start the runner on the leader only.
func (r *runner) NeedLeaderElection() bool { return true }

// Start runs until ctx is done. A run under way then ends within a batch. First of all
// it clears up what its predecessor left.
func (r *runner) Start(ctx context.Context) error {
	recovery := time.NewTimer(0)
	defer recovery.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-recovery.C:
			if wait, ok := r.recover(ctx); !ok {
				recovery.Reset(wait)
			}
		case names := <-r.orders:
			r.run(ctx, names)
			r.done()
		}
	}
}

// recover returns when to try again, or true.
func (r *runner) recover(ctx context.Context) (time.Duration, bool) {
	err := r.eraser.Recover(ctx)
	var held *LeaseHeldError
	switch {
	case err == nil || ctx.Err() != nil:
		return 0, true
	case errors.As(err, &held):
		return max(held.RetryAfter, time.Second), false
	}
	r.log.Info("what an earlier run left could not be cleared up yet", "error", err.Error())
	return firstRetry, false
}

// order has the policies run, unless a run is under way; then its end wakes the
// reconciler, which orders again.
func (r *runner) order(names []string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy || len(names) == 0 {
		return false
	}
	r.busy = true
	now := r.clock.Now()
	for _, name := range names {
		r.attempted[name] = now
		delete(r.retry, name)
	}
	r.orders <- names // It is empty: nobody is busy.
	return true
}

func (r *runner) run(ctx context.Context, names []string) {
	report, err := r.eraser.Run(ctx, names...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy, r.ended = false, report.Ended
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.log.Info("a run of retention failed", "policies", names, "error", err.Error())
	}
	r.reschedule(names, report, err)
	var held *LeaseHeldError
	if errors.As(err, &held) || len(report.Blocked) > 0 {
		return
	}
	for _, name := range names {
		out := outcomeOf(name, report, err)
		r.outcomes[name] = out
		r.eraser.metrics.ran(name, out)
	}
}

// reschedule says when policies run again before their schedules say so.
func (r *runner) reschedule(names []string, report Report, err error) {
	var held *LeaseHeldError
	var wait time.Duration
	switch {
	case errors.As(err, &held):
		wait = max(held.RetryAfter, time.Second)
	case err != nil || failed(report):
		wait = min(firstRetry<<min(r.failures, 10), maxRetry)
		var e *store.Error
		if errors.As(err, &e) {
			wait = max(wait, min(e.RetryAfter, maxRetry))
		}
		r.failures++
	case !report.Finished && len(report.Blocked) == 0:
		wait, r.failures = goOn, 0
	default:
		r.failures = 0
		return
	}
	at := r.clock.Now().Add(wait)
	for _, name := range names {
		r.retry[name] = at
	}
}

func failed(report Report) bool {
	for _, p := range report.Policies {
		if p.Failures > 0 {
			return true
		}
	}
	return false
}

func outcomeOf(name string, report Report, err error) outcome {
	p := report.Policies[name]
	out := outcome{started: report.Started, ended: report.Ended, report: p, errors: p.Errors}
	out.plannedAt, out.state = report.PlannedAt, report.States[name]
	if err != nil && len(out.errors) == 0 {
		out.errors = []string{shorten("The run was broken off: " + reason(err) + ".")}
	}
	out.clean = report.Finished && len(out.errors) == 0
	return out
}

// state is what the runner knows of a policy: when a run for it was last ordered,
// when it is to be tried again, and what the last one came to, which is given once.
func (r *runner) state(name string) (attempted, retry time.Time, last *outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if out, ok := r.outcomes[name]; ok {
		last = &out
	}
	return r.attempted[name], r.retry[name], last
}

// startFrom has the schedule of a policy go on from an instant.
func (r *runner) startFrom(name string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempted[name] = at
}

// lastEnd is when the last run ended.
func (r *runner) lastEnd() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// told forgets what the last run of a policy came to, once status says it.
func (r *runner) told(name string, ended time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if out, ok := r.outcomes[name]; ok && out.ended.Equal(ended) {
		delete(r.outcomes, name)
	}
}

// keep forgets policies that are gone.
func (r *runner) keep(names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range []map[string]time.Time{r.attempted, r.retry} {
		maps.DeleteFunc(known, func(name string, _ time.Time) bool { return !slices.Contains(names, name) })
	}
	maps.DeleteFunc(r.outcomes, func(name string, _ outcome) bool { return !slices.Contains(names, name) })
}
