package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
)

// FieldOwner is the field manager of everything that this package writes into
// objects, and the reporter of its events.
const FieldOwner = "auditquery-retention-controller"

// DefaultRefreshEvery is how old a plan in status gets.
const DefaultRefreshEvery = 10 * time.Minute

// Options are what the controller needs. Fields without a default must be set.
type Options struct {
	// Store holds the records.
	Store Store
	// ClusterName is the cluster's name in records.
	ClusterName string
	// Namespace is where the Lease is.
	Namespace string
	// Registerer takes the metrics.
	Registerer prometheus.Registerer
	// Clock is the clock of decisions. Default: the machine's.
	Clock clock.PassiveClock
	// BatchSize, Throttle and MaxRun are the eraser's.
	BatchSize int
	Throttle  float64
	MaxRun    time.Duration
	// RefreshEvery is how old a plan in status gets. Default:
	// DefaultRefreshEvery.
	RefreshEvery time.Duration
}

func (o *Options) complete() error {
	var errs []error
	need := func(missing bool, name string) {
		if missing {
			errs = append(errs, fmt.Errorf("option %s is missing", name))
		}
	}
	need(o.Store == nil, "Store")
	need(o.ClusterName == "", "ClusterName")
	need(o.Namespace == "", "Namespace")
	need(o.Registerer == nil, "Registerer")
	if o.RefreshEvery < 0 {
		errs = append(errs, errors.New("option RefreshEvery cannot be negative"))
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.RefreshEvery == 0 {
		o.RefreshEvery = DefaultRefreshEvery
	}
	return errors.Join(errs...)
}

// SetupWithManager adds the controller of RetentionPolicy and LegalHold, and what
// erases, to a manager, whose scheme must know api/v1alpha1.
func SetupWithManager(mgr ctrl.Manager, o Options) error {
	if err := o.complete(); err != nil {
		return fmt.Errorf("controller of retention: %w", err)
	}
	log := mgr.GetLogger().WithName("retention")
	objects := objectSource{reader: mgr.GetAPIReader()}
	lease := NewKubernetesLease(mgr.GetAPIReader(), mgr.GetClient(), o.Namespace, string(uuid.NewUUID()), clock.RealClock{})
	eraser, err := NewEraser(EraserOptions{
		Store: o.Store, Policies: objects.policies, Holds: objects.holds, Lease: lease, Identify: identify(mgr.GetClient()),
		ClusterName: o.ClusterName, Clock: o.Clock, BatchSize: o.BatchSize, Throttle: o.Throttle, MaxRun: o.MaxRun,
		Registerer: o.Registerer, Log: log,
	})
	if err != nil {
		return err
	}
	woken := newAlarm()
	runs := newRunner(eraser, o.Clock, log, woken.ring)
	if err := mgr.Add(runs); err != nil {
		return fmt.Errorf("runner of retention: %w", err)
	}
	r := &reconciler{
		client: mgr.GetClient(), recorder: mgr.GetEventRecorder(FieldOwner), objects: objects, ledger: eraser.ledger,
		store: o.Store, runs: runs, clock: o.Clock, refreshEvery: o.RefreshEvery, metrics: eraser.metrics,
		schemas: map[record.Kind]*record.Schema{},
	}
	for _, kind := range record.Kinds() {
		r.schemas[kind] = record.NewSchema(kind)
	}
	return r.setup(mgr, woken)
}

// identify returns who the API server says that we are.
func identify(c client.Writer) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		review := &authenticationv1.SelfSubjectReview{}
		if err := c.Create(ctx, review); err != nil {
			return "", err
		}
		return review.Status.UserInfo.Username, nil
	}
}

// everything is the one request that the controller knows: policies and holds are
// judged together.
func everything() []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "retention"}}}
}

// setup wakes the reconciler once at the start, at every change of an object that
// is not one of status, and when the alarm rings. Only metadata is cached: decisions
// are made from what the API server says when they are made.
func (r *reconciler) setup(mgr ctrl.Manager, woken *alarm) error {
	wake := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return everything() })
	changed := builder.WithPredicates(predicate.Or[client.Object](
		predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))
	err := ctrl.NewControllerManagedBy(mgr).
		Named("retention").
		Watches(&v1alpha1.RetentionPolicy{}, wake, changed, builder.OnlyMetadata).
		Watches(&v1alpha1.LegalHold{}, wake, changed, builder.OnlyMetadata).
		WatchesRawSource(woken).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("controller of retention: %w", err)
	}
	return nil
}

// alarm wakes the reconciler from other goroutines, and once at the start.
type alarm struct{ bell chan struct{} }

var _ source.Source = (*alarm)(nil)

func newAlarm() *alarm { return &alarm{bell: make(chan struct{}, 1)} }

// ring never waits. Rings that nobody has heard yet are one.
func (a *alarm) ring() {
	select {
	case a.bell <- struct{}{}:
	default:
	}
}

// Start implements source.Source.
func (a *alarm) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	a.ring()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-a.bell:
				for _, request := range everything() {
					queue.Add(request)
				}
			}
		}
	}()
	return nil
}
