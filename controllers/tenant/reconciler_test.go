package tenant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/tenancy"
)

var epoch = time.Date(2026, 11, 24, 8, 0, 0, 250_000_000, time.UTC)

// auditTenant binds acme and globex to namespace shop.
func auditTenant(modify ...func(*v1alpha1.AuditTenant)) *v1alpha1.AuditTenant {
	t := &v1alpha1.AuditTenant{
		ObjectMeta: metav1.ObjectMeta{
			Name: "t", UID: "1a2b3c", Generation: 1, CreationTimestamp: metav1.NewTime(epoch.Truncate(time.Second)),
		},
		Spec:   v1alpha1.AuditTenantSpec{Namespace: "shop", OrgIDs: []string{"acme", "globex"}},
		Status: v1alpha1.AuditTenantStatus{ObservedGeneration: -1},
	}
	for _, m := range modify {
		m(t)
	}
	return t
}

// fixed is a directory that knows an index, or nothing.
type fixed struct{ index *tenancy.Index }

func (f *fixed) Index() (*tenancy.Index, error) {
	if f.index == nil {
		return nil, tenancy.ErrNotReady
	}
	return f.index, nil
}

func (f *fixed) Listen(func([]string)) func() { return func() {} }

// know replaces what is known by some namespaces, the objects, and tenants that
// came before them and bind org ids to namespace first.
func (f *fixed) know(namespaces []string, objects []*v1alpha1.AuditTenant, earlier ...string) {
	var known []tenancy.Namespace
	for _, name := range namespaces {
		known = append(known, tenancy.Namespace{Name: name, Created: epoch})
	}
	var tenants []tenancy.Tenant
	for _, o := range objects {
		tenants = append(tenants, tenancy.Tenant{
			Name: o.Name, UID: string(o.UID), Generation: o.Generation, Created: o.CreationTimestamp.Time,
			Namespace: o.Spec.Namespace, OrgIDs: o.Spec.OrgIDs,
		})
	}
	if len(earlier) > 0 {
		tenants = append(tenants, tenancy.Tenant{
			Name: "early", UID: "0", Generation: 1, Created: epoch.Add(-time.Hour), Namespace: "first", OrgIDs: earlier,
		})
	}
	f.index = tenancy.NewIndex(tenants, known)
}

// bench is a reconciler on a fake API server.
type bench struct {
	*reconciler
	t         *testing.T
	directory *fixed
	recorder  *events.FakeRecorder
	clock     *testingclock.FakePassiveClock
	patches   int
	fail      error
}

func newBench(t *testing.T, objects ...*v1alpha1.AuditTenant) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, directory: &fixed{}, recorder: events.NewFakeRecorder(10), clock: testingclock.NewFakePassiveClock(epoch)}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.AuditTenant{})
	for _, o := range objects {
		builder = builder.WithObjects(o)
	}
	c := builder.WithInterceptorFuncs(interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, o ...client.SubResourcePatchOption) error {
			b.patches++
			if b.fail != nil {
				return b.fail
			}
			return c.SubResource(sub).Patch(ctx, obj, p, o...)
		},
	}).Build()
	w, err := newWrites(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	b.reconciler = &reconciler{client: c, recorder: b.recorder, directory: b.directory, clock: b.clock, writes: w}
	return b
}

func (b *bench) reconcile() error {
	_, err := b.Reconcile(b.t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "t"}})
	return err
}

func (b *bench) status() v1alpha1.AuditTenantStatus {
	b.t.Helper()
	var got v1alpha1.AuditTenant
	if err := b.client.Get(b.t.Context(), client.ObjectKey{Name: "t"}, &got); err != nil {
		b.t.Fatal(err)
	}
	return got.Status
}

// conditions are written as Type=Status Reason.
func conditions(status v1alpha1.AuditTenantStatus) map[string]string {
	all := map[string]string{}
	for _, c := range status.Conditions {
		all[c.Type] = string(c.Status) + " " + c.Reason
	}
	return all
}

func TestStatusSaysWhatCameOfIt(t *testing.T) {
	tests := map[string]struct {
		namespaces     []string
		earlier        []string
		wantConditions map[string]string
		wantClaimed    int32
		wantConflicts  []v1alpha1.TenantConflict
		wantMessage    string
		wantEvent      string
	}{
		"every org id is claimed": {
			namespaces:     []string{"shop"},
			wantConditions: map[string]string{"Ready": "True Claimed", "Conflict": "False NoConflict"},
			wantClaimed:    2, wantMessage: "Namespace shop sees the records of 2 org ids.",
			wantEvent: "Normal Claimed Namespace shop sees",
		},
		"the namespace does not exist": {
			wantConditions: map[string]string{"Ready": "False NamespaceNotFound", "Reconciling": "True NamespaceNotFound"},
			wantMessage:    "Namespace shop does not exist, so nothing is claimed until it does.",
			wantEvent:      "Warning NamespaceNotFound Namespace shop does not exist",
		},
		"an earlier tenant binds one of them": {
			namespaces: []string{"shop", "first"}, earlier: []string{"acme", "other"},
			wantConditions: map[string]string{"Ready": "False OrgIDsTaken", "Stalled": "True OrgIDsTaken", "Conflict": "True OrgIDsTaken"},
			wantClaimed:    1,
			wantConflicts:  []v1alpha1.TenantConflict{{OrgID: "acme", Tenant: "early", Namespace: "first"}},
			wantMessage: `1 of 2 org ids belong to another namespace, since an earlier AuditTenant binds them: ` +
				`"acme" to first (AuditTenant early). Remove them here or there.`,
			wantEvent: "Warning OrgIDsTaken 1 of 2 org ids",
		},
		"an earlier tenant's namespace does not exist": {
			namespaces: []string{"shop"}, earlier: []string{"acme"},
			wantConditions: map[string]string{"Ready": "True Claimed", "Conflict": "False NoConflict"},
			wantClaimed:    2, wantMessage: "Namespace shop sees the records of 2 org ids.",
			wantEvent: "Normal Claimed Namespace shop sees",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			obj := auditTenant()
			b := newBench(t, obj)
			b.directory.know(tc.namespaces, []*v1alpha1.AuditTenant{obj}, tc.earlier...)
			for range 2 { // the second pass finds nothing to write
				if err := b.reconcile(); err != nil {
					t.Fatal(err)
				}
			}
			got := b.status()
			if diff := cmp.Diff(tc.wantConditions, conditions(got)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantConflicts, got.Conflicts); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
			if got.ObservedGeneration != 1 || *got.Claimed != tc.wantClaimed || *got.Conflicting != int32(len(tc.wantConflicts)) {
				t.Errorf("status %+v", got)
			}
			ready := got.Conditions[0]
			if ready.Message != tc.wantMessage || !ready.LastTransitionTime.Equal(ptr.To(metav1.NewTime(epoch.Truncate(time.Second)))) {
				t.Errorf("condition %+v, want %q", ready, tc.wantMessage)
			}
			if b.patches != 1 || len(b.recorder.Events) != 1 {
				t.Errorf("%d writes and %d events, want one each", b.patches, len(b.recorder.Events))
			}
			if event := <-b.recorder.Events; !strings.HasPrefix(event, tc.wantEvent) {
				t.Errorf("event %q, want %q", event, tc.wantEvent)
			}
		})
	}
}

func TestNothingIsWrittenOfWhatIsNotKnown(t *testing.T) {
	for name, know := range map[string]func(*fixed){
		"the directory is not ready":          func(*fixed) {},
		"the directory doesn't know it yet":   func(f *fixed) { f.know([]string{"shop"}, nil) },
		"the directory knows an earlier spec": func(f *fixed) { f.know([]string{"shop"}, []*v1alpha1.AuditTenant{auditTenant()}) },
		"the directory knows its predecessor": func(f *fixed) {
			f.know([]string{"shop"}, []*v1alpha1.AuditTenant{auditTenant(func(t *v1alpha1.AuditTenant) { t.UID, t.Generation = "old", 2 })})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, auditTenant(func(t *v1alpha1.AuditTenant) { t.Generation = 2 }))
			know(b.directory)
			if err := b.reconcile(); err != nil || b.patches != 0 {
				t.Errorf("%d writes, error %v", b.patches, err)
			}
		})
	}
}

func TestAConflictEndsWithTheEarlierBinding(t *testing.T) {
	obj := auditTenant()
	b := newBench(t, obj)
	b.directory.know([]string{"shop", "first"}, []*v1alpha1.AuditTenant{obj}, "acme")
	if err := b.reconcile(); err != nil {
		t.Fatal(err)
	}
	b.directory.know([]string{"shop", "first"}, []*v1alpha1.AuditTenant{obj})
	b.clock.SetTime(epoch.Add(time.Minute))
	if err := b.reconcile(); err != nil {
		t.Fatal(err)
	}
	got := b.status()
	want := map[string]string{"Ready": "True Claimed", "Conflict": "False NoConflict"}
	if diff := cmp.Diff(want, conditions(got)); diff != "" || len(got.Conflicts) > 0 {
		t.Errorf("%+v, conditions (-want +got):\n%s", got, diff)
	}
	if len(b.recorder.Events) != 2 {
		t.Errorf("%d events", len(b.recorder.Events))
	}
}

func TestAWriteThatFailsIsTriedAgain(t *testing.T) {
	obj := auditTenant()
	b := newBench(t, obj)
	b.directory.know([]string{"shop"}, []*v1alpha1.AuditTenant{obj})
	b.fail = errors.New("down")
	if err := b.reconcile(); !errors.Is(err, b.fail) || len(b.recorder.Events) != 0 {
		t.Errorf("error %v, %d events", err, len(b.recorder.Events))
	}
	b.fail = nil
	if err := b.reconcile(); err != nil || *b.status().Claimed != 2 {
		t.Errorf("error %v", err)
	}
}

// TestTheLargestStatusIsBounded binds as many long org ids as a tenant may.
func TestTheLargestStatusIsBounded(t *testing.T) {
	obj := auditTenant(func(t *v1alpha1.AuditTenant) {
		t.Spec.OrgIDs = nil
		for i := range v1alpha1.MaxTenantOrgIDs {
			t.Spec.OrgIDs = append(t.Spec.OrgIDs, fmt.Sprintf("%04d", i)+strings.Repeat("é", 508))
		}
	})
	var f fixed
	f.know([]string{"shop", "first"}, []*v1alpha1.AuditTenant{obj}, obj.Spec.OrgIDs...)
	verdict, _ := f.index.Verdict("t")
	status := compose(obj, verdict, epoch)
	if len(status.Conflicts) != v1alpha1.MaxTenantConflicts || *status.Conflicting != v1alpha1.MaxTenantOrgIDs {
		t.Errorf("%d conflicts named of %d", len(status.Conflicts), *status.Conflicting)
	}
	for _, c := range status.Conditions {
		if len(c.Message) > 2000 || !strings.Contains(c.Message, "and 4995 more") {
			t.Errorf("%s: %d bytes: %s", c.Type, len(c.Message), c.Message)
		}
	}
}

func TestOptionsMustBeWhole(t *testing.T) {
	err := SetupWithManager(nil, Options{})
	if err == nil || !strings.Contains(err.Error(), "Directory") || !strings.Contains(err.Error(), "Registerer") {
		t.Errorf("error %v", err)
	}
}
