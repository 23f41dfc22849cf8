package v1alpha1

// AuditFilters select audit records. Filters that are given must all match. A
// value matches when it equals the record's field, upper and lower case being
// different. A string has 1 to 8191 characters, a list 1 to 100 strings.
type AuditFilters struct {
	// ID filters on the record's id, 32 hex digits. A string, or a list of
	// strings of which any may match.
	// +optional
	ID Values `json:"id,omitzero"`

	// UserID filters on who acted, such as `alice` or
	// `system:serviceaccount:shop:deployer`. A string, or a list of strings of
	// which any may match.
	// +optional
	UserID Values `json:"userID,omitzero"`

	// ActorType filters on the kind of actor: `Human`, `ServiceAccount`, `Node`,
	// `System`, `Anonymous` or `Unknown`. A string, or a list of strings of which
	// any may match.
	// +optional
	ActorType Values `json:"actorType,omitzero"`

	// Action filters on what was done, such as `delete`. A string, or a list of
	// strings of which any may match.
	// +optional
	Action Values `json:"action,omitzero"`

	// Outcome filters on how it ended: `Success`, `Denied` or `Failure`. A
	// string, or a list of strings of which any may match.
	// +optional
	Outcome Values `json:"outcome,omitzero"`

	// ResponseCode filters on the HTTP status code of the answer. A whole number
	// from 0 to 999, a string, or a list of these of which any may match.
	// +optional
	ResponseCode Values `json:"responseCode,omitzero"`

	// APIName filters on the API that was called; for Kubernetes its group,
	// `core` for the unnamed one, `nonresource` for paths that name no resource.
	// A string, or a list of strings of which any may match.
	// +optional
	APIName Values `json:"apiName,omitzero"`

	// TargetResourceType filters on the type of thing acted on, such as
	// `deployments` or `pods/exec`. A string, or a list of strings of which any
	// may match.
	// +optional
	TargetResourceType Values `json:"targetResourceType,omitzero"`

	// TargetResourceName filters on the name of the thing acted on. A string, or
	// a list of strings of which any may match.
	// +optional
	TargetResourceName Values `json:"targetResourceName,omitzero"`

	// TargetResourceOrgID filters on the organisation that the thing acted on
	// belongs to; for Kubernetes its namespace. A string, or a list of strings of
	// which any may match.
	// +optional
	TargetResourceOrgID Values `json:"targetResourceOrgID,omitzero"`

	// TargetID filters on the identifier of the thing acted on, such as its uid
	// or the id of a token that was made. A string, or a list of strings of which
	// any may match.
	// +optional
	TargetID Values `json:"targetID,omitzero"`

	// SecondaryID filters on the second identifier that the sender gave. A
	// string, or a list of strings of which any may match.
	// +optional
	SecondaryID Values `json:"secondaryID,omitzero"`

	// TertiaryID filters on the third identifier that the sender gave. A string,
	// or a list of strings of which any may match.
	// +optional
	TertiaryID Values `json:"tertiaryID,omitzero"`

	// ParentID filters on the identifier of the target's parent. A string, or a
	// list of strings of which any may match.
	// +optional
	ParentID Values `json:"parentID,omitzero"`

	// GrandparentID filters on the identifier of the target's parent's parent. A
	// string, or a list of strings of which any may match.
	// +optional
	GrandparentID Values `json:"grandparentID,omitzero"`

	// AttributeType filters on the type of an attribute of the record. All
	// attribute filters must match within one attribute. A string, or a list of
	// strings of which any may match.
	// +optional
	AttributeType Values `json:"attributeType,omitzero"`

	// AttributeID filters on the id of an attribute of the record. All attribute
	// filters must match within one attribute. A string, or a list of strings of
	// which any may match.
	// +optional
	AttributeID Values `json:"attributeID,omitzero"`

	// AttributeOrgID filters on the organisation of an attribute of the record.
	// All attribute filters must match within one attribute. A string, or a list
	// of strings of which any may match.
	// +optional
	AttributeOrgID Values `json:"attributeOrgID,omitzero"`

	// AttributeName filters on the name of an attribute of the record. All
	// attribute filters must match within one attribute. A string, or a list of
	// strings of which any may match.
	// +optional
	AttributeName Values `json:"attributeName,omitzero"`

	// OrgID filters on the organisation that the record belongs to; for
	// Kubernetes the namespace, `_cluster` where there is none. A string, or a
	// list of strings of which any may match.
	// +optional
	OrgID Values `json:"orgID,omitzero"`

	// TokenID filters on the id of the bearer token that was used. A string, or a
	// list of strings of which any may match.
	// +optional
	TokenID Values `json:"tokenID,omitzero"`

	// SessionID filters on the session in which it was done (the record's
	// `session`). A string, or a list of strings of which any may match.
	// +optional
	SessionID Values `json:"sessionID,omitzero"`

	// TraceID filters on the id of the request; for Kubernetes the audit id. A
	// string, or a list of strings of which any may match.
	// +optional
	TraceID Values `json:"traceID,omitzero"`

	// SourceIP filters on the address that the request came from, or a CIDR block
	// such as `10.0.0.0/8`. A string, or a list of strings of which any may
	// match.
	// +optional
	SourceIP Values `json:"sourceIP,omitzero"`

	// UserAgent filters on the client program's name for itself. A string, or a
	// list of strings of which any may match.
	// +optional
	UserAgent Values `json:"userAgent,omitzero"`

	// SourceType filters on how the record came in: `Kubernetes`, `Bulk` or
	// `Import`. A string, or a list of strings of which any may match.
	// +optional
	SourceType Values `json:"sourceType,omitzero"`

	// Cluster filters on the cluster that sent the record. A string, or a list of
	// strings of which any may match.
	// +optional
	Cluster Values `json:"cluster,omitzero"`

	// ExcludeActorTypes leaves out records whose actorType is one of these, such
	// as `System` and `Node`. At most 20. Records without an actorType stay.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	ExcludeActorTypes []string `json:"excludeActorTypes,omitempty"`

	// Text asks that every word of it occurs in the
	// record's description, target resource name or attribute names. Words are runs of
	// letters and digits; case does not matter. At most 1024 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches(r'[\\p{L}\\p{Nd}]')",message="text must hold at least one letter or digit"
	Text string `json:"text,omitempty"`
}
