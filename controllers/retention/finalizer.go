package retention

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"auditquery.dev/auditquery/api/v1alpha1"
)

// addFinalizer puts ours on an object that is not being deleted. One that is gone is
// nothing to worry about: it is remembered if it was ever seen.
func (r *reconciler) addFinalizer(ctx context.Context, obj client.Object) error {
	if !obj.GetDeletionTimestamp().IsZero() || controllerutil.ContainsFinalizer(obj, v1alpha1.RetentionFinalizer) {
		return nil
	}
	return r.patchFinalizers(ctx, obj, func(changed client.Object) {
		controllerutil.AddFinalizer(changed, v1alpha1.RetentionFinalizer)
	})
}

func (r *reconciler) removeFinalizer(ctx context.Context, obj client.Object) error {
	if !controllerutil.ContainsFinalizer(obj, v1alpha1.RetentionFinalizer) {
		return nil
	}
	if err := r.patchFinalizers(ctx, obj, func(changed client.Object) {
		controllerutil.RemoveFinalizer(changed, v1alpha1.RetentionFinalizer)
	}); err != nil {
		return err
	}
	log.FromContext(ctx).Info("released a deleted object, which protects nothing any more", "name", obj.GetName())
	return nil
}

// patchFinalizers replaces the whole list, so it is refused when the object has
// changed since it was read.
func (r *reconciler) patchFinalizers(ctx context.Context, obj client.Object, change func(client.Object)) error {
	before, ok := obj.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", obj)
	}
	change(obj)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err := client.IgnoreNotFound(r.client.Patch(ctx, obj, patch, client.FieldOwner(FieldOwner)))
	if err != nil {
		return fmt.Errorf("write the finalizer of %s: %w", obj.GetName(), err)
	}
	return nil
}
