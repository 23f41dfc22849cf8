package retention

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/api/v1alpha1"
)

// The actions of events: what the controller was doing.
const (
	actionJudge = "JudgeRetention"
	actionErase = "EraseRecords"
)

// The reasons of events about runs.
const (
	reasonErased    = "RecordsErased"
	reasonRunFailed = "RunFailed"
)

// announce tells of changes of conditions in events. What goes on as it was is silent.
func (r *reconciler) announce(obj client.Object, was, is []metav1.Condition) {
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionConflict, v1alpha1.ConditionHoldMissing} {
		before, now := meta.FindStatusCondition(was, kind), meta.FindStatusCondition(is, kind)
		if now == nil || before != nil && before.Status == now.Status && before.Reason == now.Reason {
			continue
		}
		good := now.Status == metav1.ConditionTrue
		if kind != v1alpha1.ConditionReady {
			if !good {
				continue
			}
			good = false
		}
		r.recorder.Eventf(obj, nil, eventType(good || expected(now.Reason)), now.Reason, actionJudge, "%s", now.Message)
	}
}

// expected tells of reasons for Ready not to be True that are in order.
func expected(reason string) bool {
	return reason == v1alpha1.ReasonHoldPending || reason == v1alpha1.ReasonDeletionPending || reason == v1alpha1.ReasonProgressing
}

// announceRun tells of a run that erased something or failed.
func (r *reconciler) announceRun(v *policyView, before *v1alpha1.RetentionRun) {
	run := v.obj.Status.LastRun
	if v.last == nil || run == nil || before != nil && before.StartTime.Equal(&run.StartTime) {
		return
	}
	switch {
	case len(run.Errors) > 0:
		r.recorder.Eventf(v.obj, nil, corev1.EventTypeWarning, reasonRunFailed, actionErase, "%s", shorten(run.Errors[0]))
	case run.Records > 0:
		r.recorder.Eventf(v.obj, nil, corev1.EventTypeNormal, reasonErased, actionErase, "%s", fmt.Sprintf("%d records were erased.", run.Records))
	}
}

func eventType(good bool) string {
	if good {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}
