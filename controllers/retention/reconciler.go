package retention

import (
	"context"
	"errors"
	"time"

	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

// storeRetry is the pause after a pass that could not ask the store.
const storeRetry = 15 * time.Second

// reconciler judges all policies and holds together. It has one worker.
type reconciler struct {
	client       client.Client
	recorder     events.EventRecorder
	objects      objectSource
	ledger       *ledger
	store        Store
	runs         *runner
	clock        clock.PassiveClock
	refreshEvery time.Duration
	metrics      *metrics
	schemas      map[record.Kind]*record.Schema

	// shown is the last plan that status shows, zero when there is none.
	shown planned
}

// pass is one look at everything.
type pass struct {
	now      time.Time
	policies []*policyView
	holds    []*holdView
	// failure is why it is not known what holds; what status says of it stays.
	failure *failure
	// partial: there are policies that could not be read.
	partial bool
	// seen is what is known; nil when that could not be read.
	seen *observation
	// planned is what status shows; nil when it stays as it is.
	planned *planned
	// wakeAt is when the next pass is needed; zero for never.
	wakeAt time.Time
}

// policyView is a policy, and what a pass found out of it.
type policyView struct {
	obj  *v1alpha1.RetentionPolicy
	read readPolicy
	// unclaimed: it has no finalizer of ours, so it can vanish.
	unclaimed bool
	// state is nil when it is not known.
	state *retention.PolicyState
	// next is when it runs next, zero for never.
	next time.Time
	last *outcome
}

// holdView is a hold, and what a pass found out of it.
type holdView struct {
	obj  *v1alpha1.LegalHold
	read readHold
	// unclaimed: it has no finalizer of ours, so it can vanish.
	unclaimed bool
	// state is nil when it is not known.
	state *retention.HoldState
}

// planned is a plan, and what it was made of.
type planned struct {
	at         time.Time
	protection string
	names      []string
	ran, until time.Time
	blocked    []string
	policies   map[string]*v1alpha1.RetentionPlan
	matched    map[string]bool
	held       map[string]store.Count
}

// step does one thing in a pass.
type step func(context.Context, *pass) error

// steps are a pass, in order.
func (r *reconciler) steps() []step {
	return []step{
		r.read,
		r.claim,
		r.remember,
		r.plan,
		r.schedule,
		r.tell,
		r.release,
	}
}

// Reconcile makes one pass over everything.
func (r *reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	p := &pass{now: r.clock.Now()}
	var failures []error
	for _, step := range r.steps() {
		if err := step(ctx, p); err != nil {
			failures = append(failures, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err := errors.Join(failures...); err != nil {
		return reconcile.Result{}, err
	}
	if p.wakeAt.IsZero() {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: max(p.wakeAt.Sub(r.clock.Now()), time.Millisecond)}, nil
}

// fail notes why it is not known what holds: status says so, and another pass comes
// soon. At the end of ctx nothing is to be said.
func (p *pass) fail(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return err
	}
	log.FromContext(ctx).Info(what, "error", err.Error())
	if p.failure == nil {
		p.failure = failureOf(err)
	}
	p.wake(p.now.Add(storeRetry))
	return nil
}

// wake asks for another pass at t at the latest.
func (p *pass) wake(t time.Time) {
	if !t.IsZero() && (p.wakeAt.IsZero() || t.Before(p.wakeAt)) {
		p.wakeAt = t
	}
}

// read reads every object. Those that can be read have a status also when others
// can't.
func (r *reconciler) read(ctx context.Context, p *pass) error {
	policies, err := r.objects.policyObjects(ctx)
	if err != nil && !errors.Is(err, ErrNotServed) {
		p.partial = true
		if err := p.fail(ctx, "not every policy could be read", listError("policies", err)); err != nil {
			return err
		}
	}
	holds, err := r.objects.holdObjects(ctx)
	if err != nil && !errors.Is(err, ErrNotServed) {
		if err := p.fail(ctx, "not every hold could be read", listError("holds", err)); err != nil {
			return err
		}
	}
	for i := range policies {
		p.policies = append(p.policies, &policyView{obj: &policies[i], read: convertPolicy(&policies[i])})
	}
	for i := range holds {
		p.holds = append(p.holds, &holdView{obj: &holds[i], read: convertHold(&holds[i])})
	}
	return nil
}

// claim puts the finalizer on every object that has none, before anything that it
// says is told to be in force: from then on it cannot vanish between two looks. One
// that cannot be claimed says so, and keeps no other from being.
func (r *reconciler) claim(ctx context.Context, p *pass) error {
	var failures []error
	for _, v := range p.holds {
		if err := r.addFinalizer(ctx, v.obj); err != nil {
			v.unclaimed = true
			failures = append(failures, err)
		}
	}
	for _, v := range p.policies {
		if err := r.addFinalizer(ctx, v.obj); err != nil {
			v.unclaimed = true
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// remember adds what the API says to what is remembered, and finds every object's
// state there. Without the store nothing is known.
func (r *reconciler) remember(ctx context.Context, p *pass) error {
	if p.failure != nil {
		return nil // It would see no more than the pass did.
	}
	seen, err := r.ledger.observe(ctx)
	if err != nil {
		return p.fail(ctx, "what is remembered of policies and holds is not known", err)
	}
	p.seen = &seen
	p.wake(seen.memory.NextChange(p.now))
	policies := map[string]retention.PolicyState{}
	for _, state := range seen.memory.Policies() {
		policies[state.Name] = state
	}
	for _, v := range p.policies {
		if state, ok := policies[v.obj.Name]; ok {
			v.state = &state
		}
	}
	holds := map[string]retention.HoldState{}
	for _, state := range seen.memory.Holds() {
		holds[state.Name] = state
	}
	for _, v := range p.holds {
		if state, ok := holds[v.obj.Name]; ok {
			v.state = &state
		}
	}
	r.observeHolds(&seen)
	return nil
}

func (r *reconciler) observeHolds(seen *observation) {
	phases := map[retention.Phase]int{}
	for _, state := range seen.memory.Holds() {
		phases[state.Phase]++
	}
	for _, phase := range []retention.Phase{retention.Pending, retention.Active, retention.Releasing, retention.Missing} {
		r.metrics.holds.WithLabelValues(string(phase)).Set(float64(phases[phase]))
	}
	r.metrics.missing.Set(float64(len(seen.memory.MissingHolds())))
}

// schedule finds out when each policy runs next, and orders a run of those that are
// due. What ended meanwhile is told.
func (r *reconciler) schedule(_ context.Context, p *pass) error {
	var names, due []string
	for _, v := range p.policies {
		names = append(names, v.obj.Name)
		attempted, retry, last := r.runs.state(v.obj.Name)
		v.last = last
		base, behind := v.scheduledFrom(p.now, attempted)
		if behind {
			r.runs.startFrom(v.obj.Name, base)
		}
		if v.next = v.nextRun(base, retry); v.next.IsZero() {
			r.metrics.idle(v.obj.Name)
			continue
		}
		if v.next.After(p.now) {
			p.wake(v.next)
			continue
		}
		due = append(due, v.obj.Name)
	}
	if !p.partial {
		r.runs.keep(names)
		r.metrics.keep(names)
	}
	// A run under way wakes us when it ends.
	if p.seen != nil && r.runs.order(due) {
		for _, v := range p.policies {
			if !v.next.IsZero() && !v.next.After(p.now) {
				v.next = v.read.schedule.Next(p.now.UTC())
				p.wake(v.next)
			}
		}
	}
	return nil
}

// scheduledFrom is the instant after which a policy runs next: when it was made, or
// when its last run began or was ordered, whichever is latest. One that is still to
// come is of a clock that has gone back since; then it is now, and behind is true.
func (v *policyView) scheduledFrom(now, attempted time.Time) (base time.Time, behind bool) {
	base = v.obj.CreationTimestamp.Time
	if run := v.obj.Status.LastRun; run != nil && run.StartTime.After(base) {
		base = run.StartTime.Time
	}
	if base.After(now) {
		base, behind = attempted, attempted.IsZero()
	}
	if attempted.After(base) {
		base = attempted
	}
	if behind || base.After(now) {
		return now, true
	}
	return base, false
}

// nextRun is when a policy runs next: at the first instant of its schedule after base,
// or earlier when its last run is to be tried again. Zero for one that erases nothing.
func (v *policyView) nextRun(base, retry time.Time) time.Time {
	if v.read.schedule == nil || v.read.policy.Rule.Invalid || v.read.policy.Rule.Mode != retention.Enforce ||
		!v.obj.DeletionTimestamp.IsZero() {
		return time.Time{}
	}
	next := v.read.schedule.Next(base.UTC())
	if !retry.IsZero() && retry.Before(next) {
		return retry
	}
	return next
}

// release lets go of what is deleted and protects nothing any more, each by itself.
func (r *reconciler) release(ctx context.Context, p *pass) error {
	var failures []error
	for _, v := range p.policies {
		if v.state != nil && v.state.Gone && !v.obj.DeletionTimestamp.IsZero() {
			failures = append(failures, r.removeFinalizer(ctx, v.obj))
		}
	}
	for _, v := range p.holds {
		if v.state != nil && v.state.Gone && !v.obj.DeletionTimestamp.IsZero() {
			failures = append(failures, r.removeFinalizer(ctx, v.obj))
		}
	}
	return errors.Join(failures...)
}
