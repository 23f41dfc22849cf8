package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"auditquery.dev/auditquery/api/v1alpha1"
)

// testHold: a hold is pending, then active, and released by its delay.
func testHold(t *testing.T, w *world) {
	w.fill(t, "held")
	w.Apply(t, hold("held", "held", `"targetIDs": ["old"], "releaseDelay": "12s"`))
	h := w.untilHold(t, "the hold is honoured", "held", func(h *v1alpha1.LegalHold) error {
		if h.Status.Phase != v1alpha1.HoldPending {
			return fmt.Errorf("the phase is %q", h.Status.Phase)
		}
		return nil
	})
	wantKstatus(t, h, kindHold, status.InProgressStatus)
	w.Apply(t, policy("held", "held", `"keep": "300d", "changeDelay": "1s"`))
	w.untilLeft(t, "held", "old recent")
	h = w.untilHold(t, "the hold is active", "held", func(h *v1alpha1.LegalHold) error {
		return wantCondition(h.Status.Conditions, v1alpha1.ConditionActive, "True "+v1alpha1.ReasonHoldActive)
	})
	wantKstatus(t, h, kindHold, status.CurrentStatus)
	if active := h.Status.ActiveTime.Sub(h.CreationTimestamp.Time); active < 30*time.Second {
		t.Errorf("it was active after %s", active)
	}
	w.untilPolicy(t, "the plan says what the hold keeps", "held", func(p *v1alpha1.RetentionPolicy) error {
		if p.Status.Plan == nil || p.Status.Plan.HeldRecords != 1 || len(p.Status.Plan.Holds) != 1 || p.Status.Plan.Holds[0].Name != "held" {
			return fmt.Errorf("the plan is %+v", p.Status.Plan)
		}
		return nil
	})
	w.wantTables(t)

	w.Kubectl(t, "delete", "lh", "held", "--wait=false")
	h = w.untilHold(t, "the hold is being released", "held", func(h *v1alpha1.LegalHold) error {
		if h.Status.Phase != v1alpha1.HoldReleasing || h.Status.ReleaseTime == nil {
			return fmt.Errorf("status is %+v", h.Status)
		}
		return wantCondition(h.Status.Conditions, v1alpha1.ConditionActive, "True "+v1alpha1.ReasonHoldReleasing)
	})
	wantKstatus(t, h, kindHold, status.TerminatingStatus)
	w.refused(t, "only the controller removes the finalizer", "patch", "lh", "held", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	w.refused(t, "its spec can't change any more", "patch", "lh", "held", "--type=merge", "-p", `{"spec":{"targetIDs":["recent"]}}`)
	w.Kubectl(t, "annotate", "lh", "held", v1alpha1.KeepAnnotation+"=true")
	w.untilHold(t, "it is kept", "held", func(h *v1alpha1.LegalHold) error {
		return wantCondition(h.Status.Conditions, v1alpha1.ConditionActive, "True "+v1alpha1.ReasonHoldKept)
	})
	w.Kubectl(t, "annotate", "lh", "held", v1alpha1.KeepAnnotation+"-")
	freed := time.Now()
	w.untilGone(t, &v1alpha1.LegalHold{}, "held")
	if after := time.Since(freed); after < 11*time.Second {
		t.Errorf("it was released %s after nobody kept it any more", after)
	}
	w.untilLeft(t, "held", "recent")
	w.Kubectl(t, "delete", "rp", "held", "--timeout=60s")
}

// wantTables looks at what people see. With both kinds in one table names are longer
// by their kinds.
func (w *world) wantTables(t *testing.T) {
	t.Helper()
	const width = 80
	for _, kind := range []string{"rp", "lh"} {
		for line := range strings.Lines(w.Kubectl(t, "get", kind)) {
			if line = strings.TrimRight(line, " \n"); len(line) > width {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
	}
	t.Logf("kubectl get rp,lh:\n%s", w.Kubectl(t, "get", "rp,lh"))
}
