package v1alpha1

import (
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Bounds of an AuditQuerySpec that its schema enforces.
const (
	// MaxLimit is the greatest number of records that a status may hold.
	MaxLimit = 500
	// DefaultLimit is the number of records held when spec.limit is absent.
	DefaultLimit = 20
)

// AuditQuerySpec is a question to the audit trail. It is shared by AuditQuery
// and ClusterAuditQuery.
//
// +kubebuilder:validation:XValidation:rule="has(self.audits) != has(self.authAudits)",message="give exactly one of audits and authAudits; `audits: {}` means every audit record"
// +kubebuilder:validation:XValidation:rule="!has(self.interval) || !has(self.ttlSecondsAfterFinished)",message="ttlSecondsAfterFinished cannot be used together with interval: a query that runs again never finishes"
type AuditQuerySpec struct {
	// Audits asks for records of what was done, such as API calls. Every
	// filter that is given must match; {} matches every record. Exactly one
	// of audits and authAudits is given.
	// +optional
	// +structType=atomic
	Audits *AuditFilters `json:"audits,omitempty"`

	// AuthAudits asks for records of logins and other authentication. Every
	// filter that is given must match; {} matches every record. Exactly one
	// of audits and authAudits is given.
	// +optional
	// +structType=atomic
	AuthAudits *AuthAuditFilters `json:"authAudits,omitempty"`

	// From is the start of the window, inclusive, in UTC: an expression such
	// as `now-1day`, `today`, `yesterday+8h`, `2h30m` (that long before now),
	// or an instant such as `2026-11-01` or `2026-11-01T10:00:00Z`. It is
	// resolved anew at every run. At most 256 characters. Default: the window
	// has no start.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	From string `json:"from,omitempty"`

	// To is the end of the window, exclusive, in UTC, in the same forms as
	// from. It must be later than from. At most 256 characters. Default: the
	// window has no end.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	To string `json:"to,omitempty"`

	// Limit is the greatest number of records kept in status, newest first.
	// From 1 to 500. Default: 20. Fewer are kept when they would make status
	// larger than 256 KiB; status.truncated then says so.
	// +optional
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=500
	Limit int32 `json:"limit,omitempty"`

	// Interval is the time from one run to the next, from 10s to 8760h, in
	// whole hours, minutes and seconds, such as `30s`, `5m` or `1h30m`.
	// Default: the query runs once for each change of its spec.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$') && self != '' && duration(self) >= duration('10s') && duration(self) <= duration('8760h')",message="interval must be from 10s to 8760h, such as 30s, 5m or 1h30m"
	Interval *metav1.Duration `json:"interval,omitempty"`

	// Suspend stops further runs while it is true. Results stay in status.
	// Default: false.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// TTLSecondsAfterFinished deletes the object this many seconds after its
	// run has finished; 0 deletes it at once. It cannot be used together with
	// interval. Default: the object stays.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
}

// AuditQueryStatus is the answer. Results, window, matched, returned,
// truncated and continue all belong to the run that started at lastRunTime.
type AuditQueryStatus struct {
	// ObservedGeneration is the metadata.generation of the spec that was last
	// handled to its end; -1 before the first.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions are Ready, Reconciling, Stalled and Matched.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Window is what from and to meant in the run that gave the results.
	// +optional
	Window *Window `json:"window,omitempty"`

	// Matched is the number of records that match, of which status holds the
	// newest.
	// +optional
	Matched *MatchCount `json:"matched,omitempty"`

	// Returned is the number of records held in status.
	// +optional
	Returned *int32 `json:"returned,omitempty"`

	// Truncated is true when records were left out of status that limit
	// would have let in.
	// +optional
	Truncated bool `json:"truncated,omitempty"`

	// TruncatedReason says why records were left out: StatusSize when status
	// would have been larger than 256 KiB, RecordSize when the next record
	// alone would have been.
	// +optional
	// +kubebuilder:validation:Enum=StatusSize;RecordSize
	TruncatedReason TruncatedReason `json:"truncatedReason,omitempty"`

	// LastRunTime is when the run that gave the results started. A run whose
	// results are the same moves it at most every 10 minutes.
	// +optional
	LastRunTime *metav1.Time `json:"lastRunTime,omitempty"`

	// NextRunTime is when the next run is due. Absent when none is.
	// +optional
	NextRunTime *metav1.Time `json:"nextRunTime,omitempty"`

	// CompletionTime is when a query without interval finished the run of its
	// current spec. ttlSecondsAfterFinished counts from here.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// Continue is a token for the list endpoint of these records that goes on
	// after the last one held here. Absent when there are no more.
	// +optional
	Continue string `json:"continue,omitempty"`

	// Audits are the newest matching records of a query for audits, ordered
	// by time and id, newest first. Details and request bodies are never
	// among them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	Audits []AuditRow `json:"audits,omitempty"`

	// AuthAudits are the newest matching records of a query for authAudits,
	// ordered by time and id, newest first. Details are never among them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	AuthAudits []AuthAuditRow `json:"authAudits,omitempty"`
}

// Window is a resolved span of time, in UTC, to the microsecond.
type Window struct {
	// From is the inclusive start. Absent when the window has none.
	// +optional
	From *metav1.MicroTime `json:"from,omitempty"`

	// To is the exclusive end. Absent when the window has none.
	// +optional
	To *metav1.MicroTime `json:"to,omitempty"`
}

// MatchRelation says how a MatchCount's count is meant.
type MatchRelation string

const (
	// MatchExact: exactly count records match.
	MatchExact MatchRelation = "Exact"
	// MatchAtLeast: count records match, and perhaps more; counting stopped.
	MatchAtLeast MatchRelation = "AtLeast"
)

// MatchCount is a number of matching records that may be a lower bound.
type MatchCount struct {
	// Count is the number of matching records that were counted.
	// +kubebuilder:validation:Minimum=0
	Count int64 `json:"count"`

	// Relation is Exact when count is the whole number, AtLeast when counting
	// stopped there.
	// +kubebuilder:validation:Enum=Exact;AtLeast
	Relation MatchRelation `json:"relation"`

	// Text is both in one, for people: `17` or `10000+`.
	// +optional
	Text string `json:"text,omitempty"`
}

// NewMatchCount returns count with the relation that exact says, and its
// text.
func NewMatchCount(count int64, exact bool) *MatchCount {
	text := strconv.FormatInt(count, 10)
	if exact {
		return &MatchCount{Count: count, Relation: MatchExact, Text: text}
	}
	return &MatchCount{Count: count, Relation: MatchAtLeast, Text: text + "+"}
}

// TruncatedReason says why records were left out of status.
type TruncatedReason string

const (
	// TruncatedStatusSize: one more record would have made status larger than
	// its bound.
	TruncatedStatusSize TruncatedReason = "StatusSize"
	// TruncatedRecordSize: a single record is larger than status may be.
	TruncatedRecordSize TruncatedReason = "RecordSize"
)

// AuditQuery asks the audit trail for the records that its namespace may see,
// once or at an interval, and holds the answer in its status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=aq
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="True when status holds the answer"
// +kubebuilder:printcolumn:name="Matched",type=string,JSONPath=`.status.matched.text`,description="Number of matching records"
// +kubebuilder:printcolumn:name="Returned",type=integer,JSONPath=`.status.returned`,description="Number of records in status"
// +kubebuilder:printcolumn:name="Last-Run",type=date,JSONPath=`.status.lastRunTime`,description="Age of the results"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="From",type=string,priority=1,JSONPath=`.status.window.from`,description="Start of the window"
// +kubebuilder:printcolumn:name="To",type=string,priority=1,JSONPath=`.status.window.to`,description="End of the window"
// +kubebuilder:printcolumn:name="Next-Run",type=string,priority=1,JSONPath=`.status.nextRunTime`,description="When the next run is due"
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,description="What the controller says"
type AuditQuery struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the question.
	// +required
	Spec AuditQuerySpec `json:"spec"`

	// Status is the answer.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status AuditQueryStatus `json:"status,omitempty"`
}

// QuerySpec returns the spec, to change or read in place.
func (q *AuditQuery) QuerySpec() *AuditQuerySpec { return &q.Spec }

// QueryStatus returns the status, to change or read in place.
func (q *AuditQuery) QueryStatus() *AuditQueryStatus { return &q.Status }

// AuditQueryList is a list of AuditQuery.
//
// +kubebuilder:object:root=true
type AuditQueryList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AuditQuery `json:"items"`
}
