package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/controllers/tenant"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/internal/tenancy/feed"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/controlplane"
)

// world is a control plane with a running controller.
type world struct {
	client    client.Client
	directory *tenancy.Directory
	metrics   prometheus.Collector
}

// startWorld runs the controller with the permissions that config/rbac gives it,
// and no others.
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
	kubectl("create", "namespace", tenancy.SystemNamespace)
	kubectl("apply", "--server-side", "-f", path("crd", "bases"))
	kubectl("apply", "-k", path("rbac"))
	kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	direct, err := client.New(cp.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{client: direct, directory: tenancy.NewDirectory()}
	w.metrics = feed.NewCollector(w.directory)
	limited := cp.RESTConfig()
	limited.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:auditquery-system:auditquery-controller",
		Groups:   []string{"system:serviceaccounts", "system:authenticated"},
	}
	mgr, err := ctrl.NewManager(limited, ctrl.Options{
		Scheme: scheme, Logger: testr.New(t), Metrics: server.Options{BindAddress: "0"},
		Cache:      cache.Options{ByObject: feed.CacheOptions()},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := mgr.Add(feed.New(w.directory, mgr.GetCache())); err != nil {
		t.Fatal(err)
	}
	if err := tenant.SetupWithManager(mgr, tenant.Options{Directory: w.directory, Registerer: prometheus.NewRegistry()}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.directory.Scope("default"); !errors.Is(err, tenancy.ErrNotReady) {
		t.Fatalf("before anything was read the answer was %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := mgr.Start(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	await.True(t, "the directory is ready", w.directory.Ready)
	return w
}

func (w *world) namespace(t *testing.T, name string) *corev1.Namespace {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := w.client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns
}

// remove deletes an object and waits until it is gone.
func (w *world) remove(t *testing.T, obj client.Object) {
	t.Helper()
	if err := w.client.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	await.True(t, obj.GetName()+" is gone", func() bool {
		return apierrors.IsNotFound(w.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj))
	})
}

func (w *world) bind(t *testing.T, name, namespace string, orgs ...string) *v1alpha1.AuditTenant {
	t.Helper()
	obj := &v1alpha1.AuditTenant{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.AuditTenantSpec{Namespace: namespace, OrgIDs: orgs},
	}
	if err := w.client.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

// untilStatus waits for Ready to have a reason for the current spec.
func (w *world) untilStatus(t *testing.T, obj *v1alpha1.AuditTenant, reason string, want status.Status) {
	t.Helper()
	await.Nil(t, obj.Name+" is "+reason, func(ctx context.Context) error {
		if err := w.client.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		ready := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.Reason != reason || obj.Status.ObservedGeneration != obj.Generation {
			return fmt.Errorf("status %+v", obj.Status)
		}
		return nil
	})
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	got, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil || got.Status != want {
		t.Errorf("kstatus %v, %v; want %s", got, err, want)
	}
}

// untilOwner waits until a record belongs to a namespace.
func (w *world) untilOwner(t *testing.T, b record.Common, want string) {
	t.Helper()
	await.Nil(t, fmt.Sprintf("a record of %s belongs to %s", b.OrgID, want), func(context.Context) error {
		if got, err := w.directory.NamespaceOf(&b); err != nil || got != want {
			return fmt.Errorf("it belongs to %q: %w", got, err)
		}
		return nil
	})
}

// event happened now, in a namespace or one of another cluster.
func event(org string) record.Common {
	return record.Common{SourceType: record.SourceKubernetes, OrgID: org, Time: record.At(time.Now())}
}

func TestOnARealAPIServer(t *testing.T) {
	w := startWorld(t)
	t.Run("a binding is claimed", func(t *testing.T) {
		w.namespace(t, "shop")
		obj := w.bind(t, "shop", "shop", "globex", "west/shop")
		w.untilStatus(t, obj, v1alpha1.ReasonClaimed, status.CurrentStatus)
		if *obj.Status.Claimed != 2 || *obj.Status.Conflicting != 0 {
			t.Errorf("%+v", obj.Status)
		}
		w.untilOwner(t, record.Common{SourceType: record.SourceBulk, OrgID: "globex"}, "shop")
	})
	t.Run("equal namespaces of two clusters are two organisations", func(t *testing.T) {
		w.untilOwner(t, event("shop"), "shop")
		w.untilOwner(t, event("west/shop"), "shop")
		w.untilOwner(t, event("east/shop"), tenancy.SystemNamespace)
	})
	t.Run("the later binding has the conflict until the earlier is gone", func(t *testing.T) { testConflict(t, w) })
	t.Run("a binding waits for its namespace", func(t *testing.T) { testMissingNamespace(t, w) })
	t.Run("a namespace that was made again sees nothing of its predecessor", func(t *testing.T) { testMadeAgain(t, w) })
	t.Run("a namespace named after a foreign organisation gains nothing", func(t *testing.T) {
		foreign := record.Common{SourceType: record.SourceBulk, OrgID: "initech", Time: record.At(time.Now().Add(time.Hour))}
		w.untilOwner(t, foreign, tenancy.SystemNamespace)
		w.namespace(t, "initech")
		w.untilOwner(t, event("initech"), "initech")
		w.untilOwner(t, foreign, tenancy.SystemNamespace)
		w.bind(t, "initech", "shop", "initech")
		w.untilOwner(t, foreign, "shop")
		w.untilOwner(t, event("initech"), "shop")
	})
	t.Run("a changed spec is told of", func(t *testing.T) {
		obj := &v1alpha1.AuditTenant{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
		w.untilStatus(t, obj, v1alpha1.ReasonClaimed, status.CurrentStatus)
		before := obj.DeepCopy()
		obj.Spec.OrgIDs = []string{"globex"}
		if err := w.client.Patch(t.Context(), obj, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
		await.True(t, "one org id is left", func() bool {
			w.untilStatus(t, obj, v1alpha1.ReasonClaimed, status.CurrentStatus)
			return *obj.Status.Claimed == 1
		})
		w.untilOwner(t, event("west/shop"), tenancy.SystemNamespace)
	})
	t.Run("changes are told in events and metrics", func(t *testing.T) { testTold(t, w) })
}

func testConflict(t *testing.T, w *world) {
	w.namespace(t, "first")
	w.namespace(t, "second")
	early := w.bind(t, "early", "first", "acme")
	w.untilStatus(t, early, v1alpha1.ReasonClaimed, status.CurrentStatus)
	// creationTimestamps have whole seconds, and in the same one the uid decides.
	await.True(t, "the next second begins", func() bool { return time.Since(early.CreationTimestamp.Time) > time.Second })
	late := w.bind(t, "late", "second", "acme", "mine")
	w.untilStatus(t, late, v1alpha1.ReasonOrgIDsTaken, status.FailedStatus)
	want := v1alpha1.TenantConflict{OrgID: "acme", Tenant: "early", Namespace: "first"}
	if len(late.Status.Conflicts) != 1 || late.Status.Conflicts[0] != want || *late.Status.Claimed != 1 {
		t.Errorf("%+v", late.Status)
	}
	w.untilOwner(t, record.Common{OrgID: "acme"}, "first")
	w.remove(t, early)
	w.untilStatus(t, late, v1alpha1.ReasonClaimed, status.CurrentStatus)
	if len(late.Status.Conflicts) != 0 || !meta.IsStatusConditionFalse(late.Status.Conditions, v1alpha1.ConditionConflict) {
		t.Errorf("%+v", late.Status)
	}
	w.untilOwner(t, record.Common{OrgID: "acme"}, "second")
	w.remove(t, late)
	w.untilOwner(t, record.Common{OrgID: "acme"}, tenancy.SystemNamespace)
}

func testMissingNamespace(t *testing.T, w *world) {
	obj := w.bind(t, "soon", "soon", "hooli")
	w.untilStatus(t, obj, v1alpha1.ReasonNamespaceNotFound, status.InProgressStatus)
	w.untilOwner(t, record.Common{OrgID: "hooli"}, tenancy.SystemNamespace)
	ns := w.namespace(t, "soon")
	w.untilStatus(t, obj, v1alpha1.ReasonClaimed, status.CurrentStatus)
	w.untilOwner(t, record.Common{OrgID: "hooli"}, "soon")
	w.remove(t, ns)
	w.untilStatus(t, obj, v1alpha1.ReasonNamespaceNotFound, status.InProgressStatus)
	if _, err := w.directory.Scope("soon"); !errors.Is(err, tenancy.ErrUnknownNamespace) {
		t.Errorf("a namespace that is gone has a scope: %v", err)
	}
}

func testMadeAgain(t *testing.T, w *world) {
	first := w.namespace(t, "again")
	old := event("again")
	w.untilOwner(t, old, "again")
	await.True(t, "the event is more than a second old", func() bool { return time.Since(old.Time.Time()) > 2*time.Second })
	w.remove(t, first)
	w.untilOwner(t, event("again"), tenancy.SystemNamespace)
	w.namespace(t, "again")
	w.untilOwner(t, event("again"), "again")
	w.untilOwner(t, old, tenancy.SystemNamespace)
}

func testTold(t *testing.T, w *world) {
	await.Nil(t, "events of each kind are there", func(ctx context.Context) error {
		var list eventsv1.EventList
		if err := w.client.List(ctx, &list, client.InNamespace("default")); err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, e := range list.Items {
			seen[e.Regarding.Name+" "+e.Reason] = true
		}
		for _, want := range []string{"late OrgIDsTaken", "late Claimed", "soon NamespaceNotFound", "shop Claimed"} {
			if !seen[want] {
				return fmt.Errorf("no event %q among %v", want, seen)
			}
		}
		return nil
	})
	if n := testutil.CollectAndCount(w.metrics); n != 7 {
		t.Errorf("%d metrics", n)
	}
	if problems, err := testutil.CollectAndLint(w.metrics); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
