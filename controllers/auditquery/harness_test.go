package auditquery

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy"
)

// epoch is when every test starts, in the middle of a second.
var epoch = time.Date(2026, 11, 24, 8, 0, 0, 250_000_000, time.UTC)

// audit is the n-th audit record of namespace shop, n seconds before epoch.
func audit(n int, modify ...func(*record.Audit)) *record.Audit {
	a := &record.Audit{
		Common: record.Common{
			Time: record.At(epoch.Add(-time.Duration(n) * time.Second)), SourceType: record.SourceKubernetes,
			OrgID: "shop", UserID: "alice", ActorType: "Human", IngestTime: record.At(epoch),
			Details: json.RawMessage(`{"secret":"of the details"}`),
		},
		Action: "delete", Outcome: "Success", ResponseCode: 200,
	}
	a.ID[0], a.ID[14], a.ID[15] = 0xa0, byte(n>>8), byte(n)
	for _, m := range modify {
		m(a)
	}
	return a
}

func describedBy(bytes int) func(*record.Audit) {
	return func(a *record.Audit) { a.Description = strings.Repeat("x", bytes) }
}

// auditQuery is a valid query of namespace shop for every audit record.
func auditQuery(modify ...func(*v1alpha1.AuditQuery)) *v1alpha1.AuditQuery {
	q := &v1alpha1.AuditQuery{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "q", UID: "1a2b3c", Generation: 1, CreationTimestamp: metav1.NewTime(epoch.Truncate(time.Second)),
		},
		Spec:   v1alpha1.AuditQuerySpec{Audits: &v1alpha1.AuditFilters{}, Limit: 20},
		Status: v1alpha1.AuditQueryStatus{ObservedGeneration: -1},
	}
	for _, m := range modify {
		m(q)
	}
	return q
}

func every(interval time.Duration) func(*v1alpha1.AuditQuery) {
	return func(q *v1alpha1.AuditQuery) { q.Spec.Interval = &metav1.Duration{Duration: interval} }
}

func limited(limit int32) func(*v1alpha1.AuditQuery) {
	return func(q *v1alpha1.AuditQuery) { q.Spec.Limit = limit }
}

func livesFor(seconds int32) func(*v1alpha1.AuditQuery) {
	return func(q *v1alpha1.AuditQuery) { q.Spec.TTLSecondsAfterFinished = ptr.To(seconds) }
}

func fromTo(from, to string) func(*v1alpha1.AuditQuery) {
	return func(q *v1alpha1.AuditQuery) { q.Spec.From, q.Spec.To = from, to }
}

// directAsker asks a store without a batch.
type directAsker struct{ reader store.BatchReader }

func (d directAsker) Ask(ctx context.Context, q store.Question) store.Answer {
	return d.reader.Search(ctx, []store.Question{q})[0]
}

// namespaceReader resolves scopes from the namespaces of a fake API server.
type namespaceReader struct{ client.Reader }

func (r namespaceReader) NamespaceScope(ctx context.Context, namespace string) (query.Scope, error) {
	var ns corev1.Namespace
	if err := r.Get(ctx, client.ObjectKey{Name: namespace}, &ns); err != nil {
		return query.Scope{}, err
	}
	return tenancy.NamespaceScope(tenancy.Namespace{Name: ns.Name, Created: ns.CreationTimestamp.Time})
}

// bench is a reconciler of AuditQuery on a fake API server, clock and store.
type bench struct {
	t        *testing.T
	r        *reconciler
	client   client.Client
	clock    *testingclock.FakePassiveClock
	reader   *fakeReader
	events   *events.FakeRecorder
	registry *prometheus.Registry
	// patches are the bodies of the status writes.
	patches []string
	// patchError fails the next status write.
	patchError error
	// stripped makes reads go through the cache's transform.
	stripped bool
	// frozen, when set, is what reads return instead of the live object.
	frozen *v1alpha1.AuditQuery
}

func newScheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return scheme
}

func newCursors(t testing.TB, now func() time.Time) *store.Cursors {
	t.Helper()
	cursors, err := store.NewCursors([]byte(strings.Repeat("k", store.CursorKeyBytes)), now)
	if err != nil {
		t.Fatal(err)
	}
	return cursors
}

func newBench(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	b := &bench{
		t: t, clock: testingclock.NewFakePassiveClock(epoch), reader: &fakeReader{},
		events: events.NewFakeRecorder(100), registry: prometheus.NewRegistry(), stripped: true,
	}
	shop := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", CreationTimestamp: metav1.NewTime(epoch.Add(-24 * time.Hour))}}
	b.client = fake.NewClientBuilder().WithScheme(newScheme(t)).
		WithStatusSubresource(&v1alpha1.AuditQuery{}, &v1alpha1.ClusterAuditQuery{}).
		WithObjects(append(objects, shop)...).
		WithInterceptorFuncs(interceptor.Funcs{Get: b.interceptGet, SubResourcePatch: b.interceptPatch}).
		Build()
	o := Options{
		Reader: b.reader, Cursors: newCursors(t, b.clock.Now), Scopes: namespaceReader{b.client},
		Guard: Unguarded{}, Registerer: b.registry, Clock: b.clock,
	}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		t.Fatal(err)
	}
	b.r = newReconciler("AuditQuery", func() Object { return &v1alpha1.AuditQuery{} }, sharedParts{
		client: b.client, live: b.client, recorder: b.events, asker: directAsker{b.reader}, metrics: m,
		budget: newBudget(o.StatusBytesPerSecond),
	}, o)
	return b
}

func (b *bench) interceptGet(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if q, ok := obj.(*v1alpha1.AuditQuery); ok && b.frozen != nil {
		b.frozen.DeepCopyInto(q)
		return nil
	}
	if err := c.Get(ctx, key, obj, opts...); err != nil {
		return err
	}
	if b.stripped {
		_, err := StripRows(obj)
		return err
	}
	return nil
}

func (b *bench) interceptPatch(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	if err := b.patchError; err != nil {
		b.patchError = nil
		return err
	}
	body, err := patch.Data(obj)
	if err != nil {
		return err
	}
	b.patches = append(b.patches, string(body))
	return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
}

// pass reconciles once.
func (b *bench) pass() reconcile.Result {
	b.t.Helper()
	result, err := b.r.Reconcile(b.t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "q"}})
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// step moves the clock by what the last pass asked for, and passes.
func (b *bench) step(result reconcile.Result) reconcile.Result {
	b.t.Helper()
	if result.RequeueAfter <= 0 {
		b.t.Fatal("the last pass asked for no other")
	}
	b.clock.SetTime(b.clock.Now().Add(result.RequeueAfter))
	return b.pass()
}

// restart forgets what a controller keeps in memory.
func (b *bench) restart() { b.r.memory = newMemory() }

// get returns the object as the API server has it.
func (b *bench) get() *v1alpha1.AuditQuery {
	b.t.Helper()
	defer func(was bool) { b.stripped = was }(b.stripped)
	b.stripped = false
	var q v1alpha1.AuditQuery
	if err := b.client.Get(b.t.Context(), client.ObjectKey{Namespace: "shop", Name: "q"}, &q); err != nil {
		b.t.Fatal(err)
	}
	return &q
}

// edit changes the spec as a user does; the API server counts the generation up.
func (b *bench) edit(modify func(*v1alpha1.AuditQuery)) {
	b.t.Helper()
	q := b.get()
	modify(q)
	q.Generation++
	if err := b.client.Update(b.t.Context(), q); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) nextEvent() string {
	select {
	case e := <-b.events.Events:
		return e
	default:
		return ""
	}
}

func requestFor(q *v1alpha1.AuditQuery) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(q)}
}
