package record

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authnv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

var received = time.Date(2026, 11, 24, 6, 51, 51, 123456000, time.UTC)

// anEvent is alice deleting deployment web in shop, and what with makes of it.
func anEvent(with ...func(*auditv1.Event)) *auditv1.Event {
	event := &auditv1.Event{
		Level: auditv1.LevelMetadata, AuditID: "a-1", Stage: auditv1.StageResponseComplete,
		RequestURI: "/apis/apps/v1/namespaces/shop/deployments/web", Verb: "delete",
		User:      authnv1.UserInfo{Username: "alice", Groups: []string{"dev"}},
		SourceIPs: []string{"10.0.0.9"}, UserAgent: "kubectl/v1.37.2 (linux/amd64)",
		ObjectRef: &auditv1.ObjectReference{APIGroup: "apps", APIVersion: "v1", Resource: "deployments",
			Namespace: "shop", Name: "web", UID: "u-1"},
		ResponseStatus:           &metav1.Status{Code: 200},
		RequestReceivedTimestamp: metav1.NewMicroTime(received),
		StageTimestamp:           metav1.NewMicroTime(time.Date(2026, 11, 24, 6, 51, 51, 130000000, time.UTC)),
	}
	for _, change := range with {
		change(event)
	}
	return event
}

func code(n int32) func(*auditv1.Event) {
	return func(e *auditv1.Event) { e.ResponseStatus = &metav1.Status{Code: n} }
}

func verb(verb string) func(*auditv1.Event) { return func(e *auditv1.Event) { e.Verb = verb } }

func user(name string) func(*auditv1.Event) {
	return func(e *auditv1.Event) { e.User.Username = name }
}

func stage(stage auditv1.Stage) func(*auditv1.Event) {
	return func(e *auditv1.Event) { e.Stage = stage }
}

func ref(ref auditv1.ObjectReference) func(*auditv1.Event) {
	return func(e *auditv1.Event) { e.ObjectRef = &ref }
}

func nonResource(uri string) func(*auditv1.Event) {
	return func(e *auditv1.Event) { e.ObjectRef, e.RequestURI, e.Verb = nil, uri, "get" }
}

func body(object any) *runtime.Unknown {
	data, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return &runtime.Unknown{Raw: data}
}

func local() KubernetesOptions { return KubernetesOptions{OwnCluster: "local"} }

func mustRecords(t *testing.T, event *auditv1.Event, options KubernetesOptions) []Record {
	t.Helper()
	records, skip, err := KubernetesRecords(event, options)
	if err != nil || skip != SkipNone {
		t.Fatalf("no record: skipped %q, error %v", skip, err)
	}
	return records
}

// values returns the filterable fields named in like, for comparison with it.
func values(r Record, like map[string]string) map[string]string {
	got := map[string]string{}
	for _, f := range Fields(r.Kind()) {
		if _, ok := like[f.Name]; ok {
			if f.Filterable() {
				got[f.Name], _ = f.Value(r)
			} else if text, ok := f.Pointer(r).(*string); ok {
				got[f.Name] = *text
			}
		}
	}
	return got
}

func TestEveryRowOfTheMapping(t *testing.T) {
	for name, test := range map[string]struct {
		event   *auditv1.Event
		options KubernetesOptions
		want    map[string]string
	}{
		"a deletion": {anEvent(), local(), map[string]string{
			"user_id": "alice", "actor_type": "Human", "cluster": "local", "org_id": "shop", "target_resource_org_id": "shop",
			"action": "delete", "api_name": "apps", "target_resource_type": "deployments", "target_resource_name": "web",
			"target_id": "u-1", "trace_id": "a-1", "source_ip": "10.0.0.9", "user_agent": "kubectl/v1.37.2 (linux/amd64)",
			"response_code": "200", "outcome": "Success", "time": "2026-11-24T06:51:51.123456Z", "source_type": "Kubernetes",
			"description": `alice deleted deployments.apps "web" in shop (200)`, "token_id": ""}},
		"another cluster": {anEvent(), KubernetesOptions{Cluster: "east", OwnCluster: "local"}, map[string]string{
			"cluster": "east", "org_id": "east/shop", "target_resource_org_id": "east/shop"}},
		"another cluster, no namespace": {anEvent(nonResource("/healthz")), KubernetesOptions{Cluster: "east", OwnCluster: "local"},
			map[string]string{"org_id": "east/_cluster"}},
		"the core group, a subresource, no uid": {
			anEvent(ref(auditv1.ObjectReference{Resource: "pods", Subresource: "eviction", Namespace: "shop", Name: "w"}), verb("create"), code(201)),
			local(), map[string]string{"api_name": "core", "target_resource_type": "pods/eviction", "target_id": "w",
				"description": `alice created eviction of pods "w" in shop (201)`}},
		"a non-resource request": {anEvent(nonResource("/metrics?token=abc")), local(), map[string]string{
			"api_name": "nonresource", "org_id": "_cluster", "target_resource_type": "", "target_resource_name": "",
			"description": "alice called GET /metrics (200)"}},
		"a namespace is its own org, by name alone": {
			anEvent(ref(auditv1.ObjectReference{Resource: "namespaces", Name: "shop"}), verb("create")), local(),
			map[string]string{"org_id": "shop", "description": `alice created namespaces "shop" (200)`}},
		"a list of namespaces is the cluster's, even by name": {
			anEvent(ref(auditv1.ObjectReference{Resource: "namespaces", Namespace: "shop", Name: "shop"}), verb("list")), local(),
			map[string]string{"org_id": "_cluster"}},
		"namespaces of another group are not namespaces": {
			anEvent(ref(auditv1.ObjectReference{APIGroup: "x.org", Resource: "namespaces", Namespace: "a", Name: "b"})), local(),
			map[string]string{"org_id": "a", "description": `alice deleted namespaces.x.org "b" in a (200)`}},
		"a cluster-scoped object": {anEvent(ref(auditv1.ObjectReference{Resource: "nodes", Name: "n"})), local(),
			map[string]string{"org_id": "_cluster", "description": `alice deleted nodes "n" (200)`}},
		"a service account":      {anEvent(user("system:serviceaccount:shop:x")), local(), map[string]string{"actor_type": "ServiceAccount"}},
		"a node":                 {anEvent(user("system:node:n1")), local(), map[string]string{"actor_type": "Node"}},
		"a component":            {anEvent(user("system:kube-scheduler")), local(), map[string]string{"actor_type": "System"}},
		"anonymous":              {anEvent(user("system:anonymous"), code(403)), local(), map[string]string{"actor_type": "Anonymous", "outcome": "Denied", "description": `an anonymous client was not allowed to delete deployments.apps "web" in shop (403)`}},
		"nobody":                 {anEvent(user("")), local(), map[string]string{"actor_type": "Unknown", "user_id": ""}},
		"not found is a failure": {anEvent(code(404)), local(), map[string]string{"outcome": "Failure", "description": `alice failed to delete deployments.apps "web" in shop (404)`}},
		"399 is a success":       {anEvent(code(399)), local(), map[string]string{"outcome": "Success"}},
		"400 is a failure":       {anEvent(code(400)), local(), map[string]string{"outcome": "Failure"}},
		"401 is denied": {anEvent(code(401), user("")), local(), map[string]string{"outcome": "Denied",
			"description": "someone failed to authenticate from 10.0.0.9 (401)"}},
		"no status is no outcome": {anEvent(func(e *auditv1.Event) { e.ResponseStatus = nil }), local(), map[string]string{"outcome": "", "response_code": "0"}},
		"a panic": {anEvent(stage(auditv1.StagePanic), code(500)), local(), map[string]string{"outcome": "Failure",
			"description": `alice failed to delete deployments.apps "web" in shop: the server panicked (500)`}},
		"a token's id": {anEvent(func(e *auditv1.Event) {
			e.User.Extra = map[string]authnv1.ExtraValue{credentialIDKey: {"X509SHA256=ff", "JTI=t-1"}}
		}), local(), map[string]string{"token_id": "t-1"}},
		"a certificate's fingerprint is no token id": {anEvent(func(e *auditv1.Event) {
			e.User.Extra = map[string]authnv1.ExtraValue{credentialIDKey: {"X509SHA256=ff"}}
		}), local(), map[string]string{"token_id": ""}},
		"a token was made": {anEvent(ref(auditv1.ObjectReference{Resource: "serviceaccounts", Subresource: "token", Namespace: "shop", Name: "bot", UID: "u"}),
			verb("create"), code(201), func(e *auditv1.Event) { e.Annotations = map[string]string{issuedCredentialIDKey: "JTI=t-2"} }),
			local(), map[string]string{"target_id": "t-2", "description": `alice created a token for serviceaccounts "bot" in shop (201)`}},
		"a trusted proxy is passed over": {
			anEvent(func(e *auditv1.Event) { e.SourceIPs = []string{"203.0.113.66", "192.0.2.7", "::ffff:10.0.0.9"} }),
			KubernetesOptions{OwnCluster: "local", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
			map[string]string{"source_ip": "192.0.2.7"}},
		"without a proxy the client's word counts for nothing": {
			anEvent(func(e *auditv1.Event) { e.SourceIPs = []string{"203.0.113.66", "127.0.0.1"} }), local(),
			map[string]string{"source_ip": "127.0.0.1"}},
		"a proxy asks for itself": {
			anEvent(), KubernetesOptions{OwnCluster: "local", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
			map[string]string{"source_ip": "10.0.0.9"}},
		"no time of receipt": {anEvent(func(e *auditv1.Event) { e.RequestReceivedTimestamp = metav1.MicroTime{} }), local(),
			map[string]string{"time": "2026-11-24T06:51:51.130000Z"}},
		"an unusual name cannot pass for other words": {anEvent(user("eve deleted nothing\n")), local(), map[string]string{
			"description": `"eve deleted nothing\n" deleted deployments.apps "web" in shop (200)`}},
		"a collection": {anEvent(verb("deletecollection"), func(e *auditv1.Event) { e.ObjectRef.Name = "" }), local(),
			map[string]string{"description": "alice deleted a collection of deployments.apps in shop (200)"}},
		"an unknown verb": {anEvent(verb("approve")), local(),
			map[string]string{"action": "approve", "description": `alice did approve on deployments.apps "web" in shop (200)`}},
		"a dry run": {anEvent(func(e *auditv1.Event) { e.RequestURI += "?a=b&dryRun=All" }), local(),
			map[string]string{"description": `alice deleted deployments.apps "web" in shop, as a dry run (200)`}},
		"a JWT in place of a name": {anEvent(func(e *auditv1.Event) { e.ObjectRef.Name, e.ObjectRef.UID = fakeJWT, "" }), local(),
			map[string]string{"target_resource_name": Redacted, "target_id": Redacted}},
	} {
		t.Run(name, func(t *testing.T) {
			got := mustRecords(t, test.event, test.options)[0]
			if diff := cmp.Diff(test.want, values(got, test.want)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnImpersonatedUserIsAnAttribute(t *testing.T) {
	event := anEvent(func(e *auditv1.Event) {
		e.ImpersonatedUser = &authnv1.UserInfo{Username: "bob", Groups: []string{"ops"}}
	})
	got := mustRecords(t, event, local())[0].(*Audit)
	if diff := cmp.Diff([]Attribute{{Type: "impersonated_user", ID: "bob", Name: "bob"}}, got.Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if want := `alice as bob deleted deployments.apps "web" in shop (200)`; got.Description != want || got.UserID != "alice" {
		t.Errorf("user %q, description %q", got.UserID, got.Description)
	}
	if !strings.Contains(string(got.Details), `"impersonated_user":{"username":"bob","groups":["ops"]}`) {
		t.Errorf("details %s", got.Details)
	}
}

func TestDetailsHoldTheRest(t *testing.T) {
	event := anEvent(func(e *auditv1.Event) {
		e.RequestURI += "?token=abc"
		e.User.UID = "uid-1"
		e.User.Extra = map[string]authnv1.ExtraValue{credentialIDKey: {"X509SHA256=ff"}, "access-token": {"abc"}}
		e.ObjectRef.ResourceVersion = "7"
		e.ResponseStatus = &metav1.Status{Code: 409, Status: "Failure", Reason: "Conflict", Message: "password=abc is taken",
			Details: &metav1.StatusDetails{Name: "web"}}
		e.Annotations = map[string]string{decisionKey: "allow", reasonKey: "because", "other": "Authorization: Bearer abc"}
		e.RequestObject = &runtime.Unknown{Raw: []byte(`{"secret":"abc"}`)}
	})
	want := `{"level":"Metadata","stage":"ResponseComplete","stage_timestamp":"2026-11-24T06:51:51.130000Z",` +
		`"request_uri":"/apis/apps/v1/namespaces/shop/deployments/web?token=REDACTED","decision":"allow","reason":"because",` +
		`"groups":["dev"],"user_uid":"uid-1","user_extra":{"access-token":["REDACTED"],"authentication.kubernetes.io/credential-id":["X509SHA256=ff"]},` +
		`"source_ips":["10.0.0.9"],"object":{"api_version":"v1","resource_version":"7","uid":"u-1"},` +
		`"response":{"status":"Failure","message":"password=REDACTED is taken","reason":"Conflict","details":{"name":"web"}},` +
		`"annotations":{"other":"Authorization: Bearer REDACTED"}}`
	got := mustRecords(t, event, local())[0]
	if diff := cmp.Diff(want, string(got.Base().Details)); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	options := local()
	options.StoreBodies = true
	got = mustRecords(t, event, options)[0]
	if want := `,"request_object":{"secret":"REDACTED"}}`; !strings.HasSuffix(string(got.Base().Details), want) {
		t.Errorf("with bodies, details are %s", got.Base().Details)
	}
	event.RequestObject.Raw = []byte(`{"a":"` + strings.Repeat("x", MaxDetailsBytes) + `"}`)
	got = mustRecords(t, event, options)[0]
	if want := `"omitted_bodies":{"request_object":"65544 bytes are too many"}`; !strings.Contains(string(got.Base().Details), want) {
		t.Errorf("with a large body, details are %s", got.Base().Details)
	}
}
