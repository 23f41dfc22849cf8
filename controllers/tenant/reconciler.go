package tenant

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/tenancy"
)

type reconciler struct {
	client    client.Client
	recorder  events.EventRecorder
	directory Directory
	clock     clock.PassiveClock
	writes    *writes
}

// Reconcile writes what came of an AuditTenant. While that is not known yet it
// does nothing: the directory says when it is.
func (r *reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	obj := &v1alpha1.AuditTenant{}
	if err := r.client.Get(ctx, req.NamespacedName, obj); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !obj.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	verdict, ok := r.verdict(obj)
	if !ok {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, r.writeStatus(ctx, obj, compose(obj, verdict, r.clock.Now()))
}

// verdict returns what came of the object's current spec.
func (r *reconciler) verdict(obj *v1alpha1.AuditTenant) (tenancy.Verdict, bool) {
	index, err := r.directory.Index()
	if err != nil {
		return tenancy.Verdict{}, false
	}
	verdict, ok := index.Verdict(obj.Name)
	return verdict, ok && verdict.UID == string(obj.UID) && verdict.Generation == obj.Generation
}

// writeStatus is the only place that writes status. The write is refused when the
// object has changed since it was read, and tried again then.
func (r *reconciler) writeStatus(ctx context.Context, obj *v1alpha1.AuditTenant, next v1alpha1.AuditTenantStatus) error {
	if equality.Semantic.DeepEqual(obj.Status, next) {
		return nil
	}
	changed := obj.DeepCopy()
	changed.Status = next
	patch := client.MergeFromWithOptions(obj, client.MergeFromWithOptimisticLock{})
	if err := r.client.Status().Patch(ctx, changed, patch, client.FieldOwner(FieldOwner)); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil
		}
		r.writes.failed()
		return fmt.Errorf("write status: %w", err)
	}
	r.writes.succeeded()
	log.FromContext(ctx).Info("the claims of a tenant have changed",
		"namespace", obj.Spec.Namespace, "claimed", *next.Claimed, "conflicting", *next.Conflicting)
	r.announce(obj, &next)
	return nil
}
