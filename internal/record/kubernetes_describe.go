package record

import (
	"strconv"
	"strings"
	"unicode"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// maxNameInSentence is how much of a name a description shows; the whole is in
// a field of its own.
const maxNameInSentence = 253

// deed is a verb in the forms that sentences need.
type deed struct{ infinitive, past string }

// describe says in one English sentence what happened:
// alice deleted deployments.apps "web" in shop (200).
func (e eventReader) describe() string {
	who, code := e.who(), e.codeSuffix()
	if responseCode(e.Event) == 401 {
		return who + " failed to authenticate" + prefixed(" from ", e.sourceIP()) + code
	}
	d, object := e.deed(), e.object()
	switch {
	case e.Stage == auditv1.StagePanic:
		return who + " failed to " + d.infinitive + " " + object + ": the server panicked" + code
	case e.outcome() == OutcomeDenied:
		return who + " was not allowed to " + d.infinitive + " " + object + code
	case e.outcome() == OutcomeFailure:
		return who + " failed to " + d.infinitive + " " + object + code
	case isSession(e.Event) && e.Stage == auditv1.StageResponseStarted:
		return who + " " + d.past + " " + object
	default:
		return who + " " + d.past + " " + object + code
	}
}

func (e eventReader) who() string {
	who := inSentence(e.User.Username)
	switch actorType(e.User.Username) {
	case ActorUnknown:
		who = "someone"
	case ActorAnonymous:
		who = "an anonymous client"
	}
	if e.ImpersonatedUser != nil {
		who += " as " + inSentence(e.ImpersonatedUser.Username)
	}
	return who
}

func (e eventReader) codeSuffix() string {
	suffix := ""
	if e.isDryRun() {
		suffix = ", as a dry run"
	}
	if code := responseCode(e.Event); code != 0 {
		suffix += " (" + strconv.FormatInt(code, 10) + ")"
	}
	return suffix
}

// deed names the verb, with the subresource where that is the real object:
// "opened exec on", "updated status of".
func (e eventReader) deed() deed {
	if e.ObjectRef == nil {
		return deed{"call " + strings.ToUpper(e.Verb), "called " + strings.ToUpper(e.Verb)}
	}
	subresource := inSentence(e.ObjectRef.Subresource)
	switch {
	case isTokenRequest(e.Event):
		return deed{"create a token for", "created a token for"}
	case isSession(e.Event):
		if e.Stage == auditv1.StageResponseStarted {
			return deed{"open " + subresource + " on", "opened " + subresource + " on"}
		}
		return deed{"open " + subresource + " on", "ended " + subresource + " on"}
	}
	d := plainDeed(e.Verb)
	if subresource != "" {
		d.infinitive += " " + subresource + " of"
		d.past += " " + subresource + " of"
	}
	return d
}

func plainDeed(verb string) deed {
	switch verb {
	case "get":
		return deed{"read", "read"}
	case "list":
		return deed{"list", "listed"}
	case "watch":
		return deed{"watch", "watched"}
	case "create":
		return deed{"create", "created"}
	case "update":
		return deed{"update", "updated"}
	case "patch":
		return deed{"patch", "patched"}
	case "delete":
		return deed{"delete", "deleted"}
	case "deletecollection":
		return deed{"delete a collection of", "deleted a collection of"}
	case "connect":
		return deed{"connect to", "connected to"}
	default:
		return deed{"do " + inSentence(verb) + " on", "did " + inSentence(verb) + " on"}
	}
}

// object is the thing in kubectl's words: deployments.apps "web" in shop.
func (e eventReader) object() string {
	ref := e.ObjectRef
	if ref == nil {
		path, _, _ := strings.Cut(e.RequestURI, "?")
		return inSentence(ScrubURI(cutAt(path, maxScrubbed)))
	}
	object := inSentence(ref.Resource)
	if ref.APIGroup != "" {
		object += "." + inSentence(ref.APIGroup)
	}
	if ref.Name != "" {
		object += " " + strconv.Quote(clipName(scrubBounded(ref.Name)))
	}
	if namespace := ref.Namespace; namespace != "" && (ref.Resource != "namespaces" || ref.APIGroup != "") {
		object += " in " + inSentence(namespace)
	}
	return object
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + inSentence(text)
}

// inSentence shortens a name, and quotes it if it could pass for other words.
func inSentence(name string) string {
	name = clipName(name)
	if isOneWord(name) { // nearly always
		return name
	}
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' }) {
		return strconv.Quote(name)
	}
	return name
}

// isOneWord tells whether a name has only printable ASCII and no quotes.
func isOneWord(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == '"' {
			return false
		}
	}
	return true
}

func clipName(name string) string {
	if len(name) <= maxNameInSentence {
		return name
	}
	return cutAt(name, maxNameInSentence) + "…"
}
