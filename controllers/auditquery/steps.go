package auditquery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/timeexpr"
)

// budgetNotice is for how long the budget may hold a run back before status says
// so. Saying so costs budget as well.
const budgetNotice = 10 * time.Second

// deleteExpired deletes a query that has finished, when its time to live is over
// and the object is still the one that was looked at.
func (r *reconciler) deleteExpired(ctx context.Context, s *scope) (bool, error) {
	if !s.handled() {
		return true, nil
	}
	at, ok := s.expiry(s.base.CompletionTime)
	if !ok {
		return true, nil
	}
	if s.now.Before(at) {
		s.wake(at)
		return true, nil
	}
	err := r.client.Delete(ctx, s.obj, client.Preconditions{UID: ptr.To(s.obj.GetUID()), ResourceVersion: ptr.To(s.version)})
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("delete after ttlSecondsAfterFinished: %w", err)
	}
	s.deleted = true
	log.FromContext(ctx).Info("deleted, since its time to live after the run is over")
	return false, nil
}

func (r *reconciler) stopWhenSuspended(_ context.Context, s *scope) (bool, error) {
	s.suspended = s.spec.Suspend
	return !s.suspended, nil
}

// stopUntilDue ends the pass unless the query is to run now. A spec runs at once
// when it is new; then again after a failure, or at its interval.
func (r *reconciler) stopUntilDue(_ context.Context, s *scope) (bool, error) {
	if s.memo.due.IsZero() {
		s.memo.due = s.firstDue()
	}
	if s.memo.due.IsZero() {
		return false, nil
	}
	if s.memo.due.After(s.now) {
		s.wake(s.memo.due)
		return false, nil
	}
	s.due = s.memo.due
	return true, nil
}

// firstDue is when a query is due of which nothing is remembered; zero for never.
func (s *scope) firstDue() time.Time {
	switch {
	case !s.handled():
		return s.now
	case s.is(v1alpha1.ConditionStalled), s.interval() == 0:
		return time.Time{}
	case s.base.NextRunTime == nil:
		return afterRestart(s.obj.GetUID(), s.interval(), nil, s.now)
	default:
		return afterRestart(s.obj.GetUID(), s.interval(), &s.base.NextRunTime.Time, s.now)
	}
}

// understand turns the spec into a query, apart from its scope.
func (r *reconciler) understand(_ context.Context, s *scope) (bool, error) {
	window, err := timeexpr.ParseWindow(s.spec.From, s.spec.To, s.now)
	if err != nil {
		return false, stall(v1alpha1.ReasonInvalidTime, "spec."+err.Error())
	}
	asked, err := translate(s.spec, r.schemas)
	if err != nil {
		return false, stall(v1alpha1.ReasonInvalidFilter, err.Error())
	}
	limit := int(s.spec.Limit)
	if limit == 0 {
		limit = v1alpha1.DefaultLimit
	}
	s.query = query.Query{Kind: asked.kind, From: window.From, To: window.To, Filter: asked.filter, Limit: limit}
	return true, nil
}

// checkGuard runs nothing while writing a query needs no right to read.
func (r *reconciler) checkGuard(ctx context.Context, _ *scope) (bool, error) {
	ok, err := r.guard.InForce(ctx, r.kind)
	if err != nil {
		log.FromContext(ctx).Info("the admission policy cannot be read", "error", err.Error())
	}
	if err != nil || !ok {
		return false, await(v1alpha1.ReasonAdmissionPolicyMissing,
			"No query is run while the admission policy is not in force that lets only those write queries who may list the records.",
			maxPause/2, err)
	}
	return true, nil
}

// resolveScope settles what the object may see, and with it the whole query.
func (r *reconciler) resolveScope(ctx context.Context, s *scope) (bool, error) {
	s.query.Scope = query.All()
	if s.key.Namespace != "" {
		scope, err := r.scopes.NamespaceScope(ctx, s.key.Namespace)
		if err != nil {
			log.FromContext(ctx).Info("the scope of a namespace cannot be resolved", "error", err.Error())
			return false, scopeFailure(err)
		}
		s.query.Scope = scope
	}
	canonical, err := query.Validate(s.query, r.schemas[s.query.Kind])
	if err != nil {
		var e *query.Error
		if errors.As(err, &e) && e.Path == "from" {
			return false, stall(v1alpha1.ReasonInvalidTime, "spec."+err.Error())
		}
		return false, stall(v1alpha1.ReasonInvalidFilter, "spec."+err.Error())
	}
	s.query = canonical
	return true, nil
}

// stopWithoutBudget holds the run back while too much status was written of late.
func (r *reconciler) stopWithoutBudget(_ context.Context, s *scope) (bool, error) {
	wait := r.budget.delay(s.now)
	if wait == 0 {
		return true, nil
	}
	if s.memo.held.IsZero() {
		s.memo.held = s.now
		r.metrics.held(r.kind)
	}
	s.held = s.now.Sub(s.memo.held) >= budgetNotice
	s.wake(s.now.Add(wait))
	return false, nil
}
