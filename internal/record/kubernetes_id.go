package record

import (
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// eventID is the identity of the record of a kind that an event gives. It is
// made from the event as it was sent, never from the client's audit id alone:
// whoever chooses that could make an action look like a duplicate of another.
// Its parts and their order never change.
func eventID(kind Kind, event *auditv1.Event, cluster string) ID {
	var ref auditv1.ObjectReference
	if event.ObjectRef != nil {
		ref = *event.ObjectRef
	}
	return newIdentity().text(string(kind)).text(identityVersion).
		text(cluster).text(string(event.Stage)).text(string(event.AuditID)).
		integer(microseconds(event.RequestReceivedTimestamp.Time)).
		integer(microseconds(event.StageTimestamp.Time)).
		text(event.User.Username).text(event.Verb).
		text(ref.APIGroup).text(ref.Resource).text(ref.Subresource).
		text(ref.Namespace).text(ref.Name).text(string(ref.UID)).
		text(event.RequestURI).id()
}

// microseconds is 0 for an absent time, which is not year 1 in any language
// that a verifier may be written in.
func microseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
