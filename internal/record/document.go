package record

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Nearly every document has this size beside its details, and has so few words:
// with room for them nothing is copied because it grows.
const (
	usualDocument = 1024
	usualWords    = 16
)

// AppendDocument appends the JSON of a record that passed Normalize: the bytes
// that Encode returns, at a quarter of its cost, because Normalize has made sure
// of details in their canonical form. Stores write every record with it.
func AppendDocument(b []byte, r Record) []byte {
	switch r := r.(type) {
	case *Audit:
		b = appendCommon(b, &r.Common)
		b = appendText(b, `,"action":`, r.Action)
		b = appendText(b, `,"outcome":`, r.Outcome)
		b = appendInteger(b, `,"response_code":`, r.ResponseCode)
		b = appendText(b, `,"api_name":`, r.APIName)
		b = appendText(b, `,"target_resource_type":`, r.TargetResourceType)
		b = appendText(b, `,"target_resource_name":`, r.TargetResourceName)
		b = appendText(b, `,"target_resource_org_id":`, r.TargetResourceOrgID)
		b = appendText(b, `,"target_id":`, r.TargetID)
		b = appendText(b, `,"secondary_id":`, r.SecondaryID)
		b = appendText(b, `,"tertiary_id":`, r.TertiaryID)
		b = appendText(b, `,"parent_id":`, r.ParentID)
		b = appendText(b, `,"grandparent_id":`, r.GrandparentID)
		b = appendText(b, `,"description":`, r.Description)
		b = appendAttributes(b, r.Attributes)
	case *AuthAudit:
		b = appendCommon(b, &r.Common)
		b = appendText(b, `,"org_name":`, r.OrgName)
		b = appendText(b, `,"upstream_user_id":`, r.UpstreamUserID)
		b = appendText(b, `,"upstream_idp":`, r.UpstreamIDP)
		b = appendText(b, `,"login_org_id":`, r.LoginOrgID)
		b = appendText(b, `,"login_org_name":`, r.LoginOrgName)
		b = appendText(b, `,"event":`, r.Event)
		b = appendText(b, `,"event_name":`, r.EventName)
		b = appendText(b, `,"stage":`, r.Stage)
		b = appendText(b, `,"result":`, r.Result)
		b = appendText(b, `,"request_id":`, r.RequestID)
		b = appendText(b, `,"issuer":`, r.Issuer)
		b = appendText(b, `,"client_id":`, r.ClientID)
		b = appendText(b, `,"application_name":`, r.ApplicationName)
	}
	return append(b, '}')
}

func appendCommon(b []byte, c *Common) []byte {
	b = appendIdentity(b, c.ID, c.Time)
	b = append(b, `,"ingest_time":"`...)
	b = c.IngestTime.append(b)
	b = append(b, '"')
	b = appendText(b, `,"source_type":`, c.SourceType)
	b = appendText(b, `,"cluster":`, c.Cluster)
	b = appendText(b, `,"org_id":`, c.OrgID)
	b = appendText(b, `,"user_id":`, c.UserID)
	b = appendText(b, `,"actor_type":`, c.ActorType)
	b = appendText(b, `,"source_ip":`, c.SourceIP)
	b = appendText(b, `,"user_agent":`, c.UserAgent)
	b = appendText(b, `,"token_id":`, c.TokenID)
	b = appendText(b, `,"trace_id":`, c.TraceID)
	b = appendText(b, `,"session":`, c.Session)
	if len(c.Details) > len(`{}`) {
		b = append(b, `,"details":`...)
		b = append(b, c.Details...)
	}
	return b
}

// appendIdentity appends what every document begins with.
func appendIdentity(b []byte, id ID, at Timestamp) []byte {
	b = append(b, `{"id":"`...)
	b = AppendID(b, id)
	b = append(b, `","time":"`...)
	return append(at.append(b), '"')
}

// AppendID appends the 32 hex digits of an id.
func AppendID(b []byte, id ID) []byte {
	const digits = "0123456789abcdef"
	for _, octet := range id {
		b = append(b, digits[octet>>4], digits[octet&15])
	}
	return b
}

func appendText(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendQuoted(append(b, name...), value)
}

func appendInteger(b []byte, name string, value int64) []byte {
	if value == 0 {
		return b
	}
	return strconv.AppendInt(append(b, name...), value, 10)
}

func appendAttributes(b []byte, attributes []Attribute) []byte {
	if len(attributes) == 0 {
		return b
	}
	b = append(b, `,"audit_attributes":[`...)
	for i, a := range attributes {
		if i > 0 {
			b = append(b, ',')
		}
		// Each part brings the comma before it; the first one's becomes the brace.
		start := len(b)
		b = appendText(b, `,"attribute_type":`, a.Type)
		b = appendText(b, `,"attribute_id":`, a.ID)
		b = appendText(b, `,"attribute_org_id":`, a.OrgID)
		b = appendText(b, `,"attribute_name":`, a.Name)
		if len(b) == start {
			b = append(b, ',')
		}
		b[start] = '{'
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendQuoted appends text as a JSON string. What is not UTF-8 is replaced.
func appendQuoted(b []byte, text string) []byte {
	for i := range len(text) {
		if !letters[text[i]] {
			quoted, _ := jsontext.AppendQuote(b, text) // fails on invalid UTF-8 alone
			return quoted
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}
