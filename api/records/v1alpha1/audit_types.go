package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Audit is one audit record: one action on one thing. A field that the record does
// not have is absent.
//
// +kubebuilder:object:root=true
type Audit struct {
	metav1.TypeMeta `json:",inline"`

	// Standard object's metadata. The name is the record's id, the namespace the
	// one that claims the record, creationTimestamp its time in whole seconds.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// ID is the record's id, 32 hex digits: the same as metadata.name.
	// +required
	ID string `json:"id"`

	// Time is when it happened, in UTC, to the microsecond.
	// +required
	Time metav1.MicroTime `json:"time"`

	// IngestTime is when the record was taken in.
	// +required
	IngestTime metav1.MicroTime `json:"ingestTime"`

	// UserID is who acted, such as `alice` or
	// `system:serviceaccount:shop:deployer`.
	// +optional
	UserID string `json:"userID,omitempty"`

	// ActorType is the kind of actor: `Human`, `ServiceAccount`, `Node`,
	// `System`, `Anonymous` or `Unknown`.
	// +optional
	ActorType string `json:"actorType,omitempty"`

	// Action is what was done, such as `delete`.
	// +optional
	Action string `json:"action,omitempty"`

	// Outcome is how it ended: `Success`, `Denied` or `Failure`.
	// +optional
	Outcome string `json:"outcome,omitempty"`

	// ResponseCode is the HTTP status code of the answer.
	// +optional
	ResponseCode int64 `json:"responseCode,omitempty"`

	// APIName is the API that was called; for Kubernetes its group, `core` for
	// the unnamed one, `nonresource` for paths that name no resource.
	// +optional
	APIName string `json:"apiName,omitempty"`

	// TargetResourceType is the type of thing acted on, such as `deployments` or
	// `pods/exec`.
	// +optional
	TargetResourceType string `json:"targetResourceType,omitempty"`

	// TargetResourceName is the name of the thing acted on.
	// +optional
	TargetResourceName string `json:"targetResourceName,omitempty"`

	// TargetResourceOrgID is the organisation that the thing acted on belongs to;
	// for Kubernetes its namespace.
	// +optional
	TargetResourceOrgID string `json:"targetResourceOrgID,omitempty"`

	// TargetID is the identifier of the thing acted on, such as its uid or the id
	// of a token that was made.
	// +optional
	TargetID string `json:"targetID,omitempty"`

	// SecondaryID is the second identifier that the sender gave.
	// +optional
	SecondaryID string `json:"secondaryID,omitempty"`

	// TertiaryID is the third identifier that the sender gave.
	// +optional
	TertiaryID string `json:"tertiaryID,omitempty"`

	// ParentID is the identifier of the target's parent.
	// +optional
	ParentID string `json:"parentID,omitempty"`

	// GrandparentID is the identifier of the target's parent's parent.
	// +optional
	GrandparentID string `json:"grandparentID,omitempty"`

	// OrgID is the organisation that the record belongs to; for Kubernetes the
	// namespace, `_cluster` where there is none.
	// +optional
	OrgID string `json:"orgID,omitempty"`

	// TokenID is the id of the bearer token that was used.
	// +optional
	TokenID string `json:"tokenID,omitempty"`

	// Session is the session in which it was done.
	// +optional
	Session string `json:"session,omitempty"`

	// TraceID is the id of the request; for Kubernetes the audit id.
	// +optional
	TraceID string `json:"traceID,omitempty"`

	// SourceIP is the address that the request came from.
	// +optional
	SourceIP string `json:"sourceIP,omitempty"`

	// UserAgent is the client program's name for itself.
	// +optional
	UserAgent string `json:"userAgent,omitempty"`

	// SourceType is how the record came in: `Kubernetes`, `Bulk` or `Import`;
	// `AuditQuery` for what the server says of itself.
	// +optional
	SourceType string `json:"sourceType,omitempty"`

	// Cluster is the cluster that sent the record.
	// +optional
	Cluster string `json:"cluster,omitempty"`

	// Description is one sentence that says what happened.
	// +optional
	Description string `json:"description,omitempty"`

	// AuditAttributes is further things that the record is about.
	// +optional
	// +listType=atomic
	AuditAttributes []AuditAttribute `json:"auditAttributes,omitempty"`

	// Details is everything that no field holds: a JSON object of any shape.
	// Nothing in it can be searched for.
	// +optional
	Details *runtime.RawExtension `json:"details,omitempty"`
}

// AuditList is a list of audit records, newest first.
//
// +kubebuilder:object:root=true
type AuditList struct {
	metav1.TypeMeta `json:",inline"`

	// Standard list metadata. With `continue` the list goes on.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Truncation says that the list ends here although there are more records. It
	// is absent from a list that goes on, and from one that is complete.
	// +optional
	Truncation *Truncation `json:"truncation,omitempty"`

	// Items are the records.
	// +required
	// +listType=atomic
	Items []Audit `json:"items"`
}

// AuditAttribute is a further thing that a record is about.
type AuditAttribute struct {
	// AttributeType is the type of the attribute.
	// +optional
	AttributeType string `json:"attributeType,omitempty"`

	// AttributeID is the id of the attribute.
	// +optional
	AttributeID string `json:"attributeID,omitempty"`

	// AttributeOrgID is the organisation of the attribute.
	// +optional
	AttributeOrgID string `json:"attributeOrgID,omitempty"`

	// AttributeName is the name of the attribute.
	// +optional
	AttributeName string `json:"attributeName,omitempty"`
}
