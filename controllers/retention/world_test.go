package retention

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/controlplane"
)

const systemNamespace = "auditquery-system"

// shiftedClock is the machine's clock, set forward by a test.
type shiftedClock struct{ ahead atomic.Int64 }

func (c *shiftedClock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *shiftedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// world is a control plane with a running controller, and a store.
type world struct {
	*bench
	client     client.Client
	controller client.Client // with the controller's permissions
	clock      *shiftedClock
	registry   *prometheus.Registry
	pokes      int
}

// startWorld runs the controller with the permissions that config/rbac gives it, and
// under the admission policies of config/admission.
func startWorld(t *testing.T) *world {
	t.Helper()
	cp := controlplane.StartForTest(t, controlplane.Options{})
	kubectl := func(args ...string) {
		if _, stderr, err := cp.Kubectl(t.Context(), args...); err != nil {
			t.Fatalf("kubectl %v: %v: %s", args, err, stderr)
		}
	}
	path := func(elements ...string) string {
		return filepath.Join(append([]string{"..", "..", "config"}, elements...)...)
	}
	kubectl("create", "namespace", systemNamespace)
	kubectl("apply", "--server-side", "-f", path("crd", "bases"))
	kubectl("apply", "-k", path("rbac"))
	kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
	kubectl("apply", "-k", path("admission"))
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	limited := cp.RESTConfig()
	limited.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:auditquery-system:auditquery-controller",
		Groups:   []string{"system:serviceaccounts", "system:authenticated"},
	}
	w := &world{bench: &bench{store: openStore(t)}, clock: &shiftedClock{}, registry: prometheus.NewRegistry()}
	for c, config := range map[*client.Client]*rest.Config{&w.client: cp.RESTConfig(), &w.controller: limited} {
		made, err := client.New(config, client.Options{Scheme: scheme})
		if err != nil {
			t.Fatal(err)
		}
		*c = made
	}
	w.run(t, limited, scheme)
	return w
}

func (w *world) run(t *testing.T, limited *rest.Config, scheme *runtime.Scheme) {
	t.Helper()
	mgr, err := ctrl.NewManager(limited, ctrl.Options{
		Scheme: scheme, Logger: testr.New(t), Metrics: server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = SetupWithManager(mgr, Options{
		Store: w.store, ClusterName: "main", Namespace: systemNamespace, Registerer: w.registry, Clock: w.clock, Throttle: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := mgr.Start(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

// forward sets the clock forward, and wakes the controller by a change of obj.
func (w *world) forward(t *testing.T, by time.Duration, obj client.Object) {
	t.Helper()
	w.clock.ahead.Add(int64(by))
	w.pokes++
	w.annotate(t, obj, "test/poke", strconv.Itoa(w.pokes))
}

// annotate sets an annotation, or removes it when it is empty.
func (w *world) annotate(t *testing.T, obj client.Object, name, value string) {
	t.Helper()
	entry := fmt.Sprintf("%q", value)
	if value == "" {
		entry = "null"
	}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, name, entry))
	if err := w.client.Patch(t.Context(), obj, patch); err != nil {
		t.Fatal(err)
	}
}

// dropFinalizers does what nobody but the controller may.
func (w *world) dropFinalizers(t *testing.T, obj client.Object) {
	t.Helper()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	if err := w.client.Patch(t.Context(), obj, patch); !apierrors.IsForbidden(err) {
		t.Fatalf("a cluster admin may do it as well: %v", err)
	}
	if err := w.controller.Patch(t.Context(), obj, patch); err != nil {
		t.Fatal(err)
	}
}

func (w *world) create(t *testing.T, obj client.Object) {
	t.Helper()
	if err := w.client.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func (w *world) delete(t *testing.T, obj client.Object) {
	t.Helper()
	if err := w.client.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func (w *world) untilGone(t *testing.T, obj client.Object) {
	t.Helper()
	await.True(t, obj.GetName()+" is gone", func() bool {
		return apierrors.IsNotFound(w.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj))
	})
}

// newPolicy is one for an org of its own, of that name, which erases after 90 days
// and settles after a second.
func newPolicy(name string, modify ...func(*v1alpha1.RetentionPolicy)) *v1alpha1.RetentionPolicy {
	p := &v1alpha1.RetentionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.RetentionPolicySpec{
			OrgIDs: []string{name}, Keep: "90d", Mode: v1alpha1.RetentionEnforce, Schedule: "@every 1s",
			ChangeDelay: metav1.Duration{Duration: time.Second},
		},
	}
	for _, m := range modify {
		m(p)
	}
	return p
}

// newHold is one for an org, which is released after an hour.
func newHold(name, org string) *v1alpha1.LegalHold {
	return &v1alpha1.LegalHold{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.LegalHoldSpec{
			Reason: "an investigation", OrgIDs: []string{org}, ReleaseDelay: metav1.Duration{Duration: time.Hour},
		},
	}
}

// untilPolicy waits until a policy is as check wants it.
func (w *world) untilPolicy(t *testing.T, obj *v1alpha1.RetentionPolicy, what string, check func() bool) {
	t.Helper()
	await.Nil(t, obj.Name+" "+what, func(ctx context.Context) error {
		if err := w.client.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		if obj.Status.ObservedGeneration != obj.Generation || !check() {
			return fmt.Errorf("status %+v", obj.Status)
		}
		return nil
	})
}

// untilHold waits until a hold is as check wants it.
func (w *world) untilHold(t *testing.T, obj *v1alpha1.LegalHold, what string, check func() bool) {
	t.Helper()
	await.Nil(t, obj.Name+" "+what, func(ctx context.Context) error {
		if err := w.client.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		if obj.Status.ObservedGeneration != obj.Generation || !check() {
			return fmt.Errorf("status %+v", obj.Status)
		}
		return nil
	})
}

// is tells whether a condition has a status and a reason.
func is(conditions []metav1.Condition, kind string, value metav1.ConditionStatus, reason string) bool {
	c := meta.FindStatusCondition(conditions, kind)
	return c != nil && c.Status == value && c.Reason == reason
}

// wantKstatus checks what deploying tools make of an object.
func wantKstatus(t *testing.T, obj client.Object, want status.Status) {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	got, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil || got.Status != want {
		t.Errorf("kstatus of %s is %v, %v; want %s", obj.GetName(), got, err, want)
	}
}
