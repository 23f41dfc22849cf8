package retention

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// passBench is a reconciler on a fake API server, which can fail.
type passBench struct {
	*bench
	r        *reconciler
	client   client.Client
	registry *prometheus.Registry
	// listErr fails lists of the kind, patchErr patches of the object's metadata.
	listErr, patchErr map[string]error
}

func newPassBench(t *testing.T, objects ...client.Object) *passBench {
	t.Helper()
	b := &passBench{bench: newBench(t), registry: prometheus.NewRegistry(), listErr: map[string]error{}, patchErr: map[string]error{}}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	b.client = fake.NewClientBuilder().WithScheme(scheme).
		WithStatusSubresource(&v1alpha1.RetentionPolicy{}, &v1alpha1.LegalHold{}).WithObjects(objects...).
		WithInterceptorFuncs(interceptor.Funcs{List: b.list, Patch: b.patch}).Build()
	source := objectSource{reader: b.client}
	eraser := b.eraser(t, func(o *EraserOptions) {
		o.Policies, o.Holds, o.Registerer = source.policies, source.holds, b.registry
	})
	b.r = &reconciler{
		client: b.client, recorder: events.NewFakeRecorder(100), objects: source, ledger: eraser.ledger, store: b.store,
		runs: newRunner(eraser, b.clock, logr.Discard(), func() {}), clock: b.clock, refreshEvery: time.Hour,
		metrics: eraser.metrics, schemas: map[record.Kind]*record.Schema{},
	}
	for _, kind := range record.Kinds() {
		b.r.schemas[kind] = record.NewSchema(kind)
	}
	return b
}

func (b *passBench) list(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
	if err := b.listErr[fmt.Sprintf("%T", list)]; err != nil {
		return err
	}
	return c.List(ctx, list, o...)
}

func (b *passBench) patch(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch, o ...client.PatchOption) error {
	if err := b.patchErr[obj.GetName()]; err != nil {
		return err
	}
	return c.Patch(ctx, obj, p, o...)
}

// pass makes one pass, which fails if it should, and returns when the next one is.
func (b *passBench) pass(t *testing.T, wantErr error) time.Duration {
	t.Helper()
	result, err := b.r.Reconcile(t.Context(), reconcile.Request{})
	if !errors.Is(err, wantErr) {
		t.Fatalf("the pass failed: %v, want %v", err, wantErr)
	}
	return result.RequeueAfter
}

// ready is the status, the reason and the message of Ready.
func (b *passBench) ready(t *testing.T, name string) (state, message string) {
	t.Helper()
	get := func(obj client.Object) error { return b.client.Get(t.Context(), client.ObjectKey{Name: name}, obj) }
	policy, hold := &v1alpha1.RetentionPolicy{}, &v1alpha1.LegalHold{}
	conditions := &policy.Status.Conditions
	if get(policy) != nil {
		conditions = &hold.Status.Conditions
		if err := get(hold); err != nil {
			t.Fatal(err)
		}
	}
	c := meta.FindStatusCondition(*conditions, v1alpha1.ConditionReady)
	if c == nil {
		return "none", ""
	}
	return string(c.Status) + " " + c.Reason, c.Message
}

// series counts the series of each policy.
func (b *passBench) series(t *testing.T) map[string]int {
	t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "policy" {
					found[label.GetValue()]++
				}
			}
		}
	}
	return found
}

func TestWhyNothingIsErasedIsInStatus(t *testing.T) {
	tests := map[string]struct {
		fail        func(*passBench)
		want        map[string]string
		wantMessage string
	}{
		"when there is more to remember than fits": {
			fail: func(b *passBench) {
				b.store.watch(func(call string) error {
					if call == "write "+ledgerNote {
						return fmt.Errorf("%w: 5000000 bytes", errTooMany)
					}
					return nil
				})
			},
			want:        map[string]string{"p": "False TooManyRules", "h": "False TooManyRules"},
			wantMessage: "5000000 bytes",
		},
		"when another process always writes in between": {
			fail: func(b *passBench) {
				b.store.watch(func(call string) error {
					if call == "write "+ledgerNote {
						return &store.Error{Reason: store.Conflict, Op: "write", Message: "another version is there"}
					}
					return nil
				})
			},
			want:        map[string]string{"p": "Unknown RulesUnknown", "h": "Unknown RulesUnknown"},
			wantMessage: "what is remembered",
		},
		"when holds cannot be listed": {
			fail: func(b *passBench) {
				b.listErr["*v1alpha1.LegalHoldList"] = errors.New("https://secret.example is away")
			},
			want:        map[string]string{"p": "Unknown RulesUnknown"},
			wantMessage: "the API server does not say",
		},
		"when policies cannot be listed": {
			fail: func(b *passBench) {
				b.listErr["*v1alpha1.RetentionPolicyList"] = errors.New("https://secret.example is away")
			},
			want:        map[string]string{"h": "Unknown RulesUnknown"},
			wantMessage: "the API server does not say",
		},
		"when the store is down": {
			fail: func(b *passBench) {
				b.store.watch(func(call string) error {
					if call == "stretches" || call == "write "+ledgerNote {
						return unavailable()
					}
					return nil
				})
			},
			want:        map[string]string{"p": "Unknown StoreUnavailable", "h": "Unknown StoreUnavailable"},
			wantMessage: "the store is down",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newPassBench(t, newPolicy("p"), newHold("h", "shop"))
			test.fail(b)
			if wait := b.pass(t, nil); wait == 0 || wait > storeRetry {
				t.Errorf("the next pass is in %s", wait)
			}
			got := map[string]string{}
			for name := range test.want {
				state, message := b.ready(t, name)
				got[name] = state
				if !strings.Contains(message, test.wantMessage) || !strings.Contains(message, "othing is erased") || strings.Contains(message, "secret") {
					t.Errorf("%s says %q", name, message)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Ready (-want +got):\n%s", diff)
			}
			// It passes once it is over.
			b.store.watch(nil)
			clear(b.listErr)
			b.pass(t, nil)
			if state, _ := b.ready(t, "p"); !strings.HasPrefix(state, "True") {
				t.Errorf("afterwards p is %s", state)
			}
		})
	}
}

func TestTooManyObjectsSayThatTheyAre(t *testing.T) {
	big := func(name string) client.Object {
		h := newHold(name, "shop")
		h.Spec.OrgIDs = []string{strings.Repeat("x", maxNamedBytes/2+1)}
		return h
	}
	b := newPassBench(t, newPolicy("p"), big("a"), big("b"))
	b.pass(t, nil)
	for _, name := range []string{"p", "a", "b"} {
		if state, message := b.ready(t, name); state != "False TooManyRules" || !strings.Contains(message, "list holds") {
			t.Errorf("%s is %s: %q", name, state, message)
		}
	}
}

func TestAnObjectThatCannotBeClaimedHoldsUpNoOther(t *testing.T) {
	b := newPassBench(t, newHold("a", "shop"), newHold("b", "shop"), newPolicy("p"), newPolicy("q"))
	refused := errors.New("a webhook refuses it")
	b.patchErr["a"], b.patchErr["p"] = refused, refused
	b.pass(t, refused)
	want := map[string]string{
		"a": "Unknown Progressing", "b": "False HoldPending", "p": "Unknown Progressing", "q": "True ChangePending",
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got, message := b.ready(t, name); got != want[name] || strings.Contains(message, "webhook") {
			t.Errorf("%s is %s, want %s: %q", name, got, want[name], message)
		}
	}
	clear(b.patchErr)
	b.pass(t, nil)
	if got, _ := b.ready(t, "a"); got != "False HoldPending" {
		t.Errorf("afterwards a is %s", got)
	}
}

func TestAnObjectThatCannotBeReleasedHoldsUpNoOther(t *testing.T) {
	b := newPassBench(t, newPolicy("p"), newPolicy("q"))
	b.pass(t, nil)
	for _, name := range []string{"p", "q"} {
		if err := b.client.Delete(t.Context(), newPolicy(name)); err != nil {
			t.Fatal(err)
		}
	}
	b.pass(t, nil)
	b.clock.SetTime(b.clock.Now().Add(time.Minute))
	refused := errors.New("a webhook refuses it")
	b.patchErr["p"] = refused
	b.pass(t, refused)
	left := &v1alpha1.RetentionPolicyList{}
	if err := b.client.List(t.Context(), left); err != nil || len(left.Items) != 1 {
		t.Fatalf("%d policies are left, %v", len(left.Items), err)
	}
	// It says that it keeps nothing, not until when it did.
	if state, message := b.ready(t, "p"); state != "False DeletionPending" || strings.Contains(message, "0001") ||
		!strings.Contains(message, "keeps nothing any more") {
		t.Errorf("p is %s: %q", state, message)
	}
	b.pass(t, refused) // The deletion of the other wakes us.
	if got := b.series(t); got["p"] == 0 || got["q"] != 0 {
		t.Errorf("series by policy: %v", got)
	}
}

func TestMetricsOfAPolicyThatVanishedAreForgotten(t *testing.T) {
	b := newPassBench(t, newPolicy("p"), newPolicy("q"))
	b.pass(t, nil)
	for _, name := range []string{"p", "q"} {
		b.r.metrics.erased(name, record.KindAudit, 1, 1)
		b.r.metrics.ran(name, outcome{clean: true, ended: today})
	}
	if b.series(t)["p"] == 0 {
		t.Fatal("nothing is measured")
	}
	vanished := &v1alpha1.RetentionPolicy{}
	if err := b.client.Get(t.Context(), client.ObjectKey{Name: "p"}, vanished); err != nil {
		t.Fatal(err)
	}
	vanished.Finalizers = nil
	if err := errors.Join(b.client.Update(t.Context(), vanished), b.client.Delete(t.Context(), vanished)); err != nil {
		t.Fatal(err)
	}
	// While it is not known which there are, nothing is forgotten.
	b.listErr["*v1alpha1.RetentionPolicyList"] = errors.New("away")
	b.pass(t, nil)
	if b.series(t)["p"] == 0 {
		t.Error("a policy that could not be listed is forgotten")
	}
	clear(b.listErr)
	b.pass(t, nil)
	if got := b.series(t); got["p"] != 0 || got["q"] == 0 {
		t.Errorf("series by policy: %v", got)
	}
}

// TestLastSuccess: the alert for a policy that is behind goes by it.
func TestLastSuccess(t *testing.T) {
	tests := map[string]struct {
		last outcome
		mode v1alpha1.RetentionMode
		want bool
	}{
		"is kept after a good run":                  {last: outcome{clean: true}, mode: v1alpha1.RetentionEnforce, want: true},
		"is not that of a run that left things":     {last: outcome{}, mode: v1alpha1.RetentionEnforce},
		"is not that of a run that failed":          {last: outcome{errors: []string{"x"}}, mode: v1alpha1.RetentionEnforce},
		"is none of a policy that became a dry run": {last: outcome{clean: true}, mode: v1alpha1.RetentionDryRun},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newPassBench(t, newPolicy("p", func(p *v1alpha1.RetentionPolicy) {
				p.Spec.Mode, p.CreationTimestamp = test.mode, metav1.NewTime(today)
			}))
			b.r.metrics.ran("p", test.last)
			b.pass(t, nil)
			families, err := b.registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			got := false
			for _, family := range families {
				got = got || family.GetName() == "auditquery_retention_last_success_timestamp_seconds"
			}
			if got != test.want {
				t.Errorf("it is there: %t, want %t", got, test.want)
			}
		})
	}
}

func TestAPolicyWhoseLastRunIsInTheFutureRuns(t *testing.T) {
	b := newPassBench(t, newPolicy("p", func(p *v1alpha1.RetentionPolicy) {
		p.Spec.Schedule, p.CreationTimestamp = "0 * * * *", metav1.NewTime(today.Add(-time.Hour))
		p.Status.LastRun = &v1alpha1.RetentionRun{StartTime: metav1.NewTime(today.AddDate(10, 0, 0))}
	}))
	b.clock.SetTime(today.Add(10 * time.Minute))
	b.pass(t, nil)
	if b.r.runs.busy {
		t.Fatal("it ran before its schedule says so")
	}
	for range 2 { // A pass in between puts nothing off.
		b.clock.SetTime(b.clock.Now().Add(25 * time.Minute))
		b.pass(t, nil)
	}
	if !b.r.runs.busy {
		t.Error("it waits for the future")
	}
}
