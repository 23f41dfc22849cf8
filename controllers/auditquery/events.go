package auditquery

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"auditquery.dev/auditquery/api/v1alpha1"
)

// actionRun is the action of every event: what the controller was doing.
const actionRun = "RunQuery"

// announce tells of a change of Ready in an event. A query that goes on succeeding
// or failing as before is silent.
func (r *reconciler) announce(ctx context.Context, s *scope, next *v1alpha1.AuditQueryStatus) {
	kind, reason, note := event(&s.base, next)
	if kind != "" {
		log.FromContext(ctx).Info("ready has changed", "reason", reason, "message", note)
		r.recorder.Eventf(s.obj, nil, kind, reason, actionRun, "%s", note)
	}
}

// event is what a change of status is told as; an empty kind when it is not.
func event(base, next *v1alpha1.AuditQueryStatus) (kind, reason, note string) {
	was := meta.FindStatusCondition(base.Conditions, v1alpha1.ConditionReady)
	is := meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionReady)
	switch {
	case is == nil, was != nil && was.Status == is.Status && was.Reason == is.Reason:
		return "", "", ""
	case is.Status == metav1.ConditionTrue && next.Matched != nil:
		return corev1.EventTypeNormal, is.Reason, "The query ran. Records that matched: " + next.Matched.Text + "."
	case is.Status == metav1.ConditionTrue, is.Reason == v1alpha1.ReasonSuspended, is.Reason == v1alpha1.ReasonProgressing:
		return corev1.EventTypeNormal, is.Reason, is.Message
	default:
		return corev1.EventTypeWarning, is.Reason, is.Message
	}
}
