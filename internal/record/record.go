// Package record is the record model: what an audit record is, which fields it
// has, how it is normalised, how its identity is made, how a Kubernetes audit
// event becomes one, and how it is written as JSON.
//
// Everything that other packages need to know of a field is in one table
// (fields.go). Stores, field labels, REST parameters and documents are derived
// from it or checked against it.
package record

import (
	"encoding/json"

	"auditquery.dev/auditquery/internal/query"
)

// Kind names a kind of record.
type Kind = query.Kind

// The kinds of record.
const (
	KindAudit     Kind = "Audit"
	KindAuthAudit Kind = "AuthAudit"
)

// Kinds lists every kind of record.
func Kinds() []Kind { return []Kind{KindAudit, KindAuthAudit} }

// Where a record came from.
const (
	SourceKubernetes = "Kubernetes"
	SourceBulk       = "Bulk"
	SourceImport     = "Import"
	// SourceAuditQuery: we wrote it ourselves, of what we did.
	SourceAuditQuery = "AuditQuery"
)

// Record is an *Audit or an *AuthAudit.
type Record interface {
	// Kind tells which of the two it is.
	Kind() Kind
	// Base is the part that both kinds share.
	Base() *Common
}

// Common holds the fields of both kinds. Empty text means that the field is
// absent.
type Common struct {
	// ID is the record's identity, see ID.
	ID ID `json:"id"`
	// Time is when it happened.
	Time Timestamp `json:"time"`
	// IngestTime is when we took it in. Two records that differ only in it
	// are the same record.
	IngestTime Timestamp `json:"ingest_time"`
	SourceType string    `json:"source_type,omitempty"`
	Cluster    string    `json:"cluster,omitempty"`
	OrgID      string    `json:"org_id,omitempty"`
	UserID     string    `json:"user_id,omitempty"`
	ActorType  string    `json:"actor_type,omitempty"`
	SourceIP   string    `json:"source_ip,omitempty"`
	UserAgent  string    `json:"user_agent,omitempty"`
	TokenID    string    `json:"token_id,omitempty"`
	TraceID    string    `json:"trace_id,omitempty"`
	Session    string    `json:"session,omitempty"`
	// Details is a free-form JSON object, stored but not searched; nil when
	// absent. At most MaxDetailsBytes and MaxDetailsDepth after Normalize.
	Details json.RawMessage `json:"details,omitempty"`
}

// Base returns c.
func (c *Common) Base() *Common { return c }

// Audit is one action on one thing.
type Audit struct {
	Common
	Action              string `json:"action,omitempty"`
	Outcome             string `json:"outcome,omitempty"`
	ResponseCode        int64  `json:"response_code,omitzero"`
	APIName             string `json:"api_name,omitempty"`
	TargetResourceType  string `json:"target_resource_type,omitempty"`
	TargetResourceName  string `json:"target_resource_name,omitempty"`
	TargetResourceOrgID string `json:"target_resource_org_id,omitempty"`
	TargetID            string `json:"target_id,omitempty"`
	SecondaryID         string `json:"secondary_id,omitempty"`
	TertiaryID          string `json:"tertiary_id,omitempty"`
	ParentID            string `json:"parent_id,omitempty"`
	GrandparentID       string `json:"grandparent_id,omitempty"`
	Description         string `json:"description,omitempty"`
	// Attributes are further things that the action concerned, at most
	// MaxAttributes.
	Attributes []Attribute `json:"audit_attributes,omitempty"`
}

// Attribute names a thing that an action concerned.
type Attribute struct {
	Type  string `json:"attribute_type,omitempty"`
	ID    string `json:"attribute_id,omitempty"`
	OrgID string `json:"attribute_org_id,omitempty"`
	Name  string `json:"attribute_name,omitempty"`
}

// Kind returns KindAudit.
func (*Audit) Kind() Kind { return KindAudit }

// AuthAudit is one step of a login or of the use of a credential.
type AuthAudit struct {
	Common
	OrgName         string `json:"org_name,omitempty"`
	UpstreamUserID  string `json:"upstream_user_id,omitempty"`
	UpstreamIDP     string `json:"upstream_idp,omitempty"`
	LoginOrgID      string `json:"login_org_id,omitempty"`
	LoginOrgName    string `json:"login_org_name,omitempty"`
	Event           string `json:"event,omitempty"`
	EventName       string `json:"event_name,omitempty"`
	Stage           string `json:"stage,omitempty"`
	Result          string `json:"result,omitempty"`
	RequestID       string `json:"request_id,omitempty"`
	Issuer          string `json:"issuer,omitempty"`
	ClientID        string `json:"client_id,omitempty"`
	ApplicationName string `json:"application_name,omitempty"`
}

// Kind returns KindAuthAudit.
func (*AuthAudit) Kind() Kind { return KindAuthAudit }

// New returns an empty record of a kind, nil for an unknown kind.
func New(kind Kind) Record {
	switch kind {
	case KindAudit:
		return &Audit{}
	case KindAuthAudit:
		return &AuthAudit{}
	default:
		return nil
	}
}
