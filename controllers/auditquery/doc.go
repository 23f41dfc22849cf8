// Package auditquery runs AuditQuery and ClusterAuditQuery objects: it asks the
// store of records what the spec asks, and writes the answer into status.
//
// Reading order: reconciler.go tells an object's whole life as a list of steps;
// scope.go is what the steps hand on to each other; steps.go decides whether to
// run, run.go runs; conditions.go and status.go turn what was found into the one
// write of status. filters.go, rows.go, fit.go and schedule.go are pure.
//
// Two rules shape the package. A failure never looks like an answer: results of
// an earlier run stay with their lastRunTime while Ready says that they may be
// old. And etcd is not a database: rows are written only when they changed, small
// changes are gathered, and a budget bounds the bytes written per second.
package auditquery

// +kubebuilder:rbac:groups=auditquery.dev,resources=auditqueries;clusterauditqueries,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=auditquery.dev,resources=auditqueries/status;clusterauditqueries/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=auditquery-system,resources=leases,verbs=get;create;update
