package cluster_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/test/e2e/retention/trail"
)

const (
	kindPolicy = "RetentionPolicy"
	kindHold   = "LegalHold"
	all        = "middle old recent"
)

// testDelay: a new policy erases nothing until its delay has passed.
func testDelay(t *testing.T, w *world) {
	w.fill(t, "delayed")
	w.Apply(t, policy("delayed", "delayed", `"keep": "500d", "changeDelay": "12s"`))
	p := w.untilPolicy(t, "the plan shows what will go", "delayed", func(p *v1alpha1.RetentionPolicy) error {
		if p.Status.Plan == nil || len(p.Status.Plan.Entries) != 1 || p.Status.Plan.Entries[0].Due == nil {
			return fmt.Errorf("the plan is %+v", p.Status.Plan)
		}
		return wantCondition(p.Status.Conditions, v1alpha1.ConditionReady, "True "+v1alpha1.ReasonChangePending)
	})
	wantKstatus(t, p, kindPolicy, status.CurrentStatus)
	entry := p.Status.Plan.Entries[0]
	if entry.OrgID != "delayed" || entry.Records < 1 || entry.Record != v1alpha1.RecordAudit {
		t.Errorf("the plan says %+v", entry)
	}
	settles := p.CreationTimestamp.Add(12 * time.Second)
	if entry.Due.Before(&metav1.Time{Time: settles}) {
		t.Errorf("it is due at %s, and the policy is of %s", entry.Due, p.CreationTimestamp)
	}
	for time.Now().Before(settles) {
		// What is asked before the delay has passed tells of before.
		if got := w.left(t, "delayed"); got != all && time.Now().Before(settles) {
			t.Fatalf("before the delay has passed %q are left", got)
		}
		trail.LetPass(t.Context(), 100*time.Millisecond)
	}
	w.untilLeft(t, "delayed", "middle recent")
	p = w.untilPolicy(t, "status says what was erased", "delayed", func(p *v1alpha1.RetentionPolicy) error {
		if p.Status.ExpiredThrough == nil || p.Status.NextRunTime == nil || p.Status.LastRun == nil {
			return fmt.Errorf("status is %+v", p.Status)
		}
		return errors.Join(wantCondition(p.Status.Conditions, v1alpha1.ConditionReady, "True "+v1alpha1.ReasonInForce),
			wantCondition(p.Status.Conditions, v1alpha1.ConditionMatched, "True "+v1alpha1.ReasonRecordsMatched))
	})
	wantKstatus(t, p, kindPolicy, status.CurrentStatus)
	runs := w.audits(t, query.And{query.Equal{Field: "user_id", Value: trail.Username}, query.Equal{Field: "target_resource_name", Value: "delayed"}})
	if len(runs) != 1 || !strings.Contains(runs[0].Description, "erased 1 Audit") {
		t.Errorf("the trail has %d records of its own pruning: %+v", len(runs), runs)
	}
	w.Kubectl(t, "delete", "rp", "delayed", "--timeout=60s")
}

// testReverted: a mistake in Git is reverted before it costs anything.
func testReverted(t *testing.T, w *world) {
	w.fill(t, "mistaken")
	right := policy("mistaken", "mistaken", `"keep": "2000d", "changeDelay": "10s"`)
	w.Apply(t, right)
	w.untilPolicy(t, "the policy is in force", "mistaken", inForce)
	w.Apply(t, policy("mistaken", "mistaken", `"keep": "20d", "changeDelay": "1s"`))
	w.untilPolicy(t, "the plan shows what will go", "mistaken", func(p *v1alpha1.RetentionPolicy) error {
		if p.Status.Plan == nil || len(p.Status.Plan.Entries) == 0 || p.Status.Plan.Entries[0].Due == nil {
			return fmt.Errorf("the plan is %+v", p.Status.Plan)
		}
		return nil
	})
	w.Apply(t, right)
	reverted := time.Now()
	w.untilPolicy(t, "all changes have settled and it has run since", "mistaken", func(p *v1alpha1.RetentionPolicy) error {
		if p.Status.LastRun == nil || p.Status.LastRun.StartTime.Time.Before(reverted.Add(11*time.Second)) {
			return fmt.Errorf("the last run is %+v", p.Status.LastRun)
		}
		return inForce(p)
	})
	if got := w.left(t, "mistaken"); got != all {
		t.Errorf("%q are left", got)
	}
	w.Kubectl(t, "delete", "rp", "mistaken", "--timeout=60s")
}

func inForce(p *v1alpha1.RetentionPolicy) error {
	return wantCondition(p.Status.Conditions, v1alpha1.ConditionReady, "True "+v1alpha1.ReasonInForce)
}

// testConflict: two policies that conflict say so, and records go at the floor.
func testConflict(t *testing.T, w *world) {
	w.fill(t, "torn")
	w.Apply(t, policy("torn-floor", "torn", `"keep": "900d", "minKeep": "900d", "changeDelay": "1s"`))
	w.Apply(t, policy("torn-duty", "torn", `"keep": "300d", "maxKeep": "300d", "changeDelay": "1s"`))
	for name, other := range map[string]string{"torn-floor": "torn-duty", "torn-duty": "torn-floor"} {
		p := w.untilPolicy(t, name+" has a conflict", name, func(p *v1alpha1.RetentionPolicy) error {
			for _, c := range p.Status.Conditions {
				if c.Type == v1alpha1.ConditionConflict && c.Status == metav1.ConditionTrue && strings.Contains(c.Message, other) {
					return nil
				}
			}
			return fmt.Errorf("conditions are %+v", p.Status.Conditions)
		})
		wantKstatus(t, p, kindPolicy, status.CurrentStatus)
	}
	w.untilLeft(t, "torn", "middle recent") // at the floor
	w.Kubectl(t, "delete", "rp", "torn-floor", "torn-duty", "--timeout=60s")
}

// testDeleted: a deleted policy protects for its delay, and a GitOps tool brings it back as a
// new one.
func testDeleted(t *testing.T, w *world) {
	w.fill(t, "deleted")
	manifest := policy("deleted", "deleted", `"keep": "2000d", "changeDelay": "10s"`)
	w.Apply(t, manifest)
	first := w.untilPolicy(t, "the policy is in force", "deleted", inForce)
	w.Apply(t, policy("deleted-short", "deleted", `"keep": "20d", "changeDelay": "1s"`))
	w.Kubectl(t, "delete", "rp", "deleted", "--wait=false")
	p := w.untilPolicy(t, "the policy says that it still protects", "deleted", func(p *v1alpha1.RetentionPolicy) error {
		return wantCondition(p.Status.Conditions, v1alpha1.ConditionReconciling, "True "+v1alpha1.ReasonDeletionPending)
	})
	wantKstatus(t, p, kindPolicy, status.TerminatingStatus)
	w.refused(t, "only the controller removes the finalizer", "patch", "rp", "deleted", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	// A GitOps tool applies what Git says, again and again.
	w.Apply(t, manifest)
	w.untilGone(t, &v1alpha1.RetentionPolicy{}, "deleted")
	gone := time.Now()
	if protected := gone.Sub(p.DeletionTimestamp.Time); protected < 9*time.Second {
		t.Errorf("it protected for %s", protected)
	}
	w.untilLeft(t, "deleted", "recent") // nothing protects any more
	w.Apply(t, manifest)
	again := w.untilPolicy(t, "it is a new one", "deleted", func(p *v1alpha1.RetentionPolicy) error {
		return wantCondition(p.Status.Conditions, v1alpha1.ConditionReady, "True "+v1alpha1.ReasonChangePending)
	})
	if again.UID == first.UID {
		t.Error("it is the same object")
	}
	w.Kubectl(t, "delete", "rp", "deleted", "deleted-short", "--timeout=60s")
}

// testSenseless: a policy that contradicts itself is stalled, and keeps what it matches.
func testSenseless(t *testing.T, w *world) {
	w.fill(t, "senseless")
	w.Apply(t, policy("senseless", "senseless", `"keep": "20d", "minKeep": "30d", "changeDelay": "1s"`))
	p := w.untilPolicy(t, "it is stalled", "senseless", func(p *v1alpha1.RetentionPolicy) error {
		return wantCondition(p.Status.Conditions, v1alpha1.ConditionStalled, "True "+v1alpha1.ReasonContradiction)
	})
	wantKstatus(t, p, kindPolicy, status.FailedStatus)
	w.Apply(t, policy("senseless-short", "senseless", `"keep": "20d", "changeDelay": "1s"`))
	w.untilPolicy(t, "the other policy has run", "senseless-short", func(p *v1alpha1.RetentionPolicy) error {
		if p.Status.LastRun == nil || p.Status.LastRun.StartTime.Time.Before(p.CreationTimestamp.Add(3*time.Second)) {
			return fmt.Errorf("the last run is %+v", p.Status.LastRun)
		}
		return nil
	})
	if got := w.left(t, "senseless"); got != all {
		t.Errorf("%q are left", got)
	}
	w.Kubectl(t, "delete", "rp", "senseless", "senseless-short", "--timeout=60s")
}

// testLocked: a locked policy stays.
func testLocked(t *testing.T, w *world) {
	w.Apply(t, policy("locked", "locked", `"keep": "7y", "locked": true, "changeDelay": "1s"`))
	p := w.untilPolicy(t, "it is seen", "locked", func(p *v1alpha1.RetentionPolicy) error {
		return wantCondition(p.Status.Conditions, v1alpha1.ConditionMatched, "False "+v1alpha1.ReasonNoRecords)
	})
	wantKstatus(t, p, kindPolicy, status.CurrentStatus)
	w.refused(t, "can't be deleted", "delete", "rp", "locked")
	w.refused(t, "can't go from 7y to 6y", "patch", "rp", "locked", "--type=merge", "-p", `{"spec":{"keep":"6y"}}`)
	w.refused(t, "stays so", "patch", "rp", "locked", "--type=merge", "-p", `{"spec":{"locked":false}}`)
	w.Kubectl(t, "patch", "rp", "locked", "--type=merge", "-p", `{"spec":{"keep":"8y"}}`)
}
