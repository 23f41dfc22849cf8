package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/test/e2e/retention/trail"
	"auditquery.dev/auditquery/test/repository"
)

// testRemoved is about the worst that a GitOps tool does that prunes too much: with a
// CRD go its objects.
func testRemoved(t *testing.T, w *world) {
	w.fill(t, "stripped")
	w.Apply(t, strippedHold())
	w.untilHold(t, "the hold is honoured", "stripped", func(h *v1alpha1.LegalHold) error {
		if h.Status.Phase == "" {
			return errors.New("it has no phase")
		}
		return nil
	})
	w.Apply(t, policy("stripped", "stripped", `"keep": "500d", "changeDelay": "1s"`))
	w.untilPolicy(t, "the policy has run", "stripped", hasRun)

	for _, step := range []struct {
		what string
		test func(*testing.T, *world)
	}{
		{"the CRD of holds goes, and the holds stay until they are released", holdsRemoved},
		{"somebody forces them away, and all erasing stops", holdsForced},
		{"all is installed again, and the hold decides again", holdsBack},
		{"the CRD of policies goes, and nothing is erased any more", policiesRemoved},
	} {
		if !t.Run(step.what, func(t *testing.T) { step.test(t, w) }) {
			return // what follows builds on it
		}
	}
}

func strippedHold() string {
	return hold("stripped", "stripped", `"targetIDs": ["old"], "releaseDelay": "1h"`)
}

func holdsRemoved(t *testing.T, w *world) {
	w.Kubectl(t, "delete", "crd", "legalholds.auditquery.dev", "--wait=false")
	w.untilHold(t, "the hold is being released", "stripped", func(h *v1alpha1.LegalHold) error {
		if h.Status.Phase != v1alpha1.HoldReleasing {
			return fmt.Errorf("status is %+v", h.Status)
		}
		return nil
	})
	w.wantStill(t, "stripped")
}

func holdsForced(t *testing.T, w *world) {
	w.Kubectl(t, "delete", "validatingadmissionpolicybinding", "released.retention.auditquery.dev")
	until(t, "the finalizer can be removed", func(ctx context.Context) error {
		_, _, err := w.ControlPlane().Kubectl(ctx, "patch", "lh", "stripped", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
		return err
	})
	until(t, "the CRD is gone", func(ctx context.Context) error {
		_, _, err := w.ControlPlane().Kubectl(ctx, "get", "crd", "legalholds.auditquery.dev")
		if err == nil {
			return errors.New("it is there")
		}
		return nil
	})
	p := w.untilPolicy(t, "the policy says that a hold is missing", "stripped", func(p *v1alpha1.RetentionPolicy) error {
		return wantCondition(p.Status.Conditions, v1alpha1.ConditionHoldMissing, "True "+v1alpha1.ReasonHoldsMissing)
	})
	wantKstatus(t, p, kindPolicy, status.InProgressStatus)
	w.fill(t, "stripped-too")
	w.Apply(t, policy("stripped-too", "stripped-too", `"keep": "500d", "changeDelay": "1s"`))
	w.wantStill(t, "stripped-too")
	w.wantStill(t, "stripped")
}

func holdsBack(t *testing.T, w *world) {
	w.installAgain(t)
	w.wantStill(t, "stripped-too") // there is no hold yet
	w.Apply(t, strippedHold())
	w.untilLeft(t, "stripped-too", "middle recent")
	w.untilPolicy(t, "nothing is missing", "stripped", func(p *v1alpha1.RetentionPolicy) error {
		return wantCondition(p.Status.Conditions, v1alpha1.ConditionHoldMissing, "False "+v1alpha1.ReasonHoldsPresent)
	})
	w.wantStill(t, "stripped")
}

func policiesRemoved(t *testing.T, w *world) {
	w.Kubectl(t, "delete", "crd", "retentionpolicies.auditquery.dev", "--timeout=120s")
	w.fill(t, "stripped-three")
	w.wantStill(t, "stripped-three")
	w.wantStill(t, "stripped")
	w.installAgain(t)
	w.Apply(t, policy("stripped-three", "stripped-three", `"keep": "500d", "changeDelay": "1s"`))
	w.untilLeft(t, "stripped-three", "middle recent")
}

func hasRun(p *v1alpha1.RetentionPolicy) error {
	if p.Status.LastRun == nil || p.Status.LastRun.Errors != nil {
		return fmt.Errorf("the last run is %+v", p.Status.LastRun)
	}
	return nil
}

// wantStill lets some runs' time pass, in which nothing of an organisation may go.
func (w *world) wantStill(t *testing.T, org string) {
	t.Helper()
	const while, interval = 6 * time.Second, 200 * time.Millisecond
	for end := time.Now().Add(while); time.Now().Before(end); trail.LetPass(t.Context(), interval) {
		if got := w.left(t, org); got != all {
			t.Fatalf("%s has %q, want %q", org, got, all)
		}
	}
}

// installAgain applies what was deleted, as a GitOps tool does.
func (w *world) installAgain(t *testing.T) {
	t.Helper()
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	w.Kubectl(t, "apply", "--server-side", "-k", filepath.Join(root, "config", "crd"))
	w.Kubectl(t, "apply", "--server-side", "-k", filepath.Join(root, "config", "admission"))
	w.Kubectl(t, "wait", "--for=condition=Established", "--timeout=60s", "crd", "legalholds.auditquery.dev", "retentionpolicies.auditquery.dev")
}
