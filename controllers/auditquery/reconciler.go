package auditquery

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// reconciler handles the objects of one kind.
type reconciler struct {
	sharedParts
	kind      string
	newObject func() Object
	schemas   map[record.Kind]*record.Schema
	memory    *memory
	scopes    ScopeResolver
	guard     Guard
	cursors   *store.Cursors
	clock     clock.PassiveClock
}

// step does one thing for an object. It ends the pass by returning false or an
// error; a *failure is told in status, any other error is only retried.
type step func(context.Context, *scope) (proceed bool, err error)

// steps are the life of a query, in order.
func (r *reconciler) steps() []step {
	return []step{
		r.deleteExpired,
		r.stopWhenSuspended,
		r.stopUntilDue,
		r.understand,
		r.checkGuard,
		r.resolveScope,
		r.stopWithoutBudget,
		r.ask,
	}
}

// Reconcile makes one pass over an object.
func (r *reconciler) Reconcile(ctx context.Context, req reconcile.Request) (result reconcile.Result, err error) {
	obj := r.newObject()
	if err := r.client.Get(ctx, req.NamespacedName, obj); err != nil {
		if apierrors.IsNotFound(err) {
			r.memory.forget(req.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !obj.GetDeletionTimestamp().IsZero() {
		r.memory.forget(req.NamespacedName)
		return reconcile.Result{}, nil
	}

	s := newScope(obj, r.memory.recall(req.NamespacedName, obj.GetUID(), obj.GetGeneration()), r.clock.Now())
	defer func() { result, err = r.finish(ctx, s, err) }()

	for _, step := range r.steps() {
		if proceed, err := step(ctx, s); err != nil || !proceed {
			return reconcile.Result{}, err
		}
	}
	return reconcile.Result{}, nil
}

// finish writes down what the pass came to, on every way out of it, and says when
// the next one is needed.
func (r *reconciler) finish(ctx context.Context, s *scope, err error) (reconcile.Result, error) {
	if ctx.Err() != nil {
		// The controller is stopping. What failed for that reason says nothing
		// of the store.
		return reconcile.Result{}, ctx.Err()
	}
	if err != nil && !errors.As(err, &s.failure) {
		return reconcile.Result{}, err
	}
	if s.deleted {
		r.memory.forget(s.key)
		return reconcile.Result{}, nil
	}
	r.observe(s)
	s.plan()
	if err := r.writeStatus(ctx, s); err != nil {
		return reconcile.Result{}, err
	}
	r.memory.remember(s.key, s.memo)
	return s.requeue(r.clock.Now()), nil
}

func (r *reconciler) observe(s *scope) {
	switch s.outcome() {
	case answered, refused, failed:
		r.metrics.ran(r.kind, s.failure, s.now.Sub(s.due), r.clock.Since(s.now))
	case unchanged, heldBack, suspended:
	}
}

// plan decides when the object is due again.
func (s *scope) plan() {
	uid := s.obj.GetUID()
	switch s.outcome() {
	case answered:
		s.memo.failures, s.memo.held, s.memo.due = 0, time.Time{}, time.Time{}
		s.memo.asked = s.asked
		if interval := s.interval(); interval > 0 {
			s.memo.due = nextRun(uid, s.obj.GetCreationTimestamp().Time, interval, s.now)
			s.wake(s.memo.due)
		}
		finished := wholeSeconds(s.found.finished)
		if at, ok := s.expiry(&finished); ok {
			s.wake(at)
		}
	case failed:
		s.memo.failures++
		s.memo.due = s.now.Add(pause(uid, s.memo.failures, s.failure.after))
		s.wake(s.memo.due)
	case refused:
		s.memo.failures, s.memo.held, s.memo.due = 0, time.Time{}, time.Time{}
		s.memo.asked = s.asked
	case suspended:
		s.memo.failures, s.memo.held, s.memo.due = 0, time.Time{}, time.Time{}
	case unchanged, heldBack:
	}
}

func (s *scope) requeue(now time.Time) reconcile.Result {
	if s.wakeAt.IsZero() {
		return reconcile.Result{}
	}
	return reconcile.Result{RequeueAfter: max(s.wakeAt.Sub(now), time.Millisecond)}
}
