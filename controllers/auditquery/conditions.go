package auditquery

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/v1alpha1"
)

// Messages hold nothing that differs from one run to the next, such as a number
// of records: a condition that changes at every run would be written at every run.
const (
	messageSucceeded  = "Status holds the answer of the last run."
	messageTruncated  = " Records are left out that spec.limit would let in: status would be too large."
	messageNoContinue = " There are more records, but no continue token: the filter is larger than 4 KiB. " +
		"Narrow the time window instead."
	messageSuspended   = "The query is suspended, and its current spec has not run."
	messageProgressing = "The current spec has not run yet."
	messageBudget      = "The run is held back: the controller has written as many status bytes as it may for now. " +
		"Longer intervals and lower limits help."
	messageMatched   = "At least one record matched."
	messageNoRecords = "No record matched."
)

// setConditions sets every condition. Each is computed by a function of its own
// from what the pass came to.
func (s *scope) setConditions(status *v1alpha1.AuditQueryStatus) {
	s.setReady(status)
	s.setReconciling(status)
	s.setStalled(status)
	s.setMatched(status)
}

func (s *scope) setReady(status *v1alpha1.AuditQueryStatus) {
	switch s.outcome() {
	case answered:
		message := messageSucceeded
		if s.found.truncated {
			message += messageTruncated
		}
		if s.found.noContinue {
			message += messageNoContinue
		}
		s.set(status, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, message)
	case refused:
		s.set(status, v1alpha1.ConditionReady, metav1.ConditionFalse, s.failure.reason, s.failure.message)
	case failed:
		s.set(status, v1alpha1.ConditionReady, metav1.ConditionUnknown, s.failure.reason, s.failure.message)
	case heldBack:
		if !s.handled() {
			s.set(status, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonProgressing, messageProgressing)
		}
	case suspended:
		s.setReadySuspended(status)
	case unchanged:
	}
}

// setReadySuspended leaves Ready as it is when what status says still belongs to
// the spec.
func (s *scope) setReadySuspended(status *v1alpha1.AuditQueryStatus) {
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	switch {
	case s.handled():
	case s.sameQuestion() && ready != nil && ready.Status != metav1.ConditionUnknown:
		s.set(status, v1alpha1.ConditionReady, ready.Status, ready.Reason, ready.Message)
	default:
		s.set(status, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonSuspended, messageSuspended)
	}
}

func (s *scope) setReconciling(status *v1alpha1.AuditQueryStatus) {
	switch s.outcome() {
	case failed:
		s.set(status, v1alpha1.ConditionReconciling, metav1.ConditionTrue, s.failure.reason, s.failure.message)
	case heldBack:
		s.set(status, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonStatusBudget, messageBudget)
	case answered, refused, suspended:
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionReconciling)
	case unchanged:
	}
}

func (s *scope) setStalled(status *v1alpha1.AuditQueryStatus) {
	switch s.outcome() {
	case refused:
		s.set(status, v1alpha1.ConditionStalled, metav1.ConditionTrue, s.failure.reason, s.failure.message)
	case suspended:
		if !s.handled() && !s.sameQuestion() {
			meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionStalled)
		}
	case answered, failed, heldBack:
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionStalled)
	case unchanged:
	}
}

// setMatched is about the last finished run, so nothing but a finished run
// changes it.
func (s *scope) setMatched(status *v1alpha1.AuditQueryStatus) {
	switch {
	case s.outcome() != answered:
	case s.found.count.Records > 0:
		s.set(status, v1alpha1.ConditionMatched, metav1.ConditionTrue, v1alpha1.ReasonRecordsMatched, messageMatched)
	default:
		s.set(status, v1alpha1.ConditionMatched, metav1.ConditionFalse, v1alpha1.ReasonNoRecords, messageNoRecords)
	}
}
