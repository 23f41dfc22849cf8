package auditquery_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/controllers/auditquery"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/internal/tenancy/feed"
	"auditquery.dev/auditquery/test/controlplane"
)

// switchReader is a store that answers every audit query with the same page, or
// fails.
type switchReader struct {
	mu      sync.Mutex
	records []record.Record
	err     error
	asked   int
	scope   query.Scope
}

func (s *switchReader) set(err error, records ...record.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.records = err, records
}

func (s *switchReader) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *switchReader) lastScope() query.Scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scope
}

func (s *switchReader) Search(_ context.Context, questions []store.Question) []store.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	answers := make([]store.Answer, len(questions))
	for i := range questions {
		s.asked++
		s.scope = questions[i].Query.Scope
		answers[i].Err = s.err
		for _, r := range s.records {
			document, err := record.Encode(r)
			answers[i].Err = errors.Join(answers[i].Err, err)
			answers[i].Page.Documents = append(answers[i].Page.Documents, document)
		}
		answers[i].Count = store.Count{Records: int64(len(s.records)), Exact: true}
	}
	return answers
}

func deletion(n byte) *record.Audit {
	a := &record.Audit{Action: "delete"}
	a.ID[0], a.Time = n, record.At(time.Now())
	return a
}

// world is a control plane, a running controller, and the store behind it.
type world struct {
	client client.Client
	reader *switchReader
}

func configPath(elements ...string) string {
	return filepath.Join(append([]string{"..", "..", "config"}, elements...)...)
}

func apply(t *testing.T, cp *controlplane.ControlPlane, args ...string) {
	t.Helper()
	if _, stderr, err := cp.Kubectl(t.Context(), args...); err != nil {
		t.Fatalf("kubectl %v: %v: %s", args, err, stderr)
	}
}

// startWorld runs the controller with the permissions that config/rbac gives it,
// and no others.
func startWorld(t *testing.T) *world {
	t.Helper()
	cp := controlplane.StartForTest(t, controlplane.Options{WithoutControllerManager: true})
	apply(t, cp, "create", "namespace", "auditquery-system")
	apply(t, cp, "apply", "-f", configPath("crd", "bases"))
	apply(t, cp, "apply", "-k", configPath("admission"))
	apply(t, cp, "apply", "-k", configPath("rbac"))
	apply(t, cp, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	direct, err := client.New(cp.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{client: direct, reader: &switchReader{}}
	if err := direct.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}); err != nil {
		t.Fatal(err)
	}
	limited := cp.RESTConfig()
	limited.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:auditquery-system:auditquery-controller",
		Groups:   []string{"system:serviceaccounts", "system:authenticated"},
	}
	mgr, err := ctrl.NewManager(limited, ctrl.Options{
		Scheme: scheme, Logger: testr.New(t), Metrics: server.Options{BindAddress: "0"},
		Cache:      cache.Options{ByObject: auditquery.CacheOptions()},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	cursors, err := store.NewCursors([]byte(strings.Repeat("k", store.CursorKeyBytes)), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	directory := tenancy.NewDirectory()
	if err := mgr.Add(feed.New(directory, mgr.GetCache())); err != nil {
		t.Fatal(err)
	}
	err = auditquery.SetupWithManager(mgr, auditquery.Options{
		Reader: w.reader, Cursors: cursors, Scopes: directory,
		Guard: auditquery.PolicyGuard{Reader: mgr.GetClient()}, Registerer: prometheus.NewRegistry(),
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
	return w
}

// query makes an AuditQuery in namespace shop.
func (w *world) query(t *testing.T, name string, modify ...func(*v1alpha1.AuditQuerySpec)) *v1alpha1.AuditQuery {
	t.Helper()
	q := &v1alpha1.AuditQuery{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	q.Spec.Audits = &v1alpha1.AuditFilters{Action: v1alpha1.Value("delete")}
	for _, m := range modify {
		m(&q.Spec)
	}
	if err := w.client.Create(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	return q
}

func (w *world) edit(t *testing.T, q *v1alpha1.AuditQuery, modify func(*v1alpha1.AuditQuerySpec)) {
	t.Helper()
	before := q.DeepCopy()
	modify(&q.Spec)
	if err := w.client.Patch(t.Context(), q, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// until polls an object until its Ready condition has a reason for its current
// generation and ok holds.
func (w *world) until(t *testing.T, q *v1alpha1.AuditQuery, reason string, ok func(*v1alpha1.AuditQuery) bool) {
	t.Helper()
	t.Logf("waiting for %s to be %s", q.Name, reason)
	poll(t, func() bool {
		if err := w.client.Get(t.Context(), client.ObjectKeyFromObject(q), q); err != nil {
			t.Fatal(err)
		}
		ready := meta.FindStatusCondition(q.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Reason == reason && ready.ObservedGeneration == q.Generation && (ok == nil || ok(q))
	})
}

func hasRows(n int) func(*v1alpha1.AuditQuery) bool {
	return func(q *v1alpha1.AuditQuery) bool { return len(q.Status.Audits) == n }
}

func every10s(s *v1alpha1.AuditQuerySpec) { s.Interval = &metav1.Duration{Duration: 10 * time.Second} }

func TestOnARealAPIServer(t *testing.T) {
	w := startWorld(t)
	w.reader.set(nil, deletion(2), deletion(1))

	t.Run("status lands and settles", func(t *testing.T) {
		q := w.query(t, "once")
		w.until(t, q, v1alpha1.ReasonSucceeded, hasRows(2))
		wantKstatus(t, q, status.CurrentStatus)
		if !ownedBy(q, auditquery.FieldOwner) || q.Status.CompletionTime == nil || q.Status.ObservedGeneration != 1 {
			t.Errorf("%+v %+v", q.ManagedFields, q.Status)
		}
		version, asked := q.ResourceVersion, w.reader.count()
		w.edit(t, q, func(s *v1alpha1.AuditQuerySpec) { s.Limit = 7 })
		w.until(t, q, v1alpha1.ReasonSucceeded, nil)
		if q.ResourceVersion == version || w.reader.count() != asked+1 {
			t.Errorf("a new spec was asked %d times", w.reader.count()-asked)
		}
	})
	t.Run("rows that are gone are dropped", func(t *testing.T) {
		q := w.query(t, "emptied")
		w.until(t, q, v1alpha1.ReasonSucceeded, hasRows(2))
		w.reader.set(nil)
		w.edit(t, q, func(s *v1alpha1.AuditQuerySpec) { s.Limit = 7 })
		w.until(t, q, v1alpha1.ReasonSucceeded, hasRows(0))
		w.reader.set(nil, deletion(2), deletion(1))
	})
	t.Run("an outage keeps the results, and ends by itself", func(t *testing.T) {
		q := w.query(t, "standing", every10s)
		w.until(t, q, v1alpha1.ReasonSucceeded, hasRows(2))
		ran := *q.Status.LastRunTime
		w.reader.set(&store.Error{Reason: store.Unavailable, Message: "no node answers", Err: errors.New("https://secret:9200")})
		w.until(t, q, v1alpha1.ReasonStoreUnavailable, nil)
		wantKstatus(t, q, status.InProgressStatus)
		if len(q.Status.Audits) != 2 || !q.Status.LastRunTime.Equal(&ran) {
			t.Errorf("results were not kept: %+v", q.Status)
		}
		w.reader.set(nil, deletion(3), deletion(2), deletion(1))
		w.until(t, q, v1alpha1.ReasonSucceeded, hasRows(3))
		w.wantEvents(t, "standing", "Succeeded", "StoreUnavailable")
		w.edit(t, q, func(s *v1alpha1.AuditQuerySpec) { s.Suspend = true })
		w.until(t, q, v1alpha1.ReasonSucceeded, hasRows(3))
		if q.Status.NextRunTime != nil {
			t.Errorf("a suspended query runs at %s", q.Status.NextRunTime)
		}
	})
	t.Run("an invalid time stalls until it is changed", func(t *testing.T) {
		q := w.query(t, "invalid", func(s *v1alpha1.AuditQuerySpec) { s.From = "now-1dya" })
		w.until(t, q, v1alpha1.ReasonInvalidTime, nil)
		wantKstatus(t, q, status.FailedStatus)
		w.edit(t, q, func(s *v1alpha1.AuditQuerySpec) { s.From = "now-1day" })
		w.until(t, q, v1alpha1.ReasonSucceeded, nil)
	})
	t.Run("a finished query is deleted when its time is over", func(t *testing.T) {
		q := w.query(t, "brief", func(s *v1alpha1.AuditQuerySpec) { s.TTLSecondsAfterFinished = ptr.To(int32(0)) })
		w.untilGone(t, q)
	})
	t.Run("the API server refuses a status for another version of the object", func(t *testing.T) {
		// What keeps an answer out of another object of the same name.
		q := w.query(t, "guarded", func(s *v1alpha1.AuditQuerySpec) { s.Suspend = true })
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"resourceVersion":"1"},"status":{"returned":7}}`))
		if err := w.client.Status().Patch(t.Context(), q, patch); !apierrors.IsConflict(err) {
			t.Errorf("error %v, want a conflict", err)
		}
	})
	t.Run("a query sees what an AuditTenant binds to its namespace", func(t *testing.T) {
		tenant := &v1alpha1.AuditTenant{
			ObjectMeta: metav1.ObjectMeta{Name: "shop"},
			Spec:       v1alpha1.AuditTenantSpec{Namespace: "shop", OrgIDs: []string{"acme", "shop"}},
		}
		if err := w.client.Create(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
		want := query.Scope{Name: "namespace/shop", Restrict: query.AnyOf{Field: "org_id", Values: []string{"acme", "shop"}}}
		q := w.query(t, "bound")
		poll(t, func() bool { // the binding arrives in its own time
			w.edit(t, q, func(s *v1alpha1.AuditQuerySpec) { s.Limit = s.Limit%100 + 1 })
			w.until(t, q, v1alpha1.ReasonSucceeded, nil)
			return cmp.Equal(w.reader.lastScope(), want)
		})
	})
	t.Run("a cluster-wide query runs", func(t *testing.T) {
		q := &v1alpha1.ClusterAuditQuery{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
		q.Spec.Audits = &v1alpha1.AuditFilters{}
		if err := w.client.Create(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		poll(t, func() bool {
			err := w.client.Get(t.Context(), client.ObjectKeyFromObject(q), q)
			return err == nil && meta.IsStatusConditionTrue(q.Status.Conditions, v1alpha1.ConditionReady)
		})
	})
}

func wantKstatus(t *testing.T, q *v1alpha1.AuditQuery, want status.Status) {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(q)
	if err != nil {
		t.Fatal(err)
	}
	got, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil || got.Status != want {
		t.Errorf("kstatus %v, %v; want %s", got, err, want)
	}
}

func ownedBy(q *v1alpha1.AuditQuery, owner string) bool {
	for _, f := range q.ManagedFields {
		if f.Manager == owner && f.Subresource == "status" {
			return true
		}
	}
	return false
}

func (w *world) untilGone(t *testing.T, q *v1alpha1.AuditQuery) {
	t.Helper()
	poll(t, func() bool { return apierrors.IsNotFound(w.client.Get(t.Context(), client.ObjectKeyFromObject(q), q)) })
}

// wantEvents waits for events with reasons and checks that none holds a cause.
func (w *world) wantEvents(t *testing.T, name string, reasons ...string) {
	t.Helper()
	poll(t, func() bool {
		var list eventsv1.EventList
		if err := w.client.List(t.Context(), &list, client.InNamespace("shop")); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, e := range list.Items {
			if e.Regarding.Name == name {
				seen[e.Reason] = true
			}
			if strings.Contains(e.Note, "secret") {
				t.Errorf("event %q", e.Note)
			}
		}
		for _, reason := range reasons {
			if !seen[reason] {
				return false
			}
		}
		return true
	})
}

func poll(t *testing.T, ok func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true,
		func(context.Context) (bool, error) { return ok(), nil })
	if err != nil {
		t.Fatalf("it did not happen within a minute: %v", err)
	}
}
