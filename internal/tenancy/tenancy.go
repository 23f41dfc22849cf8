// Package tenancy decides which records a namespace may see.
//
// A namespace sees what it claims: the records of the org ids that an AuditTenant
// binds to it and, unless its own name is bound elsewhere, the Kubernetes events
// of the server's own cluster that happened in it since it was created. What
// nobody claims belongs to SystemNamespace. So every record belongs to exactly
// one namespace, and which one is decided when the record is read.
//
// Index (index.go) is that decision over everything that is known at one time: a
// value that never changes. Directory (directory.go) holds the current Index, and
// package feed brings it what the API server says. A fact that is missing is an
// error, never a wider answer.
package tenancy

import (
	"errors"
	"fmt"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// SystemNamespace sees what no namespace claims.
const SystemNamespace = "auditquery-system"

// MaxClaims is how many claims the scope of SystemNamespace is computed against:
// org ids and namespaces together. A store takes at most 65,536 values in one
// list, and 60,000 cost tens of milliseconds a query.
const MaxClaims = 60_000

var (
	// ErrNotReady means that tenants and namespaces have not been read yet.
	// Nothing is shown until they have been.
	ErrNotReady = errors.New("it is not known yet which records each namespace may see")
	// ErrUnknownNamespace means that there is no such namespace, or that too
	// little is known of it to say what it may see. Nothing is shown.
	ErrUnknownNamespace = errors.New("there is no such namespace, or it is not known yet")
)

// TooManyClaimsError means that the records that nobody claims can't be told from
// the others, since more than MaxClaims org ids and namespaces are claimed. Every
// namespace but SystemNamespace is answered as ever.
type TooManyClaimsError struct {
	// Claims is how many there are.
	Claims int
}

func (e *TooManyClaimsError) Error() string {
	return fmt.Sprintf("%d org ids and namespaces are claimed, and records that nobody claims can be listed up to %d: "+
		"ask about all namespaces instead", e.Claims, MaxClaims)
}

// creationSlack is how much earlier than its namespace a record may be: the
// request that makes a namespace is received before its creationTimestamp, which
// holds whole seconds.
const creationSlack = time.Second

// The fields that scopes are about.
const (
	fieldOrg    = "org_id"
	fieldSource = "source_type"
	fieldTime   = "time"
)

// Namespace is what must be known of a namespace.
type Namespace struct {
	Name string
	// Created is its creationTimestamp.
	Created time.Time
}

// start is the time of the first record that a namespace claims by its name.
func (n Namespace) start() record.Timestamp { return record.At(n.Created.Add(-creationSlack)) }

// known tells whether enough is known of a namespace.
func (n Namespace) known() bool { return n.Name != "" && !n.Created.IsZero() }

// Tenant is what must be known of an AuditTenant.
type Tenant struct {
	Name string
	// UID and Generation say which object, and which state of its spec, this
	// is about.
	UID        string
	Generation int64
	// Created is its creationTimestamp.
	Created time.Time
	// Namespace may see the records of OrgIDs.
	Namespace string
	// OrgIDs are read only: they are shared with whoever gave them.
	OrgIDs []string
}

// NamespaceScope returns the scope of a namespace that no AuditTenant is about:
// the Kubernetes events of the server's own cluster that happened in the
// namespace since it was created, so that it sees neither its predecessor of the
// same name nor an organisation that is only called like it. Events of other
// clusters have org ids of the form CLUSTER/NAMESPACE, which are no namespace's
// name.
//
// The error is ErrUnknownNamespace.
func NamespaceScope(ns Namespace) (query.Scope, error) {
	if !ns.known() {
		return query.Scope{}, ErrUnknownNamespace
	}
	return query.Scope{Name: ScopeName(ns.Name), Restrict: byName(ns)}, nil
}

// byName is what a namespace claims by its name.
func byName(ns Namespace) query.Filter {
	return query.And{
		query.Equal{Field: fieldSource, Value: record.SourceKubernetes},
		query.Equal{Field: fieldOrg, Value: ns.Name},
		query.Range{Field: fieldTime, Min: ns.start().String()},
	}
}

// Nothing is the scope of a namespace that sees nothing, such as one that does
// not exist.
func Nothing(namespace string) query.Scope {
	return query.Scope{Name: ScopeName(namespace), Restrict: query.Or{}}
}

// ScopeName is the name of a namespace's scope in cursors. A namespace that was
// made again has the name of its predecessor: a cursor only says where a list
// goes on, and what the list may show is decided anew on every page.
func ScopeName(namespace string) string { return "namespace/" + namespace }
