package retention

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// maxPlans bounds how often one run plans anew because rules changed.
	maxPlans = 100
	// maxFailedSteps is how many steps of one run may fail by themselves.
	maxFailedSteps = 20
	// maxReportErrors is how many failures of a policy are told.
	maxReportErrors = 5
	// renewAfter is how long a lease that still lasts is not renewed.
	renewAfter = 5 * time.Second
	// reclaimTimeout bounds what one run spends on giving space back.
	reclaimTimeout = 5 * time.Minute
	// leaseTimeout bounds one question about the lease.
	leaseTimeout = 10 * time.Second
	// tellTimeout bounds the writing of a run's own record.
	tellTimeout = 10 * time.Second
)

var (
	// errRulesChanged: policies or holds are not what the plan was made of.
	errRulesChanged = errors.New("policies or holds have changed")
	// errOutOfTime: the run has taken as long as one may.
	errOutOfTime = errors.New("the run has reached its bound of time")
	// errLate: what was checked may not be true any more by the time of the call.
	errLate = errors.New("the check of holds took longer than a batch may")
)

// haltError is a failure after which no other step may be tried either.
type haltError struct{ error }

func (e haltError) Unwrap() error { return e.error }

// run is one execution of an Eraser.
type run struct {
	e *Eraser
	// only are the policies whose steps are executed; empty: all.
	only []string
	// began is by the machine's clock, started by that of decisions.
	began   time.Time
	started time.Time
	// until is how long the lease is ours, renewed when it last was.
	until, renewed time.Time
	// unsure: a call that erases failed, so the store may still be at work.
	unsure bool

	// What the current plan was made of.
	plan       retention.Plan
	seen       observation
	protection string
	index      []retention.Stretch

	done      map[string]*PolicyReport
	failed    map[string]bool
	blocked   []string
	finished  bool
	plannedAt time.Time
	// states are what was known of the policies at plannedAt, by name.
	states map[string]retention.PolicyState
	// entry is the journal as it was last written, noted when that was.
	entry entry
	noted time.Time
}

func newRun(e *Eraser, only []string) *run {
	return &run{
		e: e, only: only, began: time.Now(), started: e.Clock.Now(),
		done: map[string]*PolicyReport{}, failed: map[string]bool{},
	}
}

// begin takes the lease, and clears up what an earlier run left half done: first its
// record in the trail, then the erasure itself, which erases nothing.
func (r *run) begin(ctx context.Context) error {
	if err := r.lease(ctx, r.e.Lease.Acquire); err != nil {
		return err
	}
	if r.e.Username == "" {
		username, err := r.e.Identify(ctx)
		if err != nil {
			return fmt.Errorf("find out who erases: %w", err)
		}
		r.e.Username = username
	}
	if err := r.e.settleJournal(ctx); err != nil {
		return err
	}
	return r.timed(ctx, time.Now(), r.e.Store.FinishErasing)
}

// erase executes plans until one was executed to its end.
func (r *run) erase(ctx context.Context) error {
	for range maxPlans {
		if err := r.look(ctx); err != nil {
			return err
		}
		if len(r.blocked) > 0 {
			return nil
		}
		err := r.execute(ctx)
		switch {
		case errors.Is(err, errOutOfTime):
			return nil
		case !errors.Is(err, errRulesChanged):
			r.finished = err == nil
			return err
		}
	}
	return fmt.Errorf("%w too often during the run", errRulesChanged)
}

// look makes the plan of what there is now.
func (r *run) look(ctx context.Context) error {
	seen, err := r.e.ledger.observe(ctx)
	if err != nil {
		return err
	}
	index, err := readIndex(ctx, r.e.Store)
	if err != nil {
		return err
	}
	now := r.e.Clock.Now()
	r.seen, r.protection, r.index, r.plannedAt = seen, seen.memory.Protection(), index, now
	r.states = map[string]retention.PolicyState{}
	for _, state := range seen.memory.Policies() {
		r.states[state.Name] = state
	}
	r.plan = retention.NewPlan(seen.memory, index, now)
	r.blocked = blocked(r.plan, seen)
	return nil
}

// blocked says why nothing may be erased at all.
func blocked(plan retention.Plan, seen observation) []string {
	reasons := slices.Clone(plan.Blocked)
	if seen.noHolds {
		reasons = append(reasons, "The kind LegalHold is not installed, so nobody could hold a record.")
	}
	return reasons
}

// execute takes the steps of the plan. A step that fails by itself doesn't keep the
// others from being taken.
func (r *run) execute(ctx context.Context) error {
	for _, step := range r.plan.Steps {
		if len(r.concerned(step)) == 0 || r.failed[keyOf(step)] {
			continue
		}
		err := r.take(ctx, step)
		switch {
		case err == nil:
		case errors.Is(err, errRulesChanged), errors.Is(err, errOutOfTime), ctx.Err() != nil:
			return err
		default:
			r.fail(step, err)
			if stops(err) || len(r.failed) >= maxFailedSteps {
				return err
			}
		}
	}
	return nil
}

// concerned are those of the policies that decide about records of a step which this
// run is for. None: the step is left to a run of others.
func (r *run) concerned(step retention.Step) []string {
	if len(r.only) == 0 {
		return step.Policies
	}
	var names []string
	for _, name := range step.Policies {
		if slices.Contains(r.only, name) {
			names = append(names, name)
		}
	}
	return names
}

// stops tells whether after an error no other step is tried.
func stops(err error) bool {
	var halt haltError
	return errors.As(err, &halt) || store.IsUnavailable(err)
}

// keyOf names a step, also after planning anew.
func keyOf(s retention.Step) string {
	orgs := ""
	if len(s.Orgs) > 0 {
		orgs = s.Orgs[0]
	}
	return fmt.Sprintf("%s/%s/%s/%t/%s", s.Policy, s.Kind, s.Stretch, s.Except, orgs)
}

// guarded makes one call that erases, if it may be made now.
//
// A hold says that it is active one batch timeout after it was first seen. So no
// call may go on for longer than that after the holds were read which it goes by:
// its context ends at the latest then, counted from before they were read, and not
// later than the lease. The clock is asked once more right before the call, since a
// process may have been stopped in between.
func (r *run) guarded(ctx context.Context, call func(context.Context) error) error {
	if time.Since(r.began) > r.e.MaxRun {
		return errOutOfTime
	}
	if err := r.keepLease(ctx); err != nil {
		return haltError{err}
	}
	read := time.Now()
	seen, err := r.e.ledger.observe(ctx)
	if err != nil {
		return haltError{err}
	}
	if r.changed(seen) {
		return errRulesChanged
	}
	if err := r.note(ctx); err != nil {
		return haltError{err}
	}
	return r.timed(ctx, read, call)
}

// timed makes a call that erases with a context that ends one batch timeout after
// what it goes by was read, and not later than the lease.
func (r *run) timed(ctx context.Context, read time.Time, call func(context.Context) error) error {
	deadline := read.Add(retention.BatchTimeout)
	if r.until.Before(deadline) {
		deadline = r.until
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if !ahead(time.Now(), deadline) || ctx.Err() != nil {
		return haltError{errLate}
	}
	return call(ctx)
}

// changed tells whether the plan was made of other rules than there are now.
func (r *run) changed(seen observation) bool {
	return seen.memory.Protection() != r.protection || seen.noHolds != r.seen.noHolds ||
		!reflect.DeepEqual(seen.policies, r.seen.policies)
}

// keepLease makes sure that the lease outlives a batch that begins now.
func (r *run) keepLease(ctx context.Context) error {
	now := time.Now()
	if ahead(now.Add(retention.BatchTimeout), r.until) && now.Sub(r.renewed) < renewAfter {
		return nil
	}
	return r.lease(ctx, r.e.Lease.Renew)
}

// lease acquires or renews it.
func (r *run) lease(ctx context.Context, ask func(context.Context) (time.Time, error)) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	until, err := ask(ctx)
	if err != nil {
		return err
	}
	r.until, r.renewed = until, time.Now()
	return nil
}

// conclude gives space back when everything that was due is gone. It is the last that
// a run does, since the lease may run out meanwhile.
func (r *run) conclude(ctx context.Context, failure error) error {
	if failure != nil || !r.finished {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reclaimTimeout)
	defer cancel()
	err := r.e.Store.Reclaim(ctx)
	if err != nil && ctx.Err() != nil {
		return nil // It goes on with the next run.
	}
	if err != nil {
		return fmt.Errorf("give space back: %w", err)
	}
	return nil
}

// release gives the lease back, also when the run was told to end; but not while the
// store may still be at work on a call that failed.
func (r *run) release(ctx context.Context) error {
	if r.until.IsZero() || r.unsure {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
	defer cancel()
	return r.e.Lease.Release(ctx)
}

// readIndex reads what is stored, of every kind.
func readIndex(ctx context.Context, deleter store.Deleter) ([]retention.Stretch, error) {
	var all []retention.Stretch
	for _, kind := range record.Kinds() {
		stretches, err := deleter.Stretches(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("read what is stored of %s: %w", kind, err)
		}
		for _, s := range stretches {
			converted := retention.Stretch{Kind: s.Kind, Name: s.Name, From: s.From, To: s.To, Bytes: s.Bytes}
			for _, org := range s.Orgs {
				converted.Orgs = append(converted.Orgs, retention.Stock(org))
			}
			all = append(all, converted)
		}
	}
	return all, nil
}
