package hindered_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	eraser "auditquery.dev/auditquery/controllers/retention"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/e2e/retention/trail"
)

// orderEnv names the file of the order that makes this program an eraser.
const orderEnv = "AUDITQUERY_TEST_ERASE_ORDER"

// What a child says.
const (
	saysHere = "here"
	saysLost = "lost"
)

// order says what a child is to do.
type order struct {
	Place trail.Place `json:"place"`
	// Declared is the file of what the API says.
	Declared string    `json:"declared"`
	Now      time.Time `json:"now"`
	// Kubeconfig, Namespace and Identity are for the lease.
	Kubeconfig string `json:"kubeconfig"`
	Namespace  string `json:"namespace"`
	Identity   string `json:"identity"`
	// Linger is the call of the store, and its number, before which the child says
	// that it is there and waits a little: between what it has checked and the call.
	Linger string `json:"linger,omitempty"`
	After  int    `json:"after,omitempty"`
	// Done is the file that it makes when it has finished.
	Done string `json:"done"`
}

// erase does what the order in a file says.
func erase(path string) int {
	if err := obey(context.Background(), path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func obey(ctx context.Context, path string) error {
	var o order
	if err := readJSON(path, &o); err != nil {
		return err
	}
	opened, err := o.Place.Open(ctx)
	if err != nil {
		return err
	}
	defer opened.Close()
	lease, err := o.lease()
	if err != nil {
		return err
	}
	e, err := trail.NewEraser(&lingering{Store: opened, order: o}, trail.NewAPI(trail.Declared{}), clocktesting.NewFakePassiveClock(o.Now),
		func(options *eraser.EraserOptions) {
			options.BatchSize, options.Lease = 20, lease
			options.Policies = func(context.Context) ([]retention.Policy, error) {
				d, err := o.declared()
				return d.Policies, err
			}
			options.Holds = func(context.Context) ([]retention.Hold, error) {
				d, err := o.declared()
				return d.Holds, err
			}
		})
	if err != nil {
		return err
	}
	if err := untilFinished(ctx, e); err != nil {
		return err
	}
	return os.WriteFile(o.Done, nil, 0o600)
}

// untilFinished runs again until it is done, as the controller does.
func untilFinished(ctx context.Context, e *eraser.Eraser) error {
	const again = 200 * time.Millisecond
	for {
		_, err := trail.Finished(ctx, e)
		held := (*eraser.LeaseHeldError)(nil)
		switch {
		case err == nil:
			return nil
		case errors.As(err, &held):
			trail.LetPass(ctx, again)
			continue
		case errors.Is(err, eraser.ErrLeaseLost):
			fmt.Println(saysLost)
		}
		fmt.Println("failed:", err)
		trail.LetPass(ctx, again)
	}
}

func (o order) lease() (eraser.Lease, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := coordinationv1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	direct, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	return eraser.NewKubernetesLease(direct, direct, o.Namespace, o.Identity, clock.RealClock{}), nil
}

func (o order) declared() (trail.Declared, error) {
	var d trail.Declared
	err := readJSON(o.Declared, &d)
	return d, err
}

func readJSON(path string, into any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

// The calls before which a child can linger.
const (
	callStretch = "EraseStretch"
	callNext    = "Next"
)

// lingering waits a little before a call that was chosen, if it is not stopped there.
type lingering struct {
	trail.Store
	order order
	calls int
}

func (l *lingering) linger(call string) {
	const while = 3 * time.Second
	if l.order.Linger != call {
		return
	}
	if l.calls++; l.calls != l.order.After {
		return
	}
	fmt.Println(saysHere)
	trail.LetPass(context.Background(), while)
}

func (l *lingering) EraseStretch(ctx context.Context, kind record.Kind, name string, doomed query.Filter) (store.Erased, error) {
	l.linger(callStretch)
	return l.Store.EraseStretch(ctx, kind, name, doomed)
}

func (l *lingering) Erase(ctx context.Context, q query.Query) (store.Erasure, error) {
	erasure, err := l.Store.Erase(ctx, q)
	if err != nil {
		return nil, err
	}
	return lingeringErasure{Erasure: erasure, of: l}, nil
}

type lingeringErasure struct {
	store.Erasure
	of *lingering
}

func (e lingeringErasure) Next(ctx context.Context, limit int) (int, error) {
	e.of.linger(callNext)
	return e.Erasure.Next(ctx, limit)
}
