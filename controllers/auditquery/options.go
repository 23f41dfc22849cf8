package auditquery

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// DefaultMaxConcurrentRuns is how many queries of one kind are handled at once.
// They mostly wait for the store, in whose round trips they are joined; each may
// hold a page of records in memory meanwhile.
const DefaultMaxConcurrentRuns = 32

// FieldOwner is the field manager of every status that this package writes.
const FieldOwner = "auditquery-controller"

// Options are what the controllers need. Fields without a default must be set.
type Options struct {
	// Reader answers the queries.
	Reader store.BatchReader
	// Cursors signs the continue tokens in statuses.
	Cursors *store.Cursors
	// Scopes says what a namespace may see.
	Scopes ScopeResolver
	// Guard says whether queries may be run at all.
	Guard Guard
	// Registerer takes the metrics.
	Registerer prometheus.Registerer
	// Clock is the clock of every decision. Default: the machine's.
	Clock clock.PassiveClock
	// StatusBytesPerSecond is the budget of status writes, over both kinds.
	// Default: DefaultStatusBytesPerSecond.
	StatusBytesPerSecond int
	// MaxConcurrentRuns is by kind. Default: DefaultMaxConcurrentRuns.
	MaxConcurrentRuns int
	// RunTimeout bounds one run. Default: DefaultRunTimeout.
	RunTimeout time.Duration
}

func (o *Options) complete() error {
	var errs []error
	need := func(missing bool, name string) {
		if missing {
			errs = append(errs, fmt.Errorf("option %s is missing", name))
		}
	}
	need(o.Reader == nil, "Reader")
	need(o.Cursors == nil, "Cursors")
	need(o.Scopes == nil, "Scopes")
	need(o.Guard == nil, "Guard")
	need(o.Registerer == nil, "Registerer")
	if o.StatusBytesPerSecond < 0 || o.MaxConcurrentRuns < 0 || o.RunTimeout < 0 {
		errs = append(errs, errors.New("options StatusBytesPerSecond, MaxConcurrentRuns and RunTimeout cannot be negative"))
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.StatusBytesPerSecond == 0 {
		o.StatusBytesPerSecond = DefaultStatusBytesPerSecond
	}
	if o.MaxConcurrentRuns == 0 {
		o.MaxConcurrentRuns = DefaultMaxConcurrentRuns
	}
	if o.RunTimeout == 0 {
		o.RunTimeout = DefaultRunTimeout
	}
	return errors.Join(errs...)
}

// SetupWithManager adds the controllers of AuditQuery and ClusterAuditQuery, and
// what runs their queries, to a manager. The manager's cache should be made with
// CacheOptions, and its scheme must know api/v1alpha1.
func SetupWithManager(mgr ctrl.Manager, o Options) error {
	if err := o.complete(); err != nil {
		return fmt.Errorf("controller of audit queries: %w", err)
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return fmt.Errorf("metrics of audit queries: %w", err)
	}
	runner := newBatcher(o.Reader, o.RunTimeout, m)
	if err := mgr.Add(runner); err != nil {
		return fmt.Errorf("runner of audit queries: %w", err)
	}
	shared := sharedParts{
		client: mgr.GetClient(), live: mgr.GetAPIReader(), recorder: mgr.GetEventRecorder(FieldOwner),
		asker: runner, metrics: m, budget: newBudget(o.StatusBytesPerSecond),
	}
	for _, r := range []*reconciler{
		newReconciler("AuditQuery", func() Object { return &v1alpha1.AuditQuery{} }, shared, o),
		newReconciler("ClusterAuditQuery", func() Object { return &v1alpha1.ClusterAuditQuery{} }, shared, o),
	} {
		err := ctrl.NewControllerManagedBy(mgr).
			For(r.newObject(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
			WithOptions(controller.Options{MaxConcurrentReconciles: o.MaxConcurrentRuns}).
			Complete(r)
		if err != nil {
			return fmt.Errorf("controller of %s: %w", r.kind, err)
		}
	}
	return nil
}

// sharedParts are those that both kinds use together.
type sharedParts struct {
	client   client.Client
	live     client.Reader
	recorder events.EventRecorder
	asker    asker
	metrics  *metrics
	budget   budget
}

func newReconciler(kind string, newObject func() Object, shared sharedParts, o Options) *reconciler {
	schemas := map[record.Kind]*record.Schema{}
	for _, k := range record.Kinds() {
		schemas[k] = record.NewSchema(k)
	}
	return &reconciler{
		sharedParts: shared, kind: kind, newObject: newObject, schemas: schemas, memory: newMemory(),
		scopes: o.Scopes, guard: o.Guard, cursors: o.Cursors, clock: o.Clock,
	}
}
