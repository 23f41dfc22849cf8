// Package retention makes the store of records follow RetentionPolicies and
// LegalHolds. What is due is decided in package internal/retention, which knows no
// store; here is who reads the objects, shows the plan, and executes it.
//
// Reading order: reconciler.go is one pass over all objects, as a list of steps;
// plan.go and count.go are what status says of a plan; conditions.go and status.go
// turn a pass into the one write of each status. The runner has the eraser run in a
// goroutine of its own: eraser.go says what it needs and gives, run.go is a run,
// step.go one step of a plan. ledger.go, journal.go and lease.go are what processes
// share: what was ever seen, what a run has erased so far, and who may erase.
// convert.go is pure.
//
// In doubt nothing is erased. Policies and holds are read from the API server itself
// before each batch, what was seen of them is remembered in the store, and a batch
// ends before a hold that it did not know of says that it is active.
package retention

// +kubebuilder:rbac:groups=auditquery.dev,resources=retentionpolicies;legalholds,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=auditquery.dev,resources=retentionpolicies/status;legalholds/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=auditquery-system,resources=leases,verbs=get;create;update
