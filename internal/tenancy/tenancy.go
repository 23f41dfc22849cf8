// Package tenancy decides which records a namespace may see. Its decisions are
// pure: whoever asks has read the facts, and a fact that is missing is an error,
// never a wider answer.
package tenancy

import (
	"errors"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// ErrUnknownNamespace means that too little is known of a namespace to say what
// it may see. Nothing is shown until more is known.
var ErrUnknownNamespace = errors.New("it is not known yet which records the namespace may see")

// creationSlack is how much earlier than its namespace a record may be: the
// request that makes a namespace is received before its creationTimestamp, which
// holds whole seconds.
const creationSlack = time.Second

// Namespace is what must be known of a namespace.
type Namespace struct {
	Name string
	// Created is its creationTimestamp.
	Created time.Time
}

// NamespaceScope returns the scope of a namespace: the Kubernetes events of the
// server's own cluster that happened in the namespace since it was created, so
// that it sees neither its predecessor of the same name nor an organisation that
// is only called like it. Events of other clusters have org ids of the form
// CLUSTER/NAMESPACE, which are no namespace's name.
//
// The error is ErrUnknownNamespace.
func NamespaceScope(ns Namespace) (query.Scope, error) {
	if ns.Name == "" || ns.Created.IsZero() {
		return query.Scope{}, ErrUnknownNamespace
	}
	since := record.At(ns.Created.Add(-creationSlack))
	return query.Scope{
		Name: ScopeName(ns.Name),
		Restrict: query.And{
			query.Equal{Field: "source_type", Value: record.SourceKubernetes},
			query.Equal{Field: "org_id", Value: ns.Name},
			query.Range{Field: "time", Min: since.String()},
		},
	}, nil
}

// ScopeName is the name of a namespace's scope in cursors.
func ScopeName(namespace string) string { return "namespace/" + namespace }
