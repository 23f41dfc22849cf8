package auditquery

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/tenancy"
)

// ScopeResolver says which records the queries of a namespace may see. It is asked
// before every run. Any error means that nothing is run; it never means "all" and
// never "none". It may be called from several goroutines.
type ScopeResolver interface {
	NamespaceScope(ctx context.Context, namespace string) (query.Scope, error)
}

// NamespaceScopes resolves scopes from namespaces alone: each sees what it claims
// by its own name.
type NamespaceScopes struct {
	cached, live client.Reader
}

var _ ScopeResolver = (*NamespaceScopes)(nil)

// NewNamespaceScopes returns a resolver that reads namespaces from a cache and,
// where it is not there yet, from the API server.
func NewNamespaceScopes(cached, live client.Reader) *NamespaceScopes {
	return &NamespaceScopes{cached: cached, live: live}
}

// NamespaceScope returns the scope of a namespace. A namespace that does not exist
// is tenancy.ErrUnknownNamespace.
func (n *NamespaceScopes) NamespaceScope(ctx context.Context, namespace string) (query.Scope, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	key := client.ObjectKey{Name: namespace}
	err := n.cached.Get(ctx, key, ns)
	if apierrors.IsNotFound(err) {
		err = n.live.Get(ctx, key, ns)
	}
	switch {
	case apierrors.IsNotFound(err):
		return query.Scope{}, fmt.Errorf("namespace %s: %w", namespace, tenancy.ErrUnknownNamespace)
	case err != nil:
		return query.Scope{}, fmt.Errorf("read namespace %s: %w", namespace, err)
	}
	return tenancy.NamespaceScope(tenancy.Namespace{Name: ns.Name, Created: ns.CreationTimestamp.Time})
}
