package tenant

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/tenancy"
)

// FieldOwner is the field manager of every status that this package writes.
const FieldOwner = "auditquery-tenant-controller"

// Directory says what came of AuditTenants; *tenancy.Directory is one.
type Directory interface {
	// Index returns what is known now, or tenancy.ErrNotReady.
	Index() (*tenancy.Index, error)
	// Listen calls tell with the names of tenants whose verdicts changed, at
	// once with all that are known, until end is called.
	Listen(tell func(tenants []string)) (end func())
}

// Options are what the controller needs. Fields without a default must be set.
type Options struct {
	// Directory must be fed by others.
	Directory Directory
	// Registerer takes the metrics.
	Registerer prometheus.Registerer
	// Clock is the clock of transition times. Default: the machine's.
	Clock clock.PassiveClock
}

func (o *Options) complete() error {
	var errs []error
	if o.Directory == nil {
		errs = append(errs, errors.New("option Directory is missing"))
	}
	if o.Registerer == nil {
		errs = append(errs, errors.New("option Registerer is missing"))
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return errors.Join(errs...)
}

// SetupWithManager adds the controller of AuditTenant to a manager, whose scheme
// must know api/v1alpha1.
func SetupWithManager(mgr ctrl.Manager, o Options) error {
	if err := o.complete(); err != nil {
		return fmt.Errorf("controller of AuditTenant: %w", err)
	}
	writes, err := newWrites(o.Registerer)
	if err != nil {
		return fmt.Errorf("metrics of AuditTenant: %w", err)
	}
	r := &reconciler{
		client: mgr.GetClient(), recorder: mgr.GetEventRecorder(FieldOwner),
		directory: o.Directory, clock: o.Clock, writes: writes,
	}
	err = ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.AuditTenant{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(verdicts(o.Directory)).
		Complete(r)
	if err != nil {
		return fmt.Errorf("controller of AuditTenant: %w", err)
	}
	return nil
}

// verdicts asks for the tenants whose verdicts changed.
func verdicts(directory Directory) source.Source {
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		end := directory.Listen(func(tenants []string) {
			for _, name := range tenants {
				queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
			}
		})
		context.AfterFunc(ctx, end)
		return nil
	})
}
