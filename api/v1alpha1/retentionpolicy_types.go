package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

const (
	// RetentionFinalizer is on every RetentionPolicy and LegalHold that the
	// controller has seen. It holds a deleted object until what it keeps may
	// go; only the controller takes it off, which an admission policy sees to.
	RetentionFinalizer = Group + "/retention"

	// KeepAnnotation, set to "true" on a LegalHold that is being deleted, goes
	// on holding its records for as long as it is there.
	KeepAnnotation = Group + "/keep"
)

// Bounds of a RetentionPolicy.
const (
	// MaxRetentionOrgIDs is how many organisations one policy names.
	MaxRetentionOrgIDs = 500
	// MaxRetentionPlanEntries is how many entries a plan in status has.
	MaxRetentionPlanEntries = 50
	// MaxRetentionPlanHolds is how many holds a plan in status names.
	MaxRetentionPlanHolds = 20
	// MaxRetentionRunErrors is how many errors of a run status has.
	MaxRetentionRunErrors = 5
)

// RecordKind is one of the two kinds of records.
// +kubebuilder:validation:Enum=Audit;AuthAudit
type RecordKind string

const (
	// RecordAudit is a record of what was done, such as an API call.
	RecordAudit RecordKind = "Audit"
	// RecordAuthAudit is a record of a login or other authentication.
	RecordAuthAudit RecordKind = "AuthAudit"
)

// RetentionMode says whether a policy erases.
// +kubebuilder:validation:Enum=Enforce;DryRun
type RetentionMode string

const (
	// RetentionEnforce: records that are due are erased.
	RetentionEnforce RetentionMode = "Enforce"
	// RetentionDryRun: nothing is erased by the policy; status shows what
	// would be. What it keeps is kept from other policies, too.
	RetentionDryRun RetentionMode = "DryRun"
)

// RetentionProfile names a rule of others that asks for records to be kept.
// +kubebuilder:validation:Enum=pci-dss;hipaa;sox
type RetentionProfile string

const (
	// ProfilePCIDSS is PCI DSS v4.0.1, requirement 10.5.1: audit log history
	// is kept for at least 12 months.
	ProfilePCIDSS RetentionProfile = "pci-dss"
	// ProfileHIPAA is 45 CFR 164.316(b)(2)(i): 6 years.
	ProfileHIPAA RetentionProfile = "hipaa"
	// ProfileSOX is 17 CFR 210.2-06: 7 years.
	ProfileSOX RetentionProfile = "sox"
)

// RetentionPolicySpec says how long records are kept. A record is erased once it
// is as old as keep, but never before it is as old as the greatest minKeep of all
// policies that match it. Where several policies match it counts the longest keep
// of those that name its organisation, or, when none does, of those for all.
//
// Within a policy minKeep (with the profile's) <= keep <= maxKeep. A policy that
// contradicts itself is Stalled, erases nothing, and keeps all that it matches.
type RetentionPolicySpec struct {
	// Records are the kinds of records that the policy is for: Audit,
	// AuthAudit, or both. Default: both.
	// +optional
	// +listType=set
	// +kubebuilder:default={"Audit","AuthAudit"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Records []RecordKind `json:"records,omitempty"`

	// OrgIDs are the organisations that the policy is for, each exactly as in
	// the records' org_id: a namespace of this cluster by its name, a
	// namespace of another cluster as `CLUSTER/NAMESPACE`. A policy that names
	// a record's organisation is more specific than one that names none. 1 to
	// 500, none twice, each of 1 to 512 characters, without white space at its
	// ends. Default: all, and records of no organisation. An empty list, which
	// mostly comes from a template that lost its values, is refused.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^\S(.*\S)?$`
	OrgIDs []string `json:"orgIDs,omitempty"`

	// Keep is the age at which records are erased: a number from 1 to 99999
	// and d (days of 24 hours), mo (months) or y (years), such as `400d`,
	// `13mo` or `7y`. Going back by months ends on the last day of a month
	// that has no such day.
	// +required
	// +kubebuilder:validation:MaxLength=7
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]{0,4}(d|mo|y)$`
	Keep string `json:"keep"`

	// MinKeep is a floor: no policy erases a record that this one matches
	// before it is that old, whatever is more specific. In the form of keep.
	// Default: none but the profile's.
	// +optional
	// +kubebuilder:validation:MaxLength=7
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]{0,4}(d|mo|y)$`
	MinKeep string `json:"minKeep,omitempty"`

	// MaxKeep is a duty to erase: records are erased at that age even if
	// another policy keeps them longer, unless a floor or a hold forbids it.
	// In the form of keep. Default: none.
	// +optional
	// +kubebuilder:validation:MaxLength=7
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]{0,4}(d|mo|y)$`
	MaxKeep string `json:"maxKeep,omitempty"`

	// Mode is Enforce when what is due is erased, or DryRun when status only
	// shows it. A DryRun policy protects as an enforced one does, with its keep
	// and its minKeep. Default: DryRun.
	// +optional
	// +kubebuilder:default=DryRun
	Mode RetentionMode `json:"mode,omitempty"`

	// Schedule is when runs start, in UTC, as in crontab(5): minute, hour, day
	// of the month, number of the month, day of the week; or a word such as
	// `@daily`. 1 to 128 characters. Default: `0 * * * *`, every hour.
	// +optional
	// +kubebuilder:default="0 * * * *"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Schedule string `json:"schedule,omitempty"`

	// ChangeDelay is how long the creation, every change, and the deletion of
	// this policy erases nothing that was kept before it; of the old and the
	// new delay the longer counts. From 1s to 8760h, in whole hours, minutes
	// and seconds, such as `24h` or `1h30m`. Default: 24h.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$') && self != '' && duration(self) >= duration('1s') && duration(self) <= duration('8760h')",message="changeDelay must be from 1s to 8760h, such as 24h or 1h30m"
	ChangeDelay metav1.Duration `json:"changeDelay,omitzero"`

	// Profile sets minKeep to what a rule of others asks for, or leaves
	// minKeep as it is where that is longer: `pci-dss` (PCI DSS v4.0.1,
	// requirement 10.5.1) to 12mo, `hipaa` (45 CFR 164.316(b)(2)(i)) to 6y,
	// `sox` (17 CFR 210.2-06) to 7y. Default: none.
	// +optional
	Profile RetentionProfile `json:"profile,omitempty"`

	// Locked makes the policy one that can only be lengthened: once it is true
	// it stays true, the policy can't be deleted, keep, minKeep, maxKeep and
	// changeDelay can't become shorter, and the policy can't come to be for
	// fewer records. Default: false.
	// +optional
	Locked bool `json:"locked,omitempty"`
}

// RetentionPolicyStatus says what the policy does, has done, and will do.
type RetentionPolicyStatus struct {
	// ObservedGeneration is the metadata.generation of the spec that the rest
	// of status is about; -1 before the first.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions are Ready, Reconciling, Stalled, Conflict, HoldMissing and
	// Matched.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Effective is what the spec came to, and until when what was before it
	// protects as well. Absent while the spec is not understood.
	// +optional
	Effective *RetentionEffective `json:"effective,omitempty"`

	// Plan is what is due, and what will be once a change has settled. Of a
	// DryRun policy it is what would be if it were enforced.
	// +optional
	Plan *RetentionPlan `json:"plan,omitempty"`

	// LastRun is the last run that ended, or was broken off.
	// +optional
	LastRun *RetentionRun `json:"lastRun,omitempty"`

	// NextRunTime is when the next run starts. Absent when none will.
	// +optional
	NextRunTime *metav1.Time `json:"nextRunTime,omitempty"`

	// ExpiredThrough is the instant before which the policy has left nothing
	// behind that is not held or kept by another policy. Records that arrive
	// late, with a time before it, are erased by the next run.
	// +optional
	ExpiredThrough *metav1.Time `json:"expiredThrough,omitempty"`
}

// RetentionEffective is a spec as the controller has understood it.
type RetentionEffective struct {
	// Keep is the age at which records are due.
	// +kubebuilder:validation:MaxLength=7
	Keep string `json:"keep"`

	// MinKeep is the floor, the longer of the spec's and the profile's. Absent
	// when there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=7
	MinKeep string `json:"minKeep,omitempty"`

	// MaxKeep is the age at which records are due whatever others say. Absent
	// when there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=7
	MaxKeep string `json:"maxKeep,omitempty"`

	// Mode is Enforce or DryRun.
	Mode RetentionMode `json:"mode"`

	// Since is when the controller first saw it.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`

	// ProtectedUntil is until when nothing is erased that was kept before the
	// last change of this policy. Absent when that is over.
	// +optional
	ProtectedUntil *metav1.Time `json:"protectedUntil,omitempty"`
}

// RetentionPlan is what a policy erases, or would erase.
type RetentionPlan struct {
	// At is when it was made.
	At metav1.Time `json:"at"`

	// Records is how many records are due now, or would be now if the policy
	// were enforced, without those that are held. It is at most that many
	// when exact is false.
	// +kubebuilder:validation:Minimum=0
	Records int64 `json:"records"`

	// Exact is false when what is due ends within a stretch of what is stored
	// (an index, a month), of which the whole is counted then, or when it is
	// not known how many are held.
	Exact bool `json:"exact"`

	// Bytes is about how much space they take, in bytes.
	// +kubebuilder:validation:Minimum=0
	Bytes int64 `json:"bytes"`

	// Oldest is the time of the oldest of them. Absent when there are none.
	// +optional
	Oldest *metav1.MicroTime `json:"oldest,omitempty"`

	// HeldRecords is how many records would be due but are held; at most that
	// many when exact is false.
	// +optional
	// +kubebuilder:validation:Minimum=0
	HeldRecords int64 `json:"heldRecords,omitempty"`

	// Entries say it for each kind of record and organisation, the first due
	// first, then those with the most records. At most 50.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Entries []RetentionPlanEntry `json:"entries,omitempty"`

	// Holds are those that keep records from being erased, those that keep the
	// most first. At most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Holds []RetentionPlanHold `json:"holds,omitempty"`

	// Truncated is true when entries or holds were left out.
	// +optional
	Truncated bool `json:"truncated,omitempty"`
}

// RetentionPlanEntry is what is erased of a kind of record and an organisation.
type RetentionPlanEntry struct {
	// Record is the kind: Audit or AuthAudit.
	Record RecordKind `json:"record"`

	// OrgID is the organisation; empty for records of none.
	// +kubebuilder:validation:MaxLength=512
	OrgID string `json:"orgID"`

	// Records is how many; at most that many when exact is false.
	// +kubebuilder:validation:Minimum=0
	Records int64 `json:"records"`

	// Exact is false when records is an upper bound.
	Exact bool `json:"exact"`

	// Oldest is the time of the oldest.
	// +optional
	Oldest *metav1.MicroTime `json:"oldest,omitempty"`

	// Before is the end of what is erased, exclusive: records of this time and
	// later stay.
	Before metav1.MicroTime `json:"before"`

	// Due is when: the instant at which a change has settled. Absent for what
	// the next run erases.
	// +optional
	Due *metav1.Time `json:"due,omitempty"`
}

// RetentionPlanHold is a hold that keeps records from being erased.
type RetentionPlanHold struct {
	// Name is the name of the LegalHold.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Records is how many it keeps that would be due; at most that many when
	// the plan's exact is false.
	// +kubebuilder:validation:Minimum=0
	Records int64 `json:"records"`
}

// RetentionRun is what a run did for a policy.
type RetentionRun struct {
	// StartTime is when the run started.
	StartTime metav1.Time `json:"startTime"`

	// CompletionTime is when it ended, or was broken off.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// Records is how many records were erased.
	// +kubebuilder:validation:Minimum=0
	Records int64 `json:"records"`

	// Bytes is about how much space they took, in bytes.
	// +kubebuilder:validation:Minimum=0
	Bytes int64 `json:"bytes"`

	// Errors are the first 5 failures. Absent when all went well. What was
	// not erased is erased by a later run.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:MaxLength=1024
	Errors []string `json:"errors,omitempty"`
}

// RetentionPolicy says how long audit records are kept, and when they are erased.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=rp
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`,description="Whether what is due is erased or only shown"
// +kubebuilder:printcolumn:name="Keep",type=string,JSONPath=`.spec.keep`,description="Age at which records are erased"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="True when the policy is understood and in force"
// +kubebuilder:printcolumn:name="Due",type=integer,JSONPath=`.status.plan.records`,description="Number of records that are due, or would be if the policy were enforced"
// +kubebuilder:printcolumn:name="Expired-Through",type=string,JSONPath=`.status.expiredThrough`,description="Instant before which nothing is left but what is held or kept by others"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Next-Run",type=string,priority=1,JSONPath=`.status.nextRunTime`,description="When the next run starts"
// +kubebuilder:printcolumn:name="Locked",type=boolean,priority=1,JSONPath=`.spec.locked`,description="True when the policy can only be lengthened"
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,description="What the controller says"
type RetentionPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says what is kept for how long.
	// +required
	Spec RetentionPolicySpec `json:"spec"`

	// Status says what came of it.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status RetentionPolicyStatus `json:"status,omitempty"`
}

// RetentionPolicyList is a list of RetentionPolicy.
//
// +kubebuilder:object:root=true
type RetentionPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RetentionPolicy `json:"items"`
}
