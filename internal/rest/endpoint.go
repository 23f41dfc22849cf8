package rest

import (
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// use says what a parameter is for.
type use int

const (
	// equality: the record's field has exactly this value.
	equality use = iota + 1
	// pageSize: the most records in the answer.
	pageSize
	// windowFrom and windowTo: a time expression.
	windowFrom
	windowTo
	// attributeType, attributeID and attributeOrg: one attribute of the record
	// has this value, or one of these where the parameter is repeatable. All
	// of a request's are about the same attribute.
	attributeType
	attributeID
	attributeOrg
	// pageToken: where an earlier answer's Link goes on.
	pageToken
	// refused: it narrows the answer elsewhere, so that to ignore it would
	// answer more than was asked.
	refused
)

// parameter is one row of an endpoint's table.
type parameter struct {
	name string
	use  use
	// field is the record's field that an equality compares.
	field string
	// repeatable parameters may be given up to query.MaxValues times.
	repeatable bool
	// description says what it does, for the OpenAPI document; of a refused
	// one, why it is refused.
	description string
	example     string
}

// selects tells whether the parameter chooses records, so that each page of one
// list must have the same.
func (p parameter) selects() bool { return p.use != pageSize && p.use != pageToken && p.use != refused }

// endpoint is one of the two lists.
type endpoint struct {
	// resource is the path's last part, and the resource that is authorized.
	resource string
	kind     record.Kind
	// list is the member of the answer that holds the records.
	list string
	// summary, operation and schema name the endpoint in the OpenAPI document
	// as the original API names it.
	summary, operation, namespacedOperation, answer, item string
	parameters                                            []parameter
	schema                                                *record.Schema
}

func endpoints() map[string]*endpoint {
	audits := &endpoint{
		resource: "audits", kind: record.KindAudit, list: "audits",
		summary: "View audit records", operation: "list_audits", namespacedOperation: "list_namespaced_audits",
		answer: "ListAuditsResponse", item: "Audit",
		parameters: auditParameters(), schema: record.NewSchema(record.KindAudit),
	}
	auth := &endpoint{
		resource: "auth_audits", kind: record.KindAuthAudit, list: "auth_audits",
		summary: "View authentication audit records", operation: "list_auth_records",
		namespacedOperation: "list_namespaced_auth_records",
		answer:              "ListAuthAuditsResponse", item: "AuthAudits",
		parameters: authAuditParameters(), schema: record.NewSchema(record.KindAuthAudit),
	}
	return map[string]*endpoint{audits.resource: audits, auth.resource: auth}
}

func equals(name, description, example string) parameter {
	return parameter{name: name, use: equality, field: name, description: description, example: example}
}

func commonParameters() []parameter {
	const window = " A time expression in UTC, such as `now`, `today`, `now-1day` or `2026-11-01 10:00`."
	return []parameter{
		{name: "limit", use: pageSize, description: "The most records in the answer."},
		equals("user_id", "The user who acted.", "1234"),
		{name: "dt_from", use: windowFrom, description: "Records from then on, inclusive." + window, example: "now-1day"},
		{name: "dt_to", use: windowTo, description: "Records before then, exclusive." + window, example: "now"},
		equals("org_id", "The organisation that the record belongs to. On the server's own address it also "+
			"narrows the permission that is needed to the namespace that claims the organisation.", "1234"),
		{name: "page_token", use: pageToken, description: "Where an earlier answer ended, from its Link header. " +
			"The parameters that select records are then the same as before, or left out."},
		refusal("fieldSelector"), refusal("labelSelector"),
	}
}

const noSelectors = "these endpoints have no selectors; each field has a parameter of its own"

// refusal refuses the selectors of Kubernetes. An authorizer may have allowed the
// request only because of them.
func refusal(name string) parameter {
	return parameter{name: name, use: refused, description: noSelectors}
}

func auditParameters() []parameter {
	one := func(name string, use use, description, example string) parameter {
		return parameter{name: name, use: use, description: description, example: example}
	}
	many := func(name string, use use, description, example string) parameter {
		return parameter{name: name, use: use, repeatable: true, description: description, example: example}
	}
	return append(commonParameters(),
		equals("action", "What was done.", "delete"),
		equals("target_id", "The target's id, such as the jti of a token that was made.", "1234"),
		equals("token_id", "The id of the bearer token that was used.", "123"),
		equals("api_name", "The API that wrote the record.", "apps"),
		equals("target_resource_type", "The type of the target.", "deployments"),
		one("attribute_type", attributeType, "The type of one of the record's attributes.", "group"),
		one("attribute_id", attributeID, "The id of the attribute.", "g-17"),
		one("attribute_org_id", attributeOrg, "The organisation of the attribute.", "1234"),
		many("attribute_type_list", attributeType, "Types, of which the attribute has one.", "group"),
		many("attribute_id_list", attributeID, "Ids, of which the attribute has one.", "g-17"),
		parameter{
			name: "resources_behind_connector_id", use: refused,
			description: "this server knows no connectors; name the resources with attribute_type_list and attribute_id_list",
		},
	)
}

func authAuditParameters() []parameter {
	return append(commonParameters(),
		parameter{
			name: "session_id", use: equality, field: "session",
			description: "The session that began when the user started to log in.", example: "1234",
		},
		equals("trace_id", "The request that triggered the event.", "1234-abcd"),
		equals("upstream_user_id", "The user's id at the identity provider.", "1234-abcd"),
		equals("upstream_idp", "The name of the identity provider.", "google"),
		equals("login_org_id", "The organisation that the user tried to log in to.", "1234"),
		equals("source_ip", "The address of the device, IPv4 or IPv6.", "192.0.2.3"),
		equals("client_id", "The OpenID Connect client that was used.", "my-client-123"),
		equals("event", "The event that triggered the record.", "Success"),
		equals("stage", "The stage of the login.", "Login"),
		equals("request_id", "The id of the request.", "1234-abcd"),
		equals("result", "How it ended.", "Success"),
		equals("event_name", "The name of the event.", "Authentication Request"),
	)
}

// Bounds and defaults of a request.
const (
	// DefaultLimit is the limit of a request that gives none.
	DefaultLimit = 500
	// MaxLimit is the highest limit that is accepted; the lowest is 1.
	MaxLimit = query.MaxLimit
	// MaxQueryBytes is the longest query string that is accepted, with
	// everything quoted. It comes back in a Link header, together with a
	// token, and clients bound headers.
	MaxQueryBytes = 32 << 10
)
