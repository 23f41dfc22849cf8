package sender

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	authnv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"auditquery.dev/auditquery/internal/record"
)

// Events are what a kube-apiserver sends at the level Metadata, some 900 bytes
// each. Of every fifty, one is the creation of a token and one a failed
// authentication, each of which gives two records.
type Events struct {
	// Run keeps the events of one source apart from those of others: up to 8
	// hexadecimal digits.
	Run string
	// Cluster is the sender's, OwnCluster the receiver's.
	Cluster, OwnCluster string
	// Start is when event 0 happened, Interval how far apart they are; 0 means
	// DefaultInterval.
	Start    time.Time
	Interval time.Duration
}

var _ Source = Events{}

// Path is that of the audit webhook.
func (e Events) Path() string { return "/ingest/kubernetes/" + e.Cluster }

// ContentType is JSON.
func (Events) ContentType() string { return "application/json" }

// Number reads the audit id.
func (e Events) Number(r record.Record) (int, bool) { return numberOf(e.Run, r) }

// Body appends an EventList.
func (e Events) Body(b []byte, first, count int) []byte {
	b = append(b, `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`...)
	for n := first; n < first+count; n++ {
		if n > first {
			b = append(b, ',')
		}
		b = append(b, e.encode(n)...)
	}
	return append(b, "]}\n"...)
}

func (e Events) encode(n int) []byte {
	data, err := json.Marshal(e.Event(n))
	if err != nil {
		panic(fmt.Sprintf("encode event %d: %v", n, err)) // plain fields always encode
	}
	return data
}

// Records maps the event as it was sent.
func (e Events) Records(n int) ([]record.Record, error) {
	var records []record.Record
	options := record.KubernetesOptions{Cluster: e.Cluster, OwnCluster: e.OwnCluster}
	err := record.DecodeEvents(bytes.NewReader(e.Body(nil, n, 1)), record.DecodeLimits{}, func(event record.DecodedEvent) error {
		if event.Err != nil {
			return event.Err
		}
		made, skip, err := record.KubernetesRecords(event.Event, options)
		if err == nil && skip != record.SkipNone {
			err = fmt.Errorf("event %d gives no record: %s", n, skip)
		}
		records = append(records, made...)
		return err
	})
	for _, r := range records {
		// The bounds of the time of ingest are not what is looked at here.
		record.Normalize(r, at(e.Start, e.Interval, n))
		r.Base().IngestTime = 0
	}
	return records, err
}

// Event returns event n.
func (e Events) Event(n int) *auditv1.Event {
	event := e.plain(n)
	switch n % 50 {
	case 24:
		event.Stage = auditv1.StageResponseStarted
		event.User = authnv1.UserInfo{}
		event.ResponseStatus = &metav1.Status{Status: "Failure", Reason: "Unauthorized", Code: 401,
			Message: "Authentication failed, attempted: bearer"}
		event.Annotations = nil
	case 49:
		event.Verb = "create"
		event.RequestURI = "/api/v1/namespaces/" + event.ObjectRef.Namespace + "/serviceaccounts/builder/token"
		event.ObjectRef = &auditv1.ObjectReference{Resource: "serviceaccounts", Subresource: "token",
			Namespace: event.ObjectRef.Namespace, Name: "builder", APIVersion: "v1"}
		event.ResponseStatus.Code = 201
		event.Annotations["authentication.kubernetes.io/issued-credential-id"] = "JTI=" + string(event.AuditID)
	}
	return event
}

// plain is an event of the many.
func (e Events) plain(n int) *auditv1.Event {
	const users, namespaces, objects = 23, 12, 997
	namespace := fmt.Sprintf("team-%d", n%namespaces)
	name := fmt.Sprintf("app-%03d-5d8f7c9b6d-x%d", n%objects, n%10)
	verb, code := []string{"get", "list", "update", "patch", "create", "watch", "delete"}[n%7], int32(200)
	if n%31 == 0 {
		code = 403
	}
	when := at(e.Start, e.Interval, n)
	event := &auditv1.Event{
		TypeMeta:   metav1.TypeMeta{Kind: "Event", APIVersion: auditv1.SchemeGroupVersion.String()},
		Level:      auditv1.LevelMetadata,
		AuditID:    types.UID(traceID(e.Run, n)),
		Stage:      auditv1.StageResponseComplete,
		RequestURI: fmt.Sprintf("/apis/apps/v1/namespaces/%s/deployments/%s?fieldManager=controller&n=%d", namespace, name, n),
		Verb:       verb,
		User: authnv1.UserInfo{
			Username: fmt.Sprintf("system:serviceaccount:%s:controller-%d", namespace, n%users),
			UID:      "5c0f4c52-0f6e-4a5c-9d0c-2c4b6bb0c8f1",
			Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
			Extra: map[string]authnv1.ExtraValue{
				"authentication.kubernetes.io/credential-id": {"JTI=7d9a1c4e-52f0-4e4b-8f30-6f5e9f0b2a77"},
				"authentication.kubernetes.io/pod-name":      {fmt.Sprintf("controller-%d-7c5ddbdf54-2xkqp", n%users)},
			},
		},
		SourceIPs: []string{fmt.Sprintf("10.%d.%d.%d", n%4, n%200, n%250)},
		UserAgent: "manager/v0.19.2 (linux/amd64) kubernetes/1a2b3c4",
		ObjectRef: &auditv1.ObjectReference{Resource: "deployments", Namespace: namespace, Name: name,
			APIGroup: "apps", APIVersion: "v1"},
		ResponseStatus:           &metav1.Status{Code: code},
		RequestReceivedTimestamp: metav1.NewMicroTime(when),
		StageTimestamp:           metav1.NewMicroTime(when.Add(time.Duration(1+n%9000) * time.Microsecond)),
		Annotations: map[string]string{
			"authorization.k8s.io/decision": "allow",
			"authorization.k8s.io/reason":   `RBAC: allowed by ClusterRoleBinding "controllers" of ClusterRole "controller"`,
		},
	}
	if code == 403 {
		event.Annotations["authorization.k8s.io/decision"] = "forbid"
	}
	return event
}
