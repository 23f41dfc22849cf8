package record

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	authnv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// scannedDepth is how deep an event nests without its bodies.
const scannedDepth = 4

// scanEvent decodes an event as a kube-apiserver writes it, into what decodeEvent
// makes of it. See scanner on what false means.
func scanEvent(data []byte, depth int) (*auditv1.Event, bool) {
	if len(data) > maxScanned || depth < scannedDepth {
		return nil, false
	}
	const usualTexts = 16
	e := eventScanner{scanner: scanner{text: string(data)}, event: &auditv1.Event{},
		list: make([]string, 0, usualTexts), depth: depth - 1}
	if !e.object(e.member) || !e.ended() {
		return nil, false
	}
	return e.event, true
}

type eventScanner struct {
	scanner
	event *auditv1.Event
	// list holds the items of every list of texts.
	list []string
	// depth is how deep the value of a member may nest.
	depth int
}

func (e *eventScanner) member(name string) bool {
	event := e.event
	switch name {
	case "kind":
		return e.set(&event.Kind)
	case "apiVersion":
		return e.set(&event.APIVersion)
	case "level":
		return e.set((*string)(&event.Level))
	case "auditID":
		return e.set((*string)(&event.AuditID))
	case "stage":
		return e.set((*string)(&event.Stage))
	case "requestURI":
		return e.set(&event.RequestURI)
	case "verb":
		return e.set(&event.Verb)
	case "user":
		return e.user(&event.User)
	case "impersonatedUser":
		event.ImpersonatedUser = &authnv1.UserInfo{}
		return e.user(event.ImpersonatedUser)
	case "authenticationMetadata":
		event.AuthenticationMetadata = &auditv1.AuthenticationMetadata{}
		return e.object(func(name string) bool {
			return name == "impersonationConstraint" && e.set(&event.AuthenticationMetadata.ImpersonationConstraint)
		})
	case "sourceIPs":
		return e.texts(&event.SourceIPs)
	case "userAgent":
		return e.set(&event.UserAgent)
	case "objectRef":
		event.ObjectRef = &auditv1.ObjectReference{}
		return e.reference(event.ObjectRef)
	case "responseStatus":
		event.ResponseStatus = &metav1.Status{}
		return e.status(event.ResponseStatus)
	case "requestObject":
		return e.body(&event.RequestObject)
	case "responseObject":
		return e.body(&event.ResponseObject)
	case "requestReceivedTimestamp":
		return e.time(&event.RequestReceivedTimestamp)
	case "stageTimestamp":
		return e.time(&event.StageTimestamp)
	case "annotations":
		return e.annotations(&event.Annotations)
	default:
		return false
	}
}

func (e *eventScanner) user(user *authnv1.UserInfo) bool {
	return e.object(func(name string) bool {
		switch name {
		case "username":
			return e.set(&user.Username)
		case "uid":
			return e.set(&user.UID)
		case "groups":
			return e.texts(&user.Groups)
		case "extra":
			user.Extra = map[string]authnv1.ExtraValue{}
			return e.object(func(name string) bool {
				var values []string
				ok := e.texts(&values)
				user.Extra[name] = values
				return ok
			})
		default:
			return false
		}
	})
}

func (e *eventScanner) reference(ref *auditv1.ObjectReference) bool {
	return e.object(func(name string) bool {
		switch name {
		case "resource":
			return e.set(&ref.Resource)
		case "namespace":
			return e.set(&ref.Namespace)
		case "name":
			return e.set(&ref.Name)
		case "uid":
			return e.set((*string)(&ref.UID))
		case "apiGroup":
			return e.set(&ref.APIGroup)
		case "apiVersion":
			return e.set(&ref.APIVersion)
		case "resourceVersion":
			return e.set(&ref.ResourceVersion)
		case "subresource":
			return e.set(&ref.Subresource)
		default:
			return false
		}
	})
}

func (e *eventScanner) status(status *metav1.Status) bool {
	return e.object(func(name string) bool {
		switch name {
		case "metadata":
			return e.take('{') && e.take('}')
		case "status":
			return e.set(&status.Status)
		case "message":
			return e.set(&status.Message)
		case "reason":
			return e.set((*string)(&status.Reason))
		case "code":
			return e.integer(&status.Code)
		case "details":
			// It comes with failures alone, and has more members than are
			// worth a list here.
			raw, ok := e.value(e.depth - 1)
			return ok && json.Unmarshal([]byte(raw), &status.Details,
				jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) == nil
		default:
			return false
		}
	})
}

func (e *eventScanner) texts(at *[]string) bool {
	start := len(e.list)
	ok := e.array(func() bool {
		text, ok := e.string()
		e.list = append(e.list, text)
		return ok
	})
	*at = e.list[start:len(e.list):len(e.list)]
	return ok
}

func (e *eventScanner) annotations(at *map[string]string) bool {
	annotations := map[string]string{}
	*at = annotations
	return e.object(func(name string) bool {
		text, ok := e.string()
		annotations[name] = text
		return ok
	})
}

func (e *eventScanner) integer(at *int32) bool {
	e.space()
	start := e.at
	if !e.scalar() {
		return false
	}
	n, err := strconv.ParseInt(e.text[start:e.at], 10, 32)
	*at = int32(n)
	return err == nil && !strings.HasPrefix(e.text[start:e.at], "-")
}

// time takes the form that a kube-apiserver writes.
func (e *eventScanner) time(at *metav1.MicroTime) bool {
	raw, plain, ok := e.rawString()
	if !ok || !plain {
		return false
	}
	instant, ok := parseFixed(unquoted(raw))
	// As MicroTime's own decoder has it.
	at.Time = instant.Time().Local()
	return ok
}

func (e *eventScanner) body(at **runtime.Unknown) bool {
	if e.peek() == 'n' {
		return false
	}
	raw, ok := e.value(e.depth)
	*at = &runtime.Unknown{Raw: []byte(raw), ContentType: runtime.ContentTypeJSON}
	return ok
}
