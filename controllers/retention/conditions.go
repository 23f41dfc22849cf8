package retention

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/retention"
)

// maxNamed is how many objects a message names.
const maxNamed = 5

const unclaimedMessage = "The controller could not put its finalizer on the object yet. Its log says more."

// composer sets the conditions of one object. Each outcome says what becomes of
// Ready, Reconciling and Stalled.
type composer struct {
	conditions *[]metav1.Condition
	generation int64
	now        time.Time
}

func (c composer) set(kind string, value metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(c.conditions, metav1.Condition{
		Type: kind, Status: value, Reason: reason, Message: shorten(message),
		ObservedGeneration: c.generation, LastTransitionTime: seconds(c.now),
	})
}

func (c composer) remove(kinds ...string) {
	for _, kind := range kinds {
		meta.RemoveStatusCondition(c.conditions, kind)
	}
}

// ready is for an object that is as it should be, or will be by itself.
func (c composer) ready(reason, message string) {
	c.set(v1alpha1.ConditionReady, metav1.ConditionTrue, reason, message)
	c.remove(v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled)
}

// stalled is for a spec that only its writer can mend.
func (c composer) stalled(p *problem) {
	c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, p.reason, p.message)
	c.set(v1alpha1.ConditionStalled, metav1.ConditionTrue, p.reason, p.message)
	c.remove(v1alpha1.ConditionReconciling)
}

// reconciling is for what goes on; ready says how much of it is there.
func (c composer) reconciling(ready metav1.ConditionStatus, reason, message string) {
	c.set(v1alpha1.ConditionReady, ready, reason, message)
	c.set(v1alpha1.ConditionReconciling, metav1.ConditionTrue, reason, message)
	c.remove(v1alpha1.ConditionStalled)
}

// policyConditions are those that follow from a pass.
func (c composer) policyConditions(v *policyView, p *pass) {
	if p.seen != nil && v.state != nil {
		c.conflict(v.state.Conflicts)
		c.holdMissing(p.seen.memory.MissingHolds(), p.seen.noHolds)
	}
	if p.planned != nil && v.read.problem == nil {
		c.matched(p.planned.matched[v.obj.Name])
	}
	switch {
	case v.read.problem != nil:
		c.stalled(v.read.problem)
	case p.failure != nil:
		c.reconciling(p.failure.ready, p.failure.reason, p.failure.message)
	case v.unclaimed:
		c.reconciling(metav1.ConditionUnknown, v1alpha1.ReasonProgressing, unclaimedMessage)
	case v.state == nil:
		c.reconciling(metav1.ConditionUnknown, v1alpha1.ReasonProgressing, "The policy was not looked at yet.")
	case v.state.Gone:
		c.reconciling(metav1.ConditionFalse, v1alpha1.ReasonDeletionPending, "The policy was deleted, and keeps nothing any more.")
	case v.state.Deleting:
		c.reconciling(metav1.ConditionFalse, v1alpha1.ReasonDeletionPending, fmt.Sprintf(
			"The policy was deleted. Until %s nothing is erased that it kept.", clockText(v.state.SettledAt)))
	case meta.IsStatusConditionTrue(*c.conditions, v1alpha1.ConditionHoldMissing):
		missing := meta.FindStatusCondition(*c.conditions, v1alpha1.ConditionHoldMissing)
		c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, missing.Reason, missing.Message)
		c.remove(v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled)
	default:
		c.inForce(v, p)
	}
}

func (c composer) inForce(v *policyView, p *pass) {
	rule, reason := v.state.Rule, v1alpha1.ReasonInForce
	message := fmt.Sprintf("Records are erased when they are as old as %s.", rule.Keep)
	if rule.Mode != retention.Enforce {
		message = fmt.Sprintf("Nothing is erased by this policy; status shows what would be at an age of %s.", rule.Keep)
	}
	if !v.state.Settled {
		reason = v1alpha1.ReasonChangePending
		message += fmt.Sprintf(" Until %s nothing is erased that was kept before the last change.", clockText(v.state.SettledAt))
	}
	if p.planned != nil && len(p.planned.blocked) > 0 {
		message += " Nothing is erased for now: " + strings.Join(p.planned.blocked, " ")
	}
	c.ready(reason, message)
}

func (c composer) conflict(with []string) {
	if len(with) == 0 {
		c.set(v1alpha1.ConditionConflict, metav1.ConditionFalse, v1alpha1.ReasonNoConflict, "No maxKeep is below a floor.")
		return
	}
	c.set(v1alpha1.ConditionConflict, metav1.ConditionTrue, v1alpha1.ReasonMaxKeepBelowFloor,
		"A maxKeep is below a minKeep that is for the same records, which are erased at the minKeep. The other policies: "+names(with)+".")
}

func (c composer) holdMissing(missing []string, notServed bool) {
	switch {
	case len(missing) > 0:
		c.set(v1alpha1.ConditionHoldMissing, metav1.ConditionTrue, v1alpha1.ReasonHoldsMissing,
			"Nothing is erased, since legal holds are gone that nobody released: "+names(missing)+
				". Create them again; then delete those that are not needed.")
	case notServed:
		c.set(v1alpha1.ConditionHoldMissing, metav1.ConditionTrue, v1alpha1.ReasonHoldsMissing,
			"Nothing is erased, since the kind LegalHold is not installed.")
	default:
		c.set(v1alpha1.ConditionHoldMissing, metav1.ConditionFalse, v1alpha1.ReasonHoldsPresent, "No legal hold is missing.")
	}
}

func (c composer) matched(matched bool) {
	if matched {
		c.set(v1alpha1.ConditionMatched, metav1.ConditionTrue, v1alpha1.ReasonRecordsMatched, "Records are stored that the policy is for.")
		return
	}
	c.set(v1alpha1.ConditionMatched, metav1.ConditionFalse, v1alpha1.ReasonNoRecords, "No record is stored that the policy is for.")
}

// holdConditions are those that follow from a pass.
func (c composer) holdConditions(v *holdView, p *pass) {
	if p.failure != nil && v.state == nil {
		c.holdUnknown(v, *p.failure)
		return
	}
	if v.unclaimed {
		c.holdUnknown(v, failure{metav1.ConditionUnknown, v1alpha1.ReasonProgressing, unclaimedMessage})
		return
	}
	if v.state == nil {
		c.holdUnknown(v, failure{metav1.ConditionUnknown, v1alpha1.ReasonProgressing, "The hold was not looked at yet."})
		return
	}
	deleting := !v.obj.DeletionTimestamp.IsZero()
	switch {
	case v.state.Phase == retention.Pending:
		message := fmt.Sprintf("The hold is honoured. It is active at %s, when every batch has ended that began before.", clockText(v.state.ActiveAt))
		c.set(v1alpha1.ConditionActive, metav1.ConditionFalse, v1alpha1.ReasonHoldPending, message)
		c.reconciling(metav1.ConditionFalse, v1alpha1.ReasonHoldPending, message)
	case deleting && v.read.hold.Keep:
		message := "The hold was deleted, and holds for as long as it has the annotation " + v1alpha1.KeepAnnotation + "."
		c.active(v1alpha1.ReasonHoldKept, message)
		c.ready(v1alpha1.ReasonHoldKept, message)
	case deleting:
		message := fmt.Sprintf("The hold was deleted, and holds until %s. The annotation %s=%s keeps it.",
			clockText(v.state.ReleaseAt), v1alpha1.KeepAnnotation, keepValue)
		c.active(v1alpha1.ReasonHoldReleasing, message)
		c.reconciling(metav1.ConditionTrue, v1alpha1.ReasonHoldReleasing, message)
	default:
		message := "Nothing that the hold is about is erased."
		c.active(v1alpha1.ReasonHoldActive, message)
		c.ready(v1alpha1.ReasonHoldActive, message)
	}
	if v.read.problem != nil {
		c.stalled(v.read.problem)
	}
}

func (c composer) active(reason, message string) {
	c.set(v1alpha1.ConditionActive, metav1.ConditionTrue, reason, message)
}

// holdUnknown leaves Active as it is: what holds goes on holding.
func (c composer) holdUnknown(v *holdView, why failure) {
	if v.read.problem != nil {
		c.stalled(v.read.problem)
		return
	}
	c.reconciling(why.ready, why.reason, why.message)
}

// names lists a few of them.
func names(all []string) string {
	if more := len(all) - maxNamed; more > 0 {
		return strings.Join(all[:maxNamed], ", ") + fmt.Sprintf(", and %d more", more)
	}
	return strings.Join(all, ", ")
}

func clockText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
