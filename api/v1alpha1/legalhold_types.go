package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MaxHoldIDs is how many organisations, users, or targets one hold names.
const MaxHoldIDs = 500

// HoldPhase says where a hold is in its life.
// +kubebuilder:validation:Enum=Pending;Active;Releasing
type HoldPhase string

const (
	// HoldPending: the controller honours the hold, but a batch of a run that
	// began before may not have ended yet.
	HoldPending HoldPhase = "Pending"
	// HoldActive: nothing that the hold is about is erased.
	HoldActive HoldPhase = "Active"
	// HoldReleasing: the hold was deleted, and still holds until releaseTime.
	HoldReleasing HoldPhase = "Releasing"
)

// LegalHoldSpec says what is held. A record is held when it matches every field
// that is given; a hold of which none is given holds every record.
//
// +kubebuilder:validation:XValidation:rule="!has(self.from) || !has(self.to) || self.from < self.to",message="from must be before to"
// +kubebuilder:validation:XValidation:rule="!has(self.targetIDs) || 'Audit' in self.records",message="targetIDs need Audit among records: an AuthAudit has no target"
type LegalHoldSpec struct {
	// Reason is why the records are held, for whoever meets the hold later. 1
	// to 1024 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`

	// CaseID is the matter, investigation or request that the hold belongs to,
	// as others know it. 1 to 128 characters. Default: none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	CaseID string `json:"caseID,omitempty"`

	// Records are the kinds of records that are held: Audit, AuthAudit, or
	// both. Default: both.
	// +optional
	// +listType=set
	// +kubebuilder:default={"Audit","AuthAudit"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Records []RecordKind `json:"records,omitempty"`

	// OrgIDs are the organisations whose records are held, each exactly as in
	// the records' org_id. 1 to 500, none twice, each of 1 to 512 characters,
	// without white space at its ends. Default: all, and records of no
	// organisation.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^\S(.*\S)?$`
	OrgIDs []string `json:"orgIDs,omitempty"`

	// UserIDs are those whose actions are held, each exactly as in the
	// records' user_id. 1 to 500, none twice, each of 1 to 512 characters,
	// without white space at its ends. Default: everybody's.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^\S(.*\S)?$`
	UserIDs []string `json:"userIDs,omitempty"`

	// TargetIDs are what the held actions were done to, each exactly as in the
	// records' target_id. AuthAudits have no target: with targetIDs none of
	// them is held, and records needs Audit. 1 to 500, none twice, each of 1 to
	// 512 characters, without white space at its ends. Default: everything.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^\S(.*\S)?$`
	TargetIDs []string `json:"targetIDs,omitempty"`

	// From is the time of the first record that is held, such as
	// `2026-03-01T00:00:00Z`. Default: the hold has no start.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$`
	From *metav1.Time `json:"from,omitempty"`

	// To is the time of the first record after those that are held, in the form
	// of from, and later than it. Default: the hold has no end; it goes on
	// holding what is yet to come.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$`
	To *metav1.Time `json:"to,omitempty"`

	// ReleaseDelay is how long records go on being held once the hold was
	// deleted, or changed so that it no longer holds them; of the old and the
	// new delay the longer counts. From 1s to 8760h, in whole hours, minutes
	// and seconds, such as `168h`. Default: 168h.
	// +optional
	// +kubebuilder:default="168h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$') && self != '' && duration(self) >= duration('1s') && duration(self) <= duration('8760h')",message="releaseDelay must be from 1s to 8760h, such as 168h or 1h30m"
	ReleaseDelay metav1.Duration `json:"releaseDelay,omitzero"`
}

// LegalHoldStatus says how far the hold is in force.
type LegalHoldStatus struct {
	// ObservedGeneration is the metadata.generation of the spec that the rest
	// of status is about; -1 before the first.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions are Ready, Reconciling, Stalled and Active.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Phase is Pending, Active or Releasing.
	// +optional
	Phase HoldPhase `json:"phase,omitempty"`

	// ActiveTime is when the hold became active, or will: from then on nothing
	// that it is about is erased, not by a run that began earlier either.
	// +optional
	ActiveTime *metav1.Time `json:"activeTime,omitempty"`

	// ReleaseTime is when a hold that was deleted stops holding, or a changed
	// one what it held before. Absent when nothing will be released.
	// +optional
	ReleaseTime *metav1.Time `json:"releaseTime,omitempty"`

	// Records is how many stored records are held, exactly or at least.
	// +optional
	Records *MatchCount `json:"records,omitempty"`
}

// LegalHold keeps records from being erased, whatever policies say.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=lh
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`,description="Pending, Active or Releasing"
// +kubebuilder:printcolumn:name="Case",type=string,JSONPath=`.spec.caseID`,description="Matter that the hold belongs to"
// +kubebuilder:printcolumn:name="Records",type=string,JSONPath=`.status.records.text`,description="Number of stored records that are held"
// +kubebuilder:printcolumn:name="Active",type=string,JSONPath=`.status.conditions[?(@.type=="Active")].status`,description="True when nothing that the hold is about is erased"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Release",type=string,priority=1,JSONPath=`.status.releaseTime`,description="When it stops holding"
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.spec.reason`,description="Why the records are held"
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,description="What the controller says"
type LegalHold struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says what is held, and why.
	// +required
	Spec LegalHoldSpec `json:"spec"`

	// Status says how far it is in force.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status LegalHoldStatus `json:"status,omitempty"`
}

// LegalHoldList is a list of LegalHold.
//
// +kubebuilder:object:root=true
type LegalHoldList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []LegalHold `json:"items"`
}
