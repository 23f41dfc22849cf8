package auditquery

import (
	"context"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/tenancy"
)

// ScopeResolver says which records the queries of a namespace may see. It is asked
// before every run. Any error means that nothing is run; it never means "all" and
// never "none". It may be called from several goroutines.
type ScopeResolver interface {
	NamespaceScope(ctx context.Context, namespace string) (query.Scope, error)
}

var _ ScopeResolver = (*tenancy.Directory)(nil)
