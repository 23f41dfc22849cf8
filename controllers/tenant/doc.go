// Package tenant tells in the status of every AuditTenant what came of it. What
// does come of it is decided in package tenancy, whose Directory every server
// asks; so status says what the servers do, and nothing waits for this package.
//
// A change of one AuditTenant, or of a namespace, can change what comes of
// others. The Directory knows of which, and they are reconciled then.
package tenant

// +kubebuilder:rbac:groups=auditquery.dev,resources=audittenants,verbs=get;list;watch
// +kubebuilder:rbac:groups=auditquery.dev,resources=audittenants/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
