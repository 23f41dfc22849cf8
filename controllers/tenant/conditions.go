package tenant

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/tenancy"
)

const (
	// namedConflicts is how many conflicts a message names.
	namedConflicts = 5
	// maxNamedBytes is how much of an org id a message shows.
	maxNamedBytes = 64
)

// compose is the status that follows from a verdict on the current spec.
func compose(obj *v1alpha1.AuditTenant, verdict tenancy.Verdict, now time.Time) v1alpha1.AuditTenantStatus {
	status := v1alpha1.AuditTenantStatus{
		ObservedGeneration: obj.Generation,
		Conditions:         obj.Status.DeepCopy().Conditions,
		Claimed:            ptr.To(int32(verdict.Claimed)),
		Conflicting:        ptr.To(int32(verdict.Conflicting)),
	}
	for _, c := range verdict.Conflicts[:min(len(verdict.Conflicts), v1alpha1.MaxTenantConflicts)] {
		status.Conflicts = append(status.Conflicts, v1alpha1.TenantConflict(c))
	}
	c := composer{status: &status, obj: obj, now: now}
	switch {
	case !verdict.NamespaceExists:
		c.namespaceMissing()
	case verdict.Conflicting > 0:
		c.conflict(verdict)
	default:
		c.claimed(verdict)
	}
	return status
}

// composer sets conditions. Each outcome says what becomes of all four.
type composer struct {
	status *v1alpha1.AuditTenantStatus
	obj    *v1alpha1.AuditTenant
	now    time.Time
}

func (c composer) claimed(verdict tenancy.Verdict) {
	message := fmt.Sprintf("Namespace %s sees the records of %s.", c.obj.Spec.Namespace, orgIDs(verdict.Claimed))
	c.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonClaimed, message)
	c.set(v1alpha1.ConditionConflict, metav1.ConditionFalse, v1alpha1.ReasonNoConflict, "No org id belongs to another namespace.")
	c.remove(v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled)
}

func (c composer) conflict(verdict tenancy.Verdict) {
	message := conflictMessage(verdict)
	c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonOrgIDsTaken, message)
	c.set(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonOrgIDsTaken, message)
	c.set(v1alpha1.ConditionConflict, metav1.ConditionTrue, v1alpha1.ReasonOrgIDsTaken, message)
	c.remove(v1alpha1.ConditionReconciling)
}

func (c composer) namespaceMissing() {
	message := fmt.Sprintf("Namespace %s does not exist, so nothing is claimed until it does.", c.obj.Spec.Namespace)
	c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNamespaceNotFound, message)
	c.set(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonNamespaceNotFound, message)
	c.remove(v1alpha1.ConditionStalled, v1alpha1.ConditionConflict)
}

func (c composer) set(kind string, value metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&c.status.Conditions, metav1.Condition{
		Type: kind, Status: value, Reason: reason, Message: message,
		ObservedGeneration: c.obj.Generation, LastTransitionTime: metav1.NewTime(c.now.UTC().Truncate(time.Second)),
	})
}

func (c composer) remove(kinds ...string) {
	for _, kind := range kinds {
		meta.RemoveStatusCondition(&c.status.Conditions, kind)
	}
}

func conflictMessage(verdict tenancy.Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %s belong to another namespace, since an earlier AuditTenant binds them: ",
		verdict.Conflicting, orgIDs(verdict.Claimed+verdict.Conflicting))
	named := verdict.Conflicts[:min(len(verdict.Conflicts), namedConflicts)]
	for i, c := range named {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s to %s (AuditTenant %s)", strconv.Quote(shorten(c.OrgID)), c.Namespace, c.Tenant)
	}
	if more := verdict.Conflicting - len(named); more > 0 {
		fmt.Fprintf(&b, ", and %d more", more)
	}
	b.WriteString(". Remove them here or there.")
	return b.String()
}

// orgIDs is a number of org ids in words.
func orgIDs(n int) string {
	if n == 1 {
		return "1 org id"
	}
	return fmt.Sprintf("%d org ids", n)
}

// shorten cuts an org id to maxNamedBytes on a rune boundary.
func shorten(text string) string {
	if len(text) <= maxNamedBytes {
		return text
	}
	end := maxNamedBytes
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
