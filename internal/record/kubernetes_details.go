package record

import (
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	decisionKey = "authorization.k8s.io/decision"
	reasonKey   = "authorization.k8s.io/reason"

	// maxScrubbed is how much of a client's text is looked at. It is more than
	// is kept, so that Normalize sees that something was cut.
	maxScrubbed = 2 * MaxKeywordBytes
)

// writeDetails writes everything of an event that no field of the record has. Members
// are ordered by worth, since the last are dropped first when details are too large.
// canonical says that it is surely as Normalize would have it: small enough, and
// nothing of it was taken over as JSON.
func (e eventReader) writeDetails() (details []byte, canonical bool) {
	const usual = 1280
	d := detailsWriter{out: append(make([]byte, 0, usual), '{')}
	d.text("level", string(e.Level))
	d.textOrEmpty("stage", string(e.Stage))
	if !e.StageTimestamp.IsZero() {
		d.time("stage_timestamp", At(e.StageTimestamp.Time))
	}
	d.text("request_uri", cutMarked(ScrubURI(cutAt(e.RequestURI, maxScrubbed))))
	d.text("decision", e.Annotations[decisionKey])
	d.text("reason", ScrubText(e.Annotations[reasonKey]))
	d.flag("dry_run", e.isDryRun())
	d.texts("groups", e.User.Groups)
	d.text("user_uid", e.User.UID)
	d.extra("user_extra", e.User.Extra)
	if e.ImpersonatedUser != nil {
		d.user("impersonated_user", e.ImpersonatedUser)
	}
	if e.AuthenticationMetadata != nil {
		d.text("impersonation_constraint", e.AuthenticationMetadata.ImpersonationConstraint)
	}
	d.texts("source_ips", e.SourceIPs)
	if e.ObjectRef != nil {
		d.reference("object", e.ObjectRef)
	}
	if e.ResponseStatus != nil {
		d.status("response", e.ResponseStatus)
	}
	d.annotations("annotations", e.Annotations, e.ofSecret())
	if e.options.StoreBodies {
		e.bodies(&d)
	}
	d.out = append(d.out, '}')
	return d.out, !d.foreign && len(d.out) <= MaxDetailsBytes
}

func (e eventReader) bodies(d *detailsWriter) {
	omitted := map[string]string{}
	request := e.body("request_object", e.RequestObject, omitted)
	response := e.body("response_object", e.ResponseObject, omitted)
	d.object("omitted_bodies", func() {
		for _, name := range slices.Sorted(maps.Keys(omitted)) {
			d.text(name, omitted[name])
		}
	})
	d.value("request_object", request)
	d.value("response_object", response)
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
