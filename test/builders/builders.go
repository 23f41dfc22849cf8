// Package builders makes records and audit events for tests: each starts valid,
// and a test changes what it is about.
package builders

import (
	"encoding/json"
	"time"

	authnv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"auditquery.dev/auditquery/internal/record"
)

// Time is when everything that is built happened, unless a test says otherwise.
func Time() time.Time { return time.Date(2026, 11, 2, 10, 30, 0, 123456000, time.UTC) }

// Audit returns an application's audit record with an id, normalised.
func Audit(modify ...func(*record.Audit)) *record.Audit {
	a := &record.Audit{
		Common:             common(),
		Action:             "update",
		Outcome:            record.OutcomeSuccess,
		ResponseCode:       200,
		APIName:            "applications",
		TargetResourceType: "application",
		TargetResourceName: "intranet",
		TargetID:           "app-1",
		Description:        "alice updated the application intranet",
		Attributes:         []record.Attribute{{Type: "group", ID: "g-1", OrgID: "org-1", Name: "staff"}},
	}
	for _, m := range modify {
		m(a)
	}
	finish(a)
	return a
}

// AuthAudit returns a login's record with an id, normalised.
func AuthAudit(modify ...func(*record.AuthAudit)) *record.AuthAudit {
	a := &record.AuthAudit{
		Common:         common(),
		OrgName:        "Org One",
		UpstreamUserID: "alice@idp",
		UpstreamIDP:    "google",
		Event:          "Success",
		EventName:      "Login",
		Stage:          "Login",
		Result:         record.OutcomeSuccess,
		ClientID:       "client-1",
	}
	for _, m := range modify {
		m(a)
	}
	finish(a)
	return a
}

func common() record.Common {
	return record.Common{
		Time:       record.At(Time()),
		SourceType: record.SourceImport,
		OrgID:      "org-1",
		UserID:     "alice",
		ActorType:  record.ActorHuman,
		SourceIP:   "192.0.2.7",
		UserAgent:  "Mozilla/5.0",
	}
}

// finish gives a record the identity of its content, unless a test gave it one,
// and normalises it as of a minute after Time.
func finish(r record.Record) {
	if r.Base().ID.IsZero() {
		canonical, err := record.Canonical(r)
		if err != nil {
			panic(err) // plain fields always encode
		}
		r.Base().ID = record.ContentID(r.Kind(), canonical, 0)
	}
	record.Normalize(r, Time().Add(time.Minute))
}

// Event returns an audit.k8s.io/v1 event: alice deleted the deployment web in
// shop.
func Event(modify ...func(*auditv1.Event)) *auditv1.Event {
	e := &auditv1.Event{
		TypeMeta:   metav1.TypeMeta{APIVersion: auditv1.SchemeGroupVersion.String(), Kind: "Event"},
		Level:      auditv1.LevelMetadata,
		AuditID:    types.UID("3f0b1c9e-5a2d-4c58-9f3e-0a6f8d1b7c11"),
		Stage:      auditv1.StageResponseComplete,
		RequestURI: "/apis/apps/v1/namespaces/shop/deployments/web",
		Verb:       "delete",
		User:       authnv1.UserInfo{Username: "alice", Groups: []string{"system:authenticated"}},
		SourceIPs:  []string{"192.0.2.7"},
		UserAgent:  "kubectl/v1.37.2",
		ObjectRef: &auditv1.ObjectReference{
			Resource: "deployments", Namespace: "shop", Name: "web", APIGroup: "apps", APIVersion: "v1",
		},
		ResponseStatus:           &metav1.Status{Code: 200},
		RequestReceivedTimestamp: metav1.NewMicroTime(Time()),
		StageTimestamp:           metav1.NewMicroTime(Time().Add(5 * time.Millisecond)),
		Annotations:              map[string]string{"authorization.k8s.io/decision": "allow"},
	}
	for _, m := range modify {
		m(e)
	}
	return e
}

// EventList returns a body as kube-apiserver sends it, of events or of anything
// else that marshals, such as json.RawMessage.
func EventList(items ...any) []byte {
	body, err := json.Marshal(map[string]any{
		"kind": "EventList", "apiVersion": auditv1.SchemeGroupVersion.String(), "metadata": map[string]any{}, "items": items,
	})
	if err != nil {
		panic(err) // what a test wrote does not marshal
	}
	return body
}
