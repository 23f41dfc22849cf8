// Package cluster_test has the real server keep and erase what RetentionPolicy and
// LegalHold objects say, as kubectl and GitOps tools make, change and delete them in a
// real cluster.
package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/stage"
)

var shared = stage.NewShared(stage.Options{Servers: []stage.ServerOptions{{
	Args: []string{"--retention-throttle=0"},
}}}, nil)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(shared.Run(m))
}

// TestRetention runs what can be at the same time, each with an organisation of its
// own; then the definitions are deleted, and nothing is as it was.
func TestRetention(t *testing.T) {
	w := newWorld(t)
	t.Run("policies and holds", func(t *testing.T) {
		for what, test := range map[string]func(*testing.T, *world){
			"a hold is pending, then active, and released by its delay":              testHold,
			"a new policy erases nothing until its delay has passed":                 testDelay,
			"a mistake in Git is reverted before it costs anything":                  testReverted,
			"two policies that conflict say so":                                      testConflict,
			"a deleted policy protects for its delay, and comes back as a new one":   testDeleted,
			"a policy that contradicts itself is stalled, and keeps what it matches": testSenseless,
			"a locked policy stays":                                                  testLocked,
		} {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				test(t, w)
			})
		}
	})
	t.Run("definitions are deleted", func(t *testing.T) { testRemoved(t, w) })
}

// The ages of the records that most tests have, in days, and what they are called by.
const (
	old    = "old"    // 1000 days
	middle = "middle" // 400 days
	recent = "recent" // 10 days
)

// world is a cluster with the server, as its administrator sees it.
type world struct {
	*stage.Stage
	client client.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Stage: shared.Stage(t)}
	t.Cleanup(func() {
		if t.Failed() {
			w.LogTails(t)
		}
	})
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.client, err = client.New(w.ControlPlane().RESTConfig(), client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	return w
}

// fill stores three records of an organisation.
func (w *world) fill(t *testing.T, org string) {
	t.Helper()
	now := time.Now()
	var records []record.Record
	for name, days := range map[string]int{old: 1000, middle: 400, recent: 10} {
		a := builders.Audit(func(a *record.Audit) { a.OrgID, a.TargetID = org, name })
		// Not before: builders take a record in at a time of their own.
		a.Time = record.At(now.AddDate(0, 0, -days))
		record.Normalize(a, now)
		records = append(records, a)
	}
	if err := w.Append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
}

// left names the records of an organisation that are there, sorted, as text.
func (w *world) left(t *testing.T, org string) string {
	t.Helper()
	var names []string
	for _, a := range w.audits(t, query.Equal{Field: "org_id", Value: org}) {
		names = append(names, a.TargetID)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (w *world) audits(t *testing.T, filter query.Filter) []*record.Audit {
	t.Helper()
	opened, err := w.Store(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q, err := query.Validate(query.Query{Kind: record.KindAudit, Scope: query.All(), Limit: query.MaxLimit, Filter: filter},
		record.NewSchema(record.KindAudit))
	if err != nil {
		t.Fatal(err)
	}
	page, err := opened.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var all []*record.Audit
	for _, document := range page.Documents {
		a := &record.Audit{}
		if err := record.Decode(document, a); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// policy is the manifest of a policy of one organisation that runs every second.
func policy(name, org, spec string) string {
	return fmt.Sprintf(`{"apiVersion": "auditquery.dev/v1alpha1", "kind": "RetentionPolicy", "metadata": {"name": %q},
"spec": {"orgIDs": [%q], "mode": "Enforce", "schedule": "@every 1s", %s}}`, name, org, spec)
}

func hold(name, org, spec string) string {
	return fmt.Sprintf(`{"apiVersion": "auditquery.dev/v1alpha1", "kind": "LegalHold", "metadata": {"name": %q},
"spec": {"reason": "a test", "caseID": "4711", "orgIDs": [%q], %s}}`, name, org, spec)
}

func (w *world) policy(ctx context.Context, name string) (*v1alpha1.RetentionPolicy, error) {
	obj := &v1alpha1.RetentionPolicy{}
	return obj, w.client.Get(ctx, client.ObjectKey{Name: name}, obj)
}

func (w *world) hold(ctx context.Context, name string) (*v1alpha1.LegalHold, error) {
	obj := &v1alpha1.LegalHold{}
	return obj, w.client.Get(ctx, client.ObjectKey{Name: name}, obj)
}

// untilPolicy waits until a policy's status is of its spec and satisfies a check.
func (w *world) untilPolicy(t *testing.T, what, name string, check func(*v1alpha1.RetentionPolicy) error) *v1alpha1.RetentionPolicy {
	t.Helper()
	var last *v1alpha1.RetentionPolicy
	until(t, what, func(ctx context.Context) error {
		obj, err := w.policy(ctx, name)
		if err != nil {
			return err
		}
		last = obj
		if obj.Status.ObservedGeneration != obj.Generation {
			return fmt.Errorf("status is of generation %d, not %d", obj.Status.ObservedGeneration, obj.Generation)
		}
		return check(obj)
	})
	return last
}

func (w *world) untilHold(t *testing.T, what, name string, check func(*v1alpha1.LegalHold) error) *v1alpha1.LegalHold {
	t.Helper()
	var last *v1alpha1.LegalHold
	until(t, what, func(ctx context.Context) error {
		obj, err := w.hold(ctx, name)
		if err != nil {
			return err
		}
		last = obj
		if obj.Status.ObservedGeneration != obj.Generation {
			return fmt.Errorf("status is of generation %d, not %d", obj.Status.ObservedGeneration, obj.Generation)
		}
		return check(obj)
	})
	return last
}

// untilLeft waits until these records of an organisation are there, and no others.
func (w *world) untilLeft(t *testing.T, org, want string) {
	t.Helper()
	until(t, fmt.Sprintf("%s has %q", org, want), func(context.Context) error {
		if got := w.left(t, org); got != want {
			return fmt.Errorf("it has %q", got)
		}
		return nil
	})
}

// untilGone waits until an object is gone.
func (w *world) untilGone(t *testing.T, obj client.Object, name string) {
	t.Helper()
	until(t, name+" is gone", func(ctx context.Context) error {
		err := w.client.Get(ctx, client.ObjectKey{Name: name}, obj)
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return nil
		}
		return fmt.Errorf("%v: finalizers %v", err, obj.GetFinalizers())
	})
}

// condition is the status and the reason of a condition.
func condition(conditions []metav1.Condition, name string) string {
	found := meta.FindStatusCondition(conditions, name)
	if found == nil {
		return "absent"
	}
	return string(found.Status) + " " + found.Reason
}

// wantCondition returns an error unless a condition has a status and a reason.
func wantCondition(conditions []metav1.Condition, name, want string) error {
	if got := condition(conditions, name); got != want {
		return fmt.Errorf("%s is %q in %+v", name, got, conditions)
	}
	return nil
}

// wantKstatus checks what kstatus, and with it Flux and others, makes of an object.
func wantKstatus(t *testing.T, obj client.Object, kind string, want status.Status) {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetAPIVersion(v1alpha1.GroupVersion.String())
	u.SetKind(kind)
	got, err := status.Compute(u)
	if err != nil || got.Status != want {
		t.Errorf("kstatus of %s is %+v, %v; want %s", obj.GetName(), got, err, want)
	}
}

// until polls. It has more patience than package await: a hold needs half a minute.
func until(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	const interval, patience = 100 * time.Millisecond, 3 * time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(errors.Join(fmt.Errorf("waiting until %s", what), err))
		case <-ticker.C:
		}
	}
}

// refused runs kubectl, which has to fail and to say something.
func (w *world) refused(t *testing.T, want string, args ...string) {
	t.Helper()
	_, stderr, err := w.ControlPlane().Kubectl(t.Context(), args...)
	if err == nil || !strings.Contains(stderr, want) {
		t.Errorf("kubectl %v: %v; want an error that says %q", args, err, want)
	}
}
