package v1alpha1

// The condition types of AuditQuery and ClusterAuditQuery. Ready,
// Reconciling and Stalled follow kstatus: Ready is the summary; the other two
// are present and True only while they apply. Matched is about the answer,
// not about the object's health.
const (
	// ConditionReady is True while status holds the answer to the current
	// spec, False when the spec cannot be run, and Unknown while it is not
	// known whether what status holds is still the answer.
	ConditionReady = "Ready"

	// ConditionReconciling is True while the controller still has work to do
	// for this generation: a first run, a retry, or a run that is held back.
	ConditionReconciling = "Reconciling"

	// ConditionStalled is True when only a change of the spec can help.
	ConditionStalled = "Stalled"

	// ConditionMatched is True when at least one record matched in the last
	// finished run, and False when none did. It is absent before the first
	// run has finished. `kubectl wait --for=condition=Matched` gates on it.
	ConditionMatched = "Matched"
)

// Reasons of Ready=True.
const (
	// ReasonSucceeded: the last run finished and status holds its answer.
	ReasonSucceeded = "Succeeded"
)

// Reasons of Ready=False together with Stalled=True. The message names the
// field of the spec and says what to change.
const (
	// ReasonInvalidTime: spec.from or spec.to is not a time expression, or
	// from is not before to.
	ReasonInvalidTime = "InvalidTime"

	// ReasonInvalidFilter: a filter passed the API server but cannot be run,
	// such as a sourceIP that is neither an address nor a CIDR block.
	ReasonInvalidFilter = "InvalidFilter"
)

// Reasons of Ready=Unknown. Results of an earlier run stay in status and
// keep their lastRunTime.
const (
	// ReasonStoreUnavailable: the store of the records could not be reached
	// or refused the query for now; the run is tried again.
	ReasonStoreUnavailable = "StoreUnavailable"

	// ReasonStoreTimeout: the store did not answer in time; the run is tried
	// again. A narrower window helps.
	ReasonStoreTimeout = "StoreTimeout"

	// ReasonQueryFailed: the store answered with an error of another kind;
	// the run is tried again.
	ReasonQueryFailed = "QueryFailed"

	// ReasonScopeUnknown: it is not known yet which records the namespace may
	// see, so nothing is run.
	ReasonScopeUnknown = "ScopeUnknown"

	// ReasonAdmissionPolicyMissing: the admission policy that makes the
	// writer of a spec prove that they may list its records is not in force,
	// so nothing is run.
	ReasonAdmissionPolicyMissing = "AdmissionPolicyMissing"

	// ReasonSuspended: spec.suspend is set and the current spec has not run.
	// Suspending a spec that has run leaves Ready as it is.
	ReasonSuspended = "Suspended"
)

// Reasons of Reconciling=True. While a run is retried the reason is that of
// Ready=Unknown.
const (
	// ReasonProgressing: the current spec has not finished its first run.
	ReasonProgressing = "Progressing"

	// ReasonStatusBudget: the next run is held back because the controller
	// has used up the status bytes that it may write per second.
	ReasonStatusBudget = "StatusBudget"
)

// Reasons of Matched.
const (
	// ReasonRecordsMatched: Matched is True.
	ReasonRecordsMatched = "RecordsMatched"

	// ReasonNoRecords: Matched is False.
	ReasonNoRecords = "NoRecords"
)

// The condition of AuditTenant beside Ready, Reconciling and Stalled. Its Ready
// is True while every org id is claimed, and False while one is not.
const (
	// ConditionConflict is True while an org id belongs to another namespace,
	// since an earlier AuditTenant binds it, and False when none does. It is
	// absent while the namespace does not exist: such a binding competes with
	// nobody.
	ConditionConflict = "Conflict"
)

// Reasons of an AuditTenant's conditions.
const (
	// ReasonClaimed: Ready is True; the namespace sees every org id.
	ReasonClaimed = "Claimed"

	// ReasonNamespaceNotFound: Ready is False and Reconciling is True; the
	// namespace does not exist, so nothing is claimed until it does.
	ReasonNamespaceNotFound = "NamespaceNotFound"

	// ReasonOrgIDsTaken: Ready is False, Stalled and Conflict are True; the
	// message names the AuditTenants that stand.
	ReasonOrgIDsTaken = "OrgIDsTaken"

	// ReasonNoConflict: Conflict is False.
	ReasonNoConflict = "NoConflict"
)

// The conditions of RetentionPolicy and LegalHold beside Ready, Reconciling and
// Stalled. A policy's Ready is True while it is understood and in force, also
// while a change of it has not settled, so that deploying it never waits for a
// delay of a day; a hold's Ready is True while it is active. A policy has
// ConditionConflict as well, True while a maxKeep is below a floor, on both
// policies, and ConditionMatched, False while nothing that is stored is its
// concern.
const (
	// ConditionHoldMissing is True on every policy while a hold is neither in
	// the API nor was released: nothing is erased until it is there again.
	ConditionHoldMissing = "HoldMissing"

	// ConditionActive is True on a hold when nothing that it is about is
	// erased any more, not by a run that began before it either.
	ConditionActive = "Active"
)

// Reasons of Ready=True of a RetentionPolicy.
const (
	// ReasonInForce: the policy decides, together with the others.
	ReasonInForce = "InForce"

	// ReasonChangePending: the policy keeps what it says at once, but erases
	// nothing yet that was kept before it was made or changed.
	ReasonChangePending = "ChangePending"
)

// Reasons of Ready=False together with Stalled=True of a RetentionPolicy. Such a
// policy erases nothing, and keeps all that it matches.
const (
	// ReasonInvalidAge: keep, minKeep or maxKeep is not an age.
	ReasonInvalidAge = "InvalidAge"

	// ReasonInvalidSchedule: schedule is not a schedule.
	ReasonInvalidSchedule = "InvalidSchedule"

	// ReasonContradiction: minKeep, or the profile's, is above keep, or keep
	// is above maxKeep.
	ReasonContradiction = "Contradiction"
)

// Reasons of the other conditions of a RetentionPolicy.
const (
	// ReasonMaxKeepBelowFloor: Conflict is True; the message names the other
	// policies. The records are erased at the floor.
	ReasonMaxKeepBelowFloor = "MaxKeepBelowFloor"

	// ReasonHoldsMissing: HoldMissing is True and Ready is False; the message
	// names the holds.
	ReasonHoldsMissing = "HoldsMissing"

	// ReasonHoldsPresent: HoldMissing is False.
	ReasonHoldsPresent = "HoldsPresent"

	// ReasonTooManyRules: Ready is False and Reconciling is True; there are more
	// policies and holds than the controller takes into account, or they change
	// too often to be remembered. Nothing is erased.
	ReasonTooManyRules = "TooManyRules"

	// ReasonRulesUnknown: Ready is Unknown and Reconciling is True; the policies
	// and holds, or what is remembered of them, can't be read. Nothing is erased.
	ReasonRulesUnknown = "RulesUnknown"

	// ReasonDeletionPending: Ready is False and Reconciling is True; the policy
	// was deleted, and keeps what it kept until its changeDelay has passed.
	ReasonDeletionPending = "DeletionPending"
)

// Reasons of the conditions of a LegalHold.
const (
	// ReasonHoldActive: Ready and Active are True.
	ReasonHoldActive = "HoldActive"

	// ReasonHoldPending: Ready and Active are False and Reconciling is True;
	// the hold is honoured, but a batch of a run that began before may not
	// have ended.
	ReasonHoldPending = "HoldPending"

	// ReasonHoldReleasing: the hold was deleted and still holds, so Ready and
	// Active are True; Reconciling is True until it is released.
	ReasonHoldReleasing = "HoldReleasing"

	// ReasonHoldKept: the hold was deleted, and its keep annotation goes on
	// holding, so Ready and Active are True and nothing is released.
	ReasonHoldKept = "HoldKept"
)
