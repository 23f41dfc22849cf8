package v1alpha1

// AuthAuditFilters select authentication records. Filters that are given must
// all match. A value matches when it equals the record's field, upper and lower
// case being different. A string has 1 to 8191 characters, a list 1 to 100
// strings.
type AuthAuditFilters struct {
	// ID filters on the record's id, 32 hex digits. A string, or a list of
	// strings of which any may match.
	// +optional
	ID Values `json:"id,omitzero"`

	// UserID filters on who logged in. A string, or a list of strings of which
	// any may match.
	// +optional
	UserID Values `json:"userID,omitzero"`

	// ActorType filters on the kind of actor: `Human`, `ServiceAccount`, `Node`,
	// `System`, `Anonymous` or `Unknown`. A string, or a list of strings of which
	// any may match.
	// +optional
	ActorType Values `json:"actorType,omitzero"`

	// UpstreamUserID filters on the user's id at the upstream identity provider.
	// A string, or a list of strings of which any may match.
	// +optional
	UpstreamUserID Values `json:"upstreamUserID,omitzero"`

	// UpstreamIDP filters on the name of the upstream identity provider, such as
	// `google`. A string, or a list of strings of which any may match.
	// +optional
	UpstreamIDP Values `json:"upstreamIDP,omitzero"`

	// OrgID filters on the organisation that the record belongs to. A string, or
	// a list of strings of which any may match.
	// +optional
	OrgID Values `json:"orgID,omitzero"`

	// OrgName filters on the name of the organisation that the record belongs to.
	// A string, or a list of strings of which any may match.
	// +optional
	OrgName Values `json:"orgName,omitzero"`

	// LoginOrgID filters on the organisation that the user tried to log in to. A
	// string, or a list of strings of which any may match.
	// +optional
	LoginOrgID Values `json:"loginOrgID,omitzero"`

	// LoginOrgName filters on the name of the organisation that the user tried to
	// log in to. A string, or a list of strings of which any may match.
	// +optional
	LoginOrgName Values `json:"loginOrgName,omitzero"`

	// EventName filters on what happened, such as `Authentication Request` or
	// `Token`. A string, or a list of strings of which any may match.
	// +optional
	EventName Values `json:"eventName,omitzero"`

	// Result filters on how it ended: `Success`, `Denied` or `Failure`. A string,
	// or a list of strings of which any may match.
	// +optional
	Result Values `json:"result,omitzero"`

	// Event filters on the older name of result, with the same values. A string,
	// or a list of strings of which any may match.
	// +optional
	Event Values `json:"event,omitzero"`

	// Stage filters on the older name of eventName, with the same values. A
	// string, or a list of strings of which any may match.
	// +optional
	Stage Values `json:"stage,omitzero"`

	// ClientID filters on the OIDC client that was used to log in. A string, or a
	// list of strings of which any may match.
	// +optional
	ClientID Values `json:"clientID,omitzero"`

	// ApplicationName filters on the application that was logged in to. A string,
	// or a list of strings of which any may match.
	// +optional
	ApplicationName Values `json:"applicationName,omitzero"`

	// Issuer filters on who issued the token. A string, or a list of strings of
	// which any may match.
	// +optional
	Issuer Values `json:"issuer,omitzero"`

	// SessionID filters on the session that began when the user started to log in
	// (the record's `session`). A string, or a list of strings of which any may
	// match.
	// +optional
	SessionID Values `json:"sessionID,omitzero"`

	// TraceID filters on the id of the request that caused the record. A string,
	// or a list of strings of which any may match.
	// +optional
	TraceID Values `json:"traceID,omitzero"`

	// RequestID filters on the id of the authentication request. A string, or a
	// list of strings of which any may match.
	// +optional
	RequestID Values `json:"requestID,omitzero"`

	// TokenID filters on the id of the token. A string, or a list of strings of
	// which any may match.
	// +optional
	TokenID Values `json:"tokenID,omitzero"`

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
	// record. Words are runs of
	// letters and digits; case does not matter. At most 1024 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches(r'[\\p{L}\\p{Nd}]')",message="text must hold at least one letter or digit"
	Text string `json:"text,omitempty"`
}
