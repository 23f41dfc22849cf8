// Package feed brings a tenancy.Directory what the API server says of AuditTenants
// and namespaces.
package feed

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/tenancy"
)

// Feed keeps a Directory up to date from a cache. Every replica needs it, leader
// or not.
type Feed struct {
	directory *tenancy.Directory
	informers cache.Informers
}

var (
	_ manager.Runnable               = (*Feed)(nil)
	_ manager.LeaderElectionRunnable = (*Feed)(nil)
)

// New returns a Feed. The cache behind informers must be started by others, its
// scheme must know api/v1alpha1, and it should be made with CacheOptions.
func New(directory *tenancy.Directory, informers cache.Informers) *Feed {
	return &Feed{directory: directory, informers: informers}
}

// CacheOptions drop from the cache what nobody reads.
func CacheOptions() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&v1alpha1.AuditTenant{}: {Transform: cache.TransformStripManagedFields()},
		newNamespace():          {Transform: stripNamespace},
	}
}

func newNamespace() *metav1.PartialObjectMetadata {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return ns
}

// stripNamespace leaves what tells one namespace from another of its name.
func stripNamespace(obj any) (any, error) {
	if ns, ok := obj.(*metav1.PartialObjectMetadata); ok {
		ns.Labels, ns.Annotations, ns.ManagedFields, ns.OwnerReferences, ns.Finalizers = nil, nil, nil, nil, nil
	}
	return obj, nil
}

// NeedLeaderElection is false: every replica answers.
func (f *Feed) NeedLeaderElection() bool { return false }

// Start waits until everything that there is has been read, and then keeps the
// Directory up to date until ctx is done.
func (f *Feed) Start(ctx context.Context) error {
	tenants, err := f.listen(ctx, &v1alpha1.AuditTenant{}, f.takeTenant, f.directory.RemoveTenant)
	if err != nil {
		return fmt.Errorf("watch AuditTenants: %w", err)
	}
	namespaces, err := f.listen(ctx, newNamespace(), f.takeNamespace, f.directory.RemoveNamespace)
	if err != nil {
		return fmt.Errorf("watch namespaces: %w", err)
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), tenants.HasSynced, namespaces.HasSynced) {
		return nil // ctx is done
	}
	return f.directory.Run(ctx)
}

func (f *Feed) listen(
	ctx context.Context, obj client.Object, take func(any), remove func(name string),
) (toolscache.ResourceEventHandlerRegistration, error) {
	informer, err := f.informers.GetInformer(ctx, obj, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, err
	}
	return informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    take,
		UpdateFunc: func(_, obj any) { take(obj) },
		DeleteFunc: func(obj any) {
			name, err := nameOf(obj)
			if err == nil {
				remove(name)
			}
		},
	})
}

// nameOf returns the name of an object that is gone, of which perhaps only the key
// is known.
func nameOf(obj any) (string, error) {
	switch obj := obj.(type) {
	case client.Object:
		return obj.GetName(), nil
	case toolscache.DeletedFinalStateUnknown:
		return obj.Key, nil // cluster-scoped: the key is the name
	default:
		return "", errors.New("not an object")
	}
}

func (f *Feed) takeTenant(obj any) {
	if t, ok := obj.(*v1alpha1.AuditTenant); ok {
		f.directory.SetTenant(tenancy.Tenant{
			Name: t.Name, UID: string(t.UID), Generation: t.Generation, Created: t.CreationTimestamp.Time,
			Namespace: t.Spec.Namespace, OrgIDs: t.Spec.OrgIDs,
		})
	}
}

func (f *Feed) takeNamespace(obj any) {
	if ns, ok := obj.(client.Object); ok {
		f.directory.SetNamespace(tenancy.Namespace{Name: ns.GetName(), Created: ns.GetCreationTimestamp().Time})
	}
}
