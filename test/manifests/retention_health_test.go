package manifests_test

import (
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/api/v1alpha1"
)

// TestGitOpsToolsWaitForNothing: deploying a policy must not wait for records, nor
// for a change to settle, and must fail when only the writer can help.
func TestGitOpsToolsWaitForNothing(t *testing.T) {
	policy := func(conditions ...metav1.Condition) *v1alpha1.RetentionPolicy {
		p := &v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 2}}
		p.Status.ObservedGeneration, p.Status.Conditions = 2, conditions
		return p
	}
	hold := func(conditions ...metav1.Condition) *v1alpha1.LegalHold {
		h := &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "h", Generation: 2}}
		h.Status.ObservedGeneration, h.Status.Conditions = 2, conditions
		return h
	}
	is := func(kind string, value metav1.ConditionStatus, reason string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: value, Reason: reason, Message: "m", ObservedGeneration: 2}
	}
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	inForce := is(v1alpha1.ConditionReady, yes, v1alpha1.ReasonInForce)
	fresh := hold()
	fresh.Status.ObservedGeneration = -1
	deleted := policy(inForce)
	deleted.DeletionTimestamp = ptr.To(metav1.NewTime(time.Date(2026, 11, 24, 15, 30, 0, 0, time.UTC)))
	for name, tc := range map[string]struct {
		object client.Object
		want   status.Status
	}{
		"a policy without a record": {
			object: policy(inForce, is(v1alpha1.ConditionMatched, no, v1alpha1.ReasonNoRecords),
				is(v1alpha1.ConditionConflict, no, v1alpha1.ReasonNoConflict), is(v1alpha1.ConditionHoldMissing, no, v1alpha1.ReasonHoldsPresent)),
			want: status.CurrentStatus,
		},
		"a policy whose change has not settled": {
			object: policy(is(v1alpha1.ConditionReady, yes, v1alpha1.ReasonChangePending)), want: status.CurrentStatus,
		},
		"a policy in conflict with another": {
			object: policy(inForce, is(v1alpha1.ConditionConflict, yes, v1alpha1.ReasonMaxKeepBelowFloor)), want: status.CurrentStatus,
		},
		"a policy that contradicts itself": {
			object: policy(is(v1alpha1.ConditionReady, no, v1alpha1.ReasonContradiction), is(v1alpha1.ConditionStalled, yes, v1alpha1.ReasonContradiction)),
			want:   status.FailedStatus,
		},
		"a policy while a hold is missing": {
			object: policy(is(v1alpha1.ConditionReady, no, v1alpha1.ReasonHoldsMissing), is(v1alpha1.ConditionHoldMissing, yes, v1alpha1.ReasonHoldsMissing)),
			want:   status.InProgressStatus,
		},
		"a policy that was deleted":   {object: deleted, want: status.TerminatingStatus},
		"a hold that nobody has seen": {object: fresh, want: status.InProgressStatus},
		"a hold that is not sure to hold yet": {
			object: hold(is(v1alpha1.ConditionReady, no, v1alpha1.ReasonHoldPending), is(v1alpha1.ConditionReconciling, yes, v1alpha1.ReasonHoldPending),
				is(v1alpha1.ConditionActive, no, v1alpha1.ReasonHoldPending)),
			want: status.InProgressStatus,
		},
		"a hold that holds": {
			object: hold(is(v1alpha1.ConditionReady, yes, v1alpha1.ReasonHoldActive), is(v1alpha1.ConditionActive, yes, v1alpha1.ReasonHoldActive)),
			want:   status.CurrentStatus,
		},
	} {
		t.Run(name, func(t *testing.T) {
			encoded, err := runtime.DefaultUnstructuredConverter.ToUnstructured(tc.object)
			if err != nil {
				t.Fatal(err)
			}
			got, err := status.Compute(&unstructured.Unstructured{Object: encoded})
			if err != nil {
				t.Fatal(err)
			}
			if got.Status != tc.want {
				t.Errorf("kstatus says %s (%s), want %s", got.Status, got.Message, tc.want)
			}
		})
	}
}
