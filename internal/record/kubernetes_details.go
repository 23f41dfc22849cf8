package record

import (
	stdjson "encoding/json"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	authnv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

const (
	decisionKey = "authorization.k8s.io/decision"
	reasonKey   = "authorization.k8s.io/reason"

	// maxScrubbed is how much of a client's text is looked at. It is more than
	// is kept, so that Normalize sees that something was cut.
	maxScrubbed = 2 * MaxKeywordBytes
)

// eventDetails is what details hold of an event: everything that no field of
// the record has. Members are ordered by worth, since the last are dropped first
// when details are too large.
type eventDetails struct {
	Level          string            `json:"level,omitzero"`
	Stage          string            `json:"stage"`
	StageTimestamp Timestamp         `json:"stage_timestamp,omitzero"`
	RequestURI     string            `json:"request_uri,omitzero"`
	Decision       string            `json:"decision,omitzero"`
	Reason         string            `json:"reason,omitzero"`
	DryRun         bool              `json:"dry_run,omitzero"`
	Groups         []string          `json:"groups,omitempty"`
	UserUID        string            `json:"user_uid,omitzero"`
	UserExtra      extraDetails      `json:"user_extra,omitempty"`
	Impersonated   *userDetails      `json:"impersonated_user,omitempty"`
	Constraint     string            `json:"impersonation_constraint,omitzero"`
	SourceIPs      []string          `json:"source_ips,omitempty"`
	Object         *objectDetails    `json:"object,omitempty"`
	Response       *responseDetails  `json:"response,omitempty"`
	Annotations    map[string]string `json:"annotations,omitempty"`
	OmittedBodies  map[string]string `json:"omitted_bodies,omitempty"`
	RequestObject  jsontext.Value    `json:"request_object,omitempty"`
	ResponseObject jsontext.Value    `json:"response_object,omitempty"`
}

type extraDetails map[string][]string

type userDetails struct {
	Username string       `json:"username"`
	UID      string       `json:"uid,omitzero"`
	Groups   []string     `json:"groups,omitempty"`
	Extra    extraDetails `json:"extra,omitempty"`
}

type objectDetails struct {
	APIVersion      string `json:"api_version,omitzero"`
	ResourceVersion string `json:"resource_version,omitzero"`
	UID             string `json:"uid,omitzero"`
}

type responseDetails struct {
	Status  string         `json:"status,omitzero"`
	Message string         `json:"message,omitzero"`
	Reason  string         `json:"reason,omitzero"`
	Details jsontext.Value `json:"details,omitempty"`
}

func (e eventReader) details() ([]byte, error) {
	d := eventDetails{
		Level:       string(e.Level),
		Stage:       string(e.Stage),
		RequestURI:  cutMarked(ScrubURI(cutAt(e.RequestURI, maxScrubbed))),
		Decision:    e.Annotations[decisionKey],
		Reason:      ScrubText(e.Annotations[reasonKey]),
		DryRun:      e.isDryRun(),
		Groups:      e.User.Groups,
		UserUID:     e.User.UID,
		UserExtra:   scrubExtra(e.User.Extra),
		SourceIPs:   e.SourceIPs,
		Object:      objectLeftovers(e.ObjectRef),
		Response:    responseLeftovers(e.ResponseStatus),
		Annotations: e.scrubAnnotations(),
	}
	if !e.StageTimestamp.IsZero() {
		d.StageTimestamp = At(e.StageTimestamp.Time)
	}
	if user := e.ImpersonatedUser; user != nil {
		d.Impersonated = &userDetails{Username: user.Username, UID: user.UID, Groups: user.Groups, Extra: scrubExtra(user.Extra)}
	}
	if e.AuthenticationMetadata != nil {
		d.Constraint = e.AuthenticationMetadata.ImpersonationConstraint
	}
	if e.options.StoreBodies {
		d.OmittedBodies = map[string]string{}
		d.RequestObject = e.body("request_object", e.RequestObject, d.OmittedBodies)
		d.ResponseObject = e.body("response_object", e.ResponseObject, d.OmittedBodies)
	}
	data, err := json.Marshal(d, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, fmt.Errorf("encode details of audit event: %w", err)
	}
	return data, nil
}

// body returns a scrubbed body, or nil and the reason in omitted.
func (e eventReader) body(name string, object *runtime.Unknown, omitted map[string]string) jsontext.Value {
	if object == nil || len(object.Raw) == 0 {
		return nil
	}
	if len(object.Raw) > MaxDetailsBytes {
		omitted[name] = fmt.Sprintf("%d bytes are too many", len(object.Raw))
		return nil
	}
	scrubbed, err := ScrubJSON(object.Raw, e.ofSecret())
	if err != nil {
		// Not its text: what cannot be scrubbed may hold anything.
		omitted[name] = "cannot be scrubbed"
		return nil
	}
	return scrubbed
}

// ofSecret tells whether bodies are Secrets, or patches of one.
func (e eventReader) ofSecret() bool {
	return e.ObjectRef != nil && e.ObjectRef.APIGroup == "" && e.ObjectRef.Resource == "secrets"
}

func scrubExtra(extra map[string]authnv1.ExtraValue) extraDetails {
	if len(extra) == 0 {
		return nil
	}
	scrubbed := extraDetails{}
	for key, values := range extra {
		for _, value := range values {
			scrubbed[key] = append(scrubbed[key], scrubNamed(key, value, false))
		}
	}
	return scrubbed
}

// scrubAnnotations leaves out what has a member of its own. What admission
// webhooks patched can be in an annotation too.
func (e eventReader) scrubAnnotations() map[string]string {
	scrubbed := map[string]string{}
	for key, value := range e.Annotations {
		if key != decisionKey && key != reasonKey {
			scrubbed[key] = scrubNamed(key, value, e.ofSecret())
		}
	}
	return scrubbed
}

// scrubNamed scrubs a value whose name may say that it is a secret. secret says
// that it is about a Secret.
func scrubNamed(name, value string, secret bool) string {
	switch {
	case value == "", name == credentialIDKey, name == issuedCredentialIDKey:
		return value
	case name == lastApplied, isSecretName(name):
		return Redacted
	default:
		return scrubEmbedded(value, secret, 0)
	}
}

func objectLeftovers(ref *auditv1.ObjectReference) *objectDetails {
	if ref == nil {
		return nil
	}
	left := objectDetails{APIVersion: ref.APIVersion, ResourceVersion: ref.ResourceVersion, UID: string(ref.UID)}
	if left == (objectDetails{}) {
		return nil
	}
	return &left
}

func responseLeftovers(status *metav1.Status) *responseDetails {
	if status == nil {
		return nil
	}
	left := &responseDetails{
		Status:  status.Status,
		Message: cutMarked(scrubBounded(status.Message)),
		Reason:  string(status.Reason),
	}
	if status.Details != nil {
		// encoding/json, whose tags these types are written for.
		if data, err := stdjson.Marshal(status.Details); err == nil {
			if scrubbed, err := ScrubJSON(data, false); err == nil {
				left.Details = scrubbed
			}
		}
	}
	if left.Status == "" && left.Message == "" && left.Reason == "" && left.Details == nil {
		return nil
	}
	return left
}

// scrubBounded scrubs a text that a client can make as long as it likes, and of
// which no more is kept anyway.
func scrubBounded(text string) string { return ScrubText(cutAt(text, maxScrubbed)) }

// cutMarked shortens text that would push everything else out of details, and
// shows that it did.
func cutMarked(text string) string {
	short, cut := cutKeyword(text)
	if cut {
		short += "…"
	}
	return short
}
