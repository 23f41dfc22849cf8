package record

import (
	"slices"
	"sort"

	"auditquery.dev/auditquery/internal/query"
)

// Field is one row of the field table.
type Field struct {
	// Name is the field's name in JSON, in REST and in stores.
	Name string
	// CamelName is its name in Kubernetes types and field selectors.
	CamelName string
	// Type says which predicates it takes; 0 for fields that are not filtered.
	Type query.FieldType
	// Selective marks fields whose values are rare enough that a store
	// without an inverted index keeps an index on them.
	Selective bool

	common func(*Common) any
	audit  func(*Audit) any
	auth   func(*AuthAudit) any
}

// Filterable tells whether queries can name the field.
func (f Field) Filterable() bool { return f.Type != 0 }

// In tells whether records of a kind have the field.
func (f Field) In(kind Kind) bool {
	return f.common != nil || (kind == KindAudit && f.audit != nil) || (kind == KindAuthAudit && f.auth != nil)
}

// Pointer returns where r holds the field: a *string, *int64, *Timestamp, *ID,
// *json.RawMessage or *[]Attribute. It is nil when r's kind lacks the field.
func (f Field) Pointer(r Record) any {
	if f.common != nil {
		return f.common(r.Base())
	}
	switch r := r.(type) {
	case *Audit:
		if f.audit != nil {
			return f.audit(r)
		}
	case *AuthAudit:
		if f.auth != nil {
			return f.auth(r)
		}
	}
	return nil
}

// tables holds the table by kind: it is read for every record.
var tables = map[Kind][]Field{KindAudit: tableOf(KindAudit), KindAuthAudit: tableOf(KindAuthAudit)}

// Fields returns the fields of a kind, in the order of the table. The list is
// shared: read only.
func Fields(kind Kind) []Field { return tables[kind] }

func tableOf(kind Kind) []Field {
	return slices.DeleteFunc(table(), func(f Field) bool { return !f.In(kind) })
}

// table is the model's one list of fields. A test compares it with the structs.
func table() []Field {
	return slices.Concat(commonFields(), auditFields(), authAuditFields())
}

func commonFields() []Field {
	field := func(name, camel string, t query.FieldType, at func(*Common) any) Field {
		return Field{Name: name, CamelName: camel, Type: t, common: at}
	}
	return []Field{
		field("id", "id", query.Keyword, func(c *Common) any { return &c.ID }),
		field("time", "time", query.Time, func(c *Common) any { return &c.Time }),
		field("ingest_time", "ingestTime", query.Time, func(c *Common) any { return &c.IngestTime }),
		field("source_type", "sourceType", query.Keyword, func(c *Common) any { return &c.SourceType }),
		field("cluster", "cluster", query.Keyword, func(c *Common) any { return &c.Cluster }),
		selective(field("org_id", "orgID", query.Keyword, func(c *Common) any { return &c.OrgID })),
		selective(field("user_id", "userID", query.Keyword, func(c *Common) any { return &c.UserID })),
		field("actor_type", "actorType", query.Keyword, func(c *Common) any { return &c.ActorType }),
		selective(field("source_ip", "sourceIP", query.IP, func(c *Common) any { return &c.SourceIP })),
		field("user_agent", "userAgent", query.Keyword, func(c *Common) any { return &c.UserAgent }),
		selective(field("token_id", "tokenID", query.Keyword, func(c *Common) any { return &c.TokenID })),
		selective(field("trace_id", "traceID", query.Keyword, func(c *Common) any { return &c.TraceID })),
		selective(field("session", "session", query.Keyword, func(c *Common) any { return &c.Session })),
		field("details", "details", 0, func(c *Common) any { return &c.Details }),
	}
}

func auditFields() []Field {
	field := func(name, camel string, t query.FieldType, at func(*Audit) any) Field {
		return Field{Name: name, CamelName: camel, Type: t, audit: at}
	}
	return []Field{
		field("action", "action", query.Keyword, func(a *Audit) any { return &a.Action }),
		field("outcome", "outcome", query.Keyword, func(a *Audit) any { return &a.Outcome }),
		field("response_code", "responseCode", query.Integer, func(a *Audit) any { return &a.ResponseCode }),
		field("api_name", "apiName", query.Keyword, func(a *Audit) any { return &a.APIName }),
		field("target_resource_type", "targetResourceType", query.Keyword,
			func(a *Audit) any { return &a.TargetResourceType }),
		selective(field("target_resource_name", "targetResourceName", query.Keyword,
			func(a *Audit) any { return &a.TargetResourceName })),
		field("target_resource_org_id", "targetResourceOrgID", query.Keyword,
			func(a *Audit) any { return &a.TargetResourceOrgID }),
		selective(field("target_id", "targetID", query.Keyword, func(a *Audit) any { return &a.TargetID })),
		field("secondary_id", "secondaryID", query.Keyword, func(a *Audit) any { return &a.SecondaryID }),
		field("tertiary_id", "tertiaryID", query.Keyword, func(a *Audit) any { return &a.TertiaryID }),
		field("parent_id", "parentID", query.Keyword, func(a *Audit) any { return &a.ParentID }),
		field("grandparent_id", "grandparentID", query.Keyword, func(a *Audit) any { return &a.GrandparentID }),
		field("description", "description", 0, func(a *Audit) any { return &a.Description }),
		field("audit_attributes", "auditAttributes", 0, func(a *Audit) any { return &a.Attributes }),
	}
}

func authAuditFields() []Field {
	field := func(name, camel string, at func(*AuthAudit) any) Field {
		return Field{Name: name, CamelName: camel, Type: query.Keyword, auth: at}
	}
	return []Field{
		field("org_name", "orgName", func(a *AuthAudit) any { return &a.OrgName }),
		selective(field("upstream_user_id", "upstreamUserID", func(a *AuthAudit) any { return &a.UpstreamUserID })),
		field("upstream_idp", "upstreamIDP", func(a *AuthAudit) any { return &a.UpstreamIDP }),
		selective(field("login_org_id", "loginOrgID", func(a *AuthAudit) any { return &a.LoginOrgID })),
		field("login_org_name", "loginOrgName", func(a *AuthAudit) any { return &a.LoginOrgName }),
		field("event", "event", func(a *AuthAudit) any { return &a.Event }),
		field("event_name", "eventName", func(a *AuthAudit) any { return &a.EventName }),
		field("stage", "stage", func(a *AuthAudit) any { return &a.Stage }),
		field("result", "result", func(a *AuthAudit) any { return &a.Result }),
		selective(field("request_id", "requestID", func(a *AuthAudit) any { return &a.RequestID })),
		field("issuer", "issuer", func(a *AuthAudit) any { return &a.Issuer }),
		selective(field("client_id", "clientID", func(a *AuthAudit) any { return &a.ClientID })),
		field("application_name", "applicationName", func(a *AuthAudit) any { return &a.ApplicationName }),
	}
}

func selective(f Field) Field {
	f.Selective = true
	return f
}

// Schema describes one kind to package query. Make it once and keep it.
type Schema struct {
	kind   Kind
	fields map[string]Field
	names  []string
}

var _ query.Schema = (*Schema)(nil)

// NewSchema returns the schema of a kind.
func NewSchema(kind Kind) *Schema {
	s := &Schema{kind: kind, fields: map[string]Field{}}
	for _, f := range Fields(kind) {
		if f.Filterable() {
			s.fields[f.Name] = f
			s.names = append(s.names, f.Name)
		}
	}
	sort.Strings(s.names)
	return s
}

// Kind returns the kind that s describes.
func (s *Schema) Kind() Kind { return s.kind }

// FieldType returns the type of a filterable field.
func (s *Schema) FieldType(name string) (query.FieldType, bool) {
	f, ok := s.fields[name]
	return f.Type, ok
}

// FieldNames lists the filterable fields, sorted.
func (s *Schema) FieldNames() []string { return s.names }

// HasAttributes is true for Audit.
func (s *Schema) HasAttributes() bool { return s.kind == KindAudit }

// CanonicalText cuts text as attributes are cut.
func (s *Schema) CanonicalText(value string) string {
	cut, _ := cutKeyword(value)
	return cut
}

// Words splits text as records are split.
func (s *Schema) Words(text string) []string { return splitWords(text) }
