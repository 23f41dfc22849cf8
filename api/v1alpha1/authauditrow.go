package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AuthAuditRow is one authentication record in a status. A field that the
// record does not have is absent.
type AuthAuditRow struct {
	// ID is the record's id, 32 hex digits.
	// +required
	ID string `json:"id"`

	// Time is when it happened, in UTC, to the microsecond.
	// +required
	Time metav1.MicroTime `json:"time"`

	// IngestTime is when the record was taken in.
	// +optional
	IngestTime *metav1.MicroTime `json:"ingestTime,omitempty"`

	// UserID is who logged in.
	// +optional
	UserID string `json:"userID,omitempty"`

	// ActorType is the kind of actor: `Human`, `ServiceAccount`, `Node`,
	// `System`, `Anonymous` or `Unknown`.
	// +optional
	ActorType string `json:"actorType,omitempty"`

	// UpstreamUserID is the user's id at the upstream identity provider.
	// +optional
	UpstreamUserID string `json:"upstreamUserID,omitempty"`

	// UpstreamIDP is the name of the upstream identity provider, such as
	// `google`.
	// +optional
	UpstreamIDP string `json:"upstreamIDP,omitempty"`

	// OrgID is the organisation that the record belongs to.
	// +optional
	OrgID string `json:"orgID,omitempty"`

	// OrgName is the name of the organisation that the record belongs to.
	// +optional
	OrgName string `json:"orgName,omitempty"`

	// LoginOrgID is the organisation that the user tried to log in to.
	// +optional
	LoginOrgID string `json:"loginOrgID,omitempty"`

	// LoginOrgName is the name of the organisation that the user tried to log in
	// to.
	// +optional
	LoginOrgName string `json:"loginOrgName,omitempty"`

	// EventName is what happened, such as `Authentication Request` or `Token`.
	// +optional
	EventName string `json:"eventName,omitempty"`

	// Result is how it ended: `Success`, `Denied` or `Failure`.
	// +optional
	Result string `json:"result,omitempty"`

	// Event is the older name of result, with the same values.
	// +optional
	Event string `json:"event,omitempty"`

	// Stage is the older name of eventName, with the same values.
	// +optional
	Stage string `json:"stage,omitempty"`

	// ClientID is the OIDC client that was used to log in.
	// +optional
	ClientID string `json:"clientID,omitempty"`

	// ApplicationName is the application that was logged in to.
	// +optional
	ApplicationName string `json:"applicationName,omitempty"`

	// Issuer is who issued the token.
	// +optional
	Issuer string `json:"issuer,omitempty"`

	// Session is the session that began when the user started to log in.
	// +optional
	Session string `json:"session,omitempty"`

	// TraceID is the id of the request that caused the record.
	// +optional
	TraceID string `json:"traceID,omitempty"`

	// RequestID is the id of the authentication request.
	// +optional
	RequestID string `json:"requestID,omitempty"`

	// TokenID is the id of the token.
	// +optional
	TokenID string `json:"tokenID,omitempty"`

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
}
