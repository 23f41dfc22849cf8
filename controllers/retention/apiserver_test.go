package retention

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/prometheus/client_golang/prometheus/testutil"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/test/await"
)

func TestOnARealAPIServer(t *testing.T) {
	w := startWorld(t)
	t.Run("a dry run shows what it would erase", func(t *testing.T) { testDryRun(t, w) })
	t.Run("a policy erases once it has settled", func(t *testing.T) { testEnforce(t, w) })
	t.Run("a deleted policy stays for its delay", func(t *testing.T) { testDeletedPolicy(t, w) })
	t.Run("a spec that makes no sense is stalled", func(t *testing.T) { testStalled(t, w) })
	t.Run("a maxKeep below a floor is a conflict of both", func(t *testing.T) { testConflict(t, w) })
	t.Run("a policy for nothing yet is ready", func(t *testing.T) {
		obj := newPolicy("nobody")
		w.create(t, obj)
		w.untilPolicy(t, obj, "is ready", func() bool {
			return is(obj.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonInForce) &&
				is(obj.Status.Conditions, v1alpha1.ConditionMatched, metav1.ConditionFalse, v1alpha1.ReasonNoRecords)
		})
		wantKstatus(t, obj, status.CurrentStatus)
	})
	t.Run("a hold holds from its first moment to its release", func(t *testing.T) { testHold(t, w) })
	t.Run("a missing hold stops everything", func(t *testing.T) { testMissingHold(t, w) })
	t.Run("a store that is down is told of", func(t *testing.T) { testStoreDown(t, w) })
	t.Run("a kind of holds that is not installed stops everything", func(t *testing.T) { testNoHoldKind(t, w) })
	t.Run("one process at a time has the lease", func(t *testing.T) { testLease(t, w) })
	t.Run("changes are told in events and metrics", func(t *testing.T) { testTold(t, w) })
}

// old stores n records of an org that are a hundred days old, and one of now.
func (w *world) old(t *testing.T, n int, org string) {
	t.Helper()
	w.audits(t, n, org, w.clock.Now().AddDate(0, 0, -100))
	w.audits(t, 1, org, w.clock.Now().Add(-time.Minute))
}

func testDryRun(t *testing.T, w *world) {
	w.old(t, 12, "dry")
	obj := newPolicy("dry", func(p *v1alpha1.RetentionPolicy) { p.Spec.Mode = v1alpha1.RetentionDryRun })
	w.create(t, obj)
	w.untilPolicy(t, obj, "shows its plan", func() bool {
		return obj.Status.Plan != nil && obj.Status.Plan.Records == 12 &&
			is(obj.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonInForce)
	})
	wantKstatus(t, obj, status.CurrentStatus)
	plan := obj.Status.Plan
	if !plan.Exact || plan.Bytes == 0 || plan.Oldest == nil || len(plan.Entries) == 0 {
		t.Fatalf("plan %+v", plan)
	}
	if e := plan.Entries[0]; e.Record != v1alpha1.RecordAudit || e.OrgID != "dry" || e.Records != 12 || !e.Exact || e.Due != nil {
		t.Errorf("entry %+v", e)
	}
	if obj.Status.NextRunTime != nil || !is(obj.Status.Conditions, v1alpha1.ConditionMatched, metav1.ConditionTrue, v1alpha1.ReasonRecordsMatched) {
		t.Errorf("status %+v", obj.Status)
	}
	wantLeft(t, w.bench, map[string]int{"dry": 13})
}

func testEnforce(t *testing.T, w *world) {
	w.old(t, 12, "shop")
	obj := newPolicy("shop", func(p *v1alpha1.RetentionPolicy) { p.Spec.ChangeDelay.Duration = time.Hour })
	w.create(t, obj)
	w.untilPolicy(t, obj, "waits", func() bool {
		plan := obj.Status.Plan
		return is(obj.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonChangePending) &&
			plan != nil && len(plan.Entries) == 1 && plan.Entries[0].Due != nil && plan.Entries[0].Records == 12 && plan.Records == 0
	})
	wantKstatus(t, obj, status.CurrentStatus)
	settles := obj.Status.Effective.ProtectedUntil
	if settles == nil || settles.Sub(obj.CreationTimestamp.Time) < time.Hour-time.Minute || !obj.Status.Plan.Entries[0].Due.Equal(settles) {
		t.Errorf("protected until %v, due %v", settles, obj.Status.Plan.Entries[0].Due)
	}
	w.untilPolicy(t, obj, "has run in vain", func() bool { return obj.Status.LastRun != nil && obj.Status.NextRunTime != nil })
	if obj.Status.LastRun.Records != 0 || obj.Status.ExpiredThrough != nil {
		t.Errorf("status %+v", obj.Status)
	}
	wantLeft(t, w.bench, map[string]int{"shop": 13})

	w.forward(t, time.Hour, obj)
	await.True(t, "what is due is gone", func() bool { return w.left(t, "shop") == 1 })
	w.untilPolicy(t, obj, "has erased", func() bool {
		return obj.Status.ExpiredThrough != nil && obj.Status.Plan.Records == 0 &&
			is(obj.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonInForce)
	})
	if through := w.clock.Now().AddDate(0, 0, -90).Sub(obj.Status.ExpiredThrough.Time); through < 0 || through > time.Minute {
		t.Errorf("expired through %s", obj.Status.ExpiredThrough)
	}
	trail := w.stored(t, query.Equal{Field: "target_resource_name", Value: "shop"})
	if len(trail) != 1 || trail[0].UserID != username || !strings.Contains(trail[0].Description, "erased 12 Audit records") {
		t.Errorf("the trail has %v", describeTrail(trail))
	}
}

func testDeletedPolicy(t *testing.T, w *world) {
	obj := newPolicy("leaving", func(p *v1alpha1.RetentionPolicy) { p.Spec.ChangeDelay.Duration = time.Hour })
	w.create(t, obj)
	w.untilPolicy(t, obj, "is seen", func() bool { return obj.Status.Effective != nil })
	w.delete(t, obj)
	w.untilPolicy(t, obj, "is leaving", func() bool {
		return is(obj.Status.Conditions, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonDeletionPending) &&
			obj.Status.NextRunTime == nil
	})
	w.forward(t, time.Hour, obj)
	w.untilGone(t, obj)
}

func testStalled(t *testing.T, w *world) {
	for reason, test := range map[string]struct {
		modify func(*v1alpha1.RetentionPolicySpec)
		field  string
	}{
		v1alpha1.ReasonContradiction:   {func(s *v1alpha1.RetentionPolicySpec) { s.MinKeep = "100d" }, "spec.keep"},
		v1alpha1.ReasonInvalidSchedule: {func(s *v1alpha1.RetentionPolicySpec) { s.Schedule = "now and then" }, "spec.schedule"},
	} {
		name := strings.ToLower(reason)
		w.old(t, 3, name)
		obj := newPolicy(name, func(p *v1alpha1.RetentionPolicy) { test.modify(&p.Spec) })
		w.create(t, obj)
		w.untilPolicy(t, obj, "is stalled", func() bool {
			return is(obj.Status.Conditions, v1alpha1.ConditionStalled, metav1.ConditionTrue, reason)
		})
		wantKstatus(t, obj, status.FailedStatus)
		if c := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionReady); !strings.HasPrefix(c.Message, test.field+":") {
			t.Errorf("the message is %q", c.Message)
		}
		if obj.Status.Effective != nil || obj.Status.NextRunTime != nil || obj.Status.Plan != nil {
			t.Errorf("status %+v", obj.Status)
		}
	}
}

func testConflict(t *testing.T, w *world) {
	both := func(modify func(*v1alpha1.RetentionPolicySpec)) func(*v1alpha1.RetentionPolicy) {
		return func(p *v1alpha1.RetentionPolicy) {
			p.Spec.OrgIDs = []string{"contested"}
			modify(&p.Spec)
		}
	}
	duty := newPolicy("duty", both(func(s *v1alpha1.RetentionPolicySpec) { s.Keep, s.MaxKeep = "20d", "30d" }))
	floor := newPolicy("floor", both(func(s *v1alpha1.RetentionPolicySpec) { s.MinKeep = "60d" }))
	w.create(t, duty)
	w.create(t, floor)
	for _, obj := range []*v1alpha1.RetentionPolicy{duty, floor} {
		w.untilPolicy(t, obj, "has the conflict", func() bool {
			return is(obj.Status.Conditions, v1alpha1.ConditionConflict, metav1.ConditionTrue, v1alpha1.ReasonMaxKeepBelowFloor)
		})
	}
	w.delete(t, floor)
	w.untilGone(t, floor)
	w.untilPolicy(t, duty, "has none any more", func() bool {
		return is(duty.Status.Conditions, v1alpha1.ConditionConflict, metav1.ConditionFalse, v1alpha1.ReasonNoConflict)
	})
}

func testHold(t *testing.T, w *world) {
	w.old(t, 7, "court")
	h := newHold("case", "court")
	w.create(t, h)
	w.untilHold(t, h, "is pending", func() bool {
		return h.Status.Phase == v1alpha1.HoldPending &&
			is(h.Status.Conditions, v1alpha1.ConditionActive, metav1.ConditionFalse, v1alpha1.ReasonHoldPending)
	})
	wantKstatus(t, h, status.InProgressStatus)
	w.forward(t, retention.BatchTimeout+time.Second, h)
	w.untilHold(t, h, "is active", func() bool {
		return h.Status.Phase == v1alpha1.HoldActive && h.Status.Records != nil && h.Status.Records.Count == 8 &&
			is(h.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonHoldActive)
	})
	wantKstatus(t, h, status.CurrentStatus)
	obj := newPolicy("court")
	w.create(t, obj)
	w.untilPolicy(t, obj, "is blocked by the hold", func() bool {
		plan := obj.Status.Plan
		return plan != nil && plan.Records == 0 && plan.HeldRecords == 7 && len(plan.Holds) == 1 && plan.Holds[0].Name == "case" &&
			plan.Holds[0].Records == 7 && obj.Status.LastRun != nil
	})
	wantLeft(t, w.bench, map[string]int{"court": 8})

	w.delete(t, h)
	w.untilHold(t, h, "is releasing", func() bool {
		return h.Status.Phase == v1alpha1.HoldReleasing && h.Status.ReleaseTime != nil &&
			is(h.Status.Conditions, v1alpha1.ConditionActive, metav1.ConditionTrue, v1alpha1.ReasonHoldReleasing)
	})
	w.annotate(t, h, v1alpha1.KeepAnnotation, "true")
	w.untilHold(t, h, "is kept", func() bool {
		return h.Status.ReleaseTime == nil && is(h.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonHoldKept)
	})
	w.forward(t, 2*time.Hour, h)
	w.annotate(t, h, v1alpha1.KeepAnnotation, "")
	w.untilHold(t, h, "is releasing anew", func() bool {
		return h.Status.ReleaseTime != nil && h.Status.ReleaseTime.After(w.clock.Now().Add(50*time.Minute))
	})
	wantLeft(t, w.bench, map[string]int{"court": 8})
	w.forward(t, time.Hour, h)
	w.untilGone(t, h)
	await.True(t, "what was held is gone", func() bool { return w.left(t, "court") == 1 })
}

func testMissingHold(t *testing.T, w *world) {
	h := newHold("lost", "elsewhere")
	w.create(t, h)
	w.untilHold(t, h, "is seen", func() bool { return h.Status.Phase == v1alpha1.HoldPending })
	// As when a cluster is built anew: the object is gone, and nobody released it.
	w.delete(t, h)
	w.dropFinalizers(t, h)
	w.old(t, 4, "late")
	obj := newPolicy("late")
	w.create(t, obj)
	w.untilPolicy(t, obj, "is told of the missing hold", func() bool {
		return is(obj.Status.Conditions, v1alpha1.ConditionHoldMissing, metav1.ConditionTrue, v1alpha1.ReasonHoldsMissing) &&
			is(obj.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonHoldsMissing)
	})
	if c := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionHoldMissing); !strings.Contains(c.Message, "lost") {
		t.Errorf("the message is %q", c.Message)
	}
	w.forward(t, time.Minute, obj)
	w.untilPolicy(t, obj, "still waits", func() bool { return obj.Status.NextRunTime != nil && obj.Status.NextRunTime.After(w.clock.Now()) })
	wantLeft(t, w.bench, map[string]int{"late": 5})
	w.create(t, newHold("lost", "elsewhere"))
	w.untilPolicy(t, obj, "goes on", func() bool {
		return is(obj.Status.Conditions, v1alpha1.ConditionHoldMissing, metav1.ConditionFalse, v1alpha1.ReasonHoldsPresent)
	})
	await.True(t, "what is due is gone", func() bool { return w.left(t, "late") == 1 })
}

func testNoHoldKind(t *testing.T, w *world) {
	h := newHold("uninstalled", "nowhere")
	w.create(t, h)
	w.untilHold(t, h, "is seen", func() bool { return h.Status.Phase == v1alpha1.HoldPending })
	kind := &unstructured.Unstructured{}
	kind.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	kind.SetName("legalholds." + v1alpha1.Group)
	w.delete(t, kind)
	w.untilHold(t, h, "is being deleted with its kind, and holds", func() bool {
		return h.Status.Phase == v1alpha1.HoldReleasing && h.Status.ReleaseTime != nil
	})
	w.old(t, 3, "unheld")
	// Somebody who may do anything makes short work of them.
	for _, each := range []*v1alpha1.LegalHold{h, newHold("lost", "elsewhere")} {
		w.dropFinalizers(t, each)
	}
	w.untilGone(t, kind)
	obj := newPolicy("unheld")
	w.create(t, obj)
	w.untilPolicy(t, obj, "is told of the missing hold", func() bool {
		c := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionHoldMissing)
		return c != nil && c.Status == metav1.ConditionTrue && strings.Contains(c.Message, "uninstalled")
	})
	w.forward(t, time.Minute, obj)
	w.untilPolicy(t, obj, "was run in vain", func() bool { return obj.Status.NextRunTime != nil && obj.Status.NextRunTime.After(w.clock.Now()) })
	wantLeft(t, w.bench, map[string]int{"unheld": 4})
}

func testStoreDown(t *testing.T, w *world) {
	w.store.watch(func(string) error { return unavailable() })
	obj := newPolicy("patient")
	w.create(t, obj)
	w.untilPolicy(t, obj, "waits for the store", func() bool {
		return is(obj.Status.Conditions, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonStoreUnavailable) &&
			is(obj.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonStoreUnavailable)
	})
	wantKstatus(t, obj, status.InProgressStatus)
	w.store.watch(nil)
	w.forward(t, 0, obj)
	w.untilPolicy(t, obj, "is ready", func() bool {
		return is(obj.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonInForce)
	})
	wantKstatus(t, obj, status.CurrentStatus)
}

func testLease(t *testing.T, w *world) {
	const elsewhere = "default" // The controller's own is in use.
	machine := clocktesting.NewFakePassiveClock(time.Now())
	lease := func(name string, c clock.PassiveClock) *KubernetesLease {
		return NewKubernetesLease(w.client, w.client, elsewhere, name, c)
	}
	theirs := clocktesting.NewFakePassiveClock(today) // Years apart: nobody compares them.
	first, second := lease("first", theirs), lease("second", machine)
	if until, err := first.Acquire(t.Context()); err != nil || !until.Equal(today.Add(LeaseDuration-leaseMargin)) {
		t.Fatalf("until %s, %v", until, err)
	}
	held := func(what string) {
		t.Helper()
		var e *LeaseHeldError
		if _, err := second.Acquire(t.Context()); !errors.As(err, &e) {
			t.Fatalf("%s the second had it: %v", what, err)
		}
	}
	held("at once")
	machine.SetTime(machine.Now().Add(LeaseDuration - time.Second))
	held("before the first's had run out")
	theirs.SetTime(today.Add(LeaseDuration / 2))
	if _, err := first.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	machine.SetTime(machine.Now().Add(LeaseDuration - time.Second))
	held("after the first has renewed it")
	machine.SetTime(machine.Now().Add(LeaseDuration))
	if _, err := second.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Renew(t.Context()); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("the first renewed what it had lost: %v", err)
	}
	if err := errors.Join(first.Release(t.Context()), second.Release(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Renew(t.Context()); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("the second renewed what it had given back: %v", err)
	}
	if _, err := first.Acquire(t.Context()); err != nil {
		t.Errorf("what was given back cannot be taken: %v", err)
	}
}

func testTold(t *testing.T, w *world) {
	await.Nil(t, "events of each kind are there", func(ctx context.Context) error {
		var list eventsv1.EventList
		if err := w.client.List(ctx, &list, client.InNamespace("default")); err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, e := range list.Items {
			seen[e.Type+" "+e.Regarding.Name+" "+e.Reason] = true
		}
		for _, want := range []string{
			"Normal shop RecordsErased", "Normal shop ChangePending", "Warning contradiction Contradiction", "Warning duty MaxKeepBelowFloor",
			"Warning late HoldsMissing", "Normal case HoldActive", "Normal case HoldReleasing", "Warning patient StoreUnavailable",
		} {
			if !seen[want] {
				return fmt.Errorf("no event %q among %v", want, seen)
			}
		}
		return nil
	})
	if problems, err := testutil.GatherAndLint(w.registry); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	for name, want := range map[string]float64{
		"shop": 12, "court": 7, "late": 4,
	} {
		counters, err := w.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := 0.0
		for _, family := range counters {
			for _, m := range family.GetMetric() {
				if family.GetName() == "auditquery_retention_records_erased_total" && m.GetLabel()[1].GetValue() == name &&
					m.GetLabel()[0].GetValue() == string(record.KindAudit) {
					got += m.GetCounter().GetValue()
				}
			}
		}
		if got != want {
			t.Errorf("%v records of %s were counted, want %v", got, name, want)
		}
	}
}
