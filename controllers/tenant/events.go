package tenant

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/v1alpha1"
)

// actionClaim is the action of every event: what the controller was doing.
const actionClaim = "ClaimOrgIDs"

// announce tells of a change of Ready in an event. Messages change only when what
// they tell of does.
func (r *reconciler) announce(obj *v1alpha1.AuditTenant, next *v1alpha1.AuditTenantStatus) {
	was := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionReady)
	is := meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionReady)
	if is == nil || (was != nil && was.Status == is.Status && was.Reason == is.Reason && was.Message == is.Message) {
		return
	}
	kind := corev1.EventTypeWarning
	if is.Status == metav1.ConditionTrue {
		kind = corev1.EventTypeNormal
	}
	r.recorder.Eventf(obj, nil, kind, is.Reason, actionClaim, "%s", is.Message)
}
