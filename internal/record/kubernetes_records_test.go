package record

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	authnv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

func exec(subresource string) func(*auditv1.Event) {
	return ref(auditv1.ObjectReference{Resource: "pods", Subresource: subresource, Namespace: "shop", Name: "web-1"})
}

func TestWhichEventsBecomeRecords(t *testing.T) {
	own := KubernetesOptions{OwnCluster: "local", OwnUsernames: []string{"alice"}}
	started := stage(auditv1.StageResponseStarted)
	status := auditv1.ObjectReference{APIGroup: "auditquery.dev", Resource: "auditqueries", Subresource: "status"}
	lease := auditv1.ObjectReference{APIGroup: "coordination.k8s.io", Resource: "leases"}
	for name, test := range map[string]struct {
		event   *auditv1.Event
		options KubernetesOptions
		want    Skip
	}{
		"the end of a request":               {anEvent(), local(), SkipNone},
		"a panic":                            {anEvent(stage(auditv1.StagePanic)), local(), SkipNone},
		"the receipt of a request":           {anEvent(stage(auditv1.StageRequestReceived)), local(), SkipStage},
		"a watch that starts":                {anEvent(started, verb("watch")), local(), SkipStage},
		"a log that starts":                  {anEvent(started, exec("log")), local(), SkipStage},
		"a failed authentication":            {anEvent(started, code(401), user("")), local(), SkipNone},
		"an exec that starts":                {anEvent(started, exec("exec"), verb("create"), code(101)), local(), SkipNone},
		"an exec that starts by GET":         {anEvent(started, exec("exec"), verb("get"), code(101)), local(), SkipNone},
		"an attach that starts":              {anEvent(started, exec("attach"), verb("connect")), local(), SkipNone},
		"a portforward that starts":          {anEvent(started, exec("portforward")), local(), SkipNone},
		"a proxy that starts":                {anEvent(started, exec("proxy")), local(), SkipNone},
		"our own status":                     {anEvent(ref(status), verb("patch")), own, SkipOwn},
		"our own lease":                      {anEvent(ref(lease), verb("update")), own, SkipOwn},
		"our own TokenReview":                {anEvent(ref(tokenReview()), verb("create")), own, SkipOwn},
		"our own reading of an AuditQuery":   {anEvent(ref(status), verb("get")), own, SkipNone},
		"our own deletion":                   {anEvent(), own, SkipNone},
		"our own SubjectAccessReview":        {anEvent(ref(auditv1.ObjectReference{APIGroup: "authorization.k8s.io", Resource: "subjectaccessreviews"}), verb("create")), own, SkipNone},
		"somebody else's lease":              {anEvent(ref(lease), user("bob")), own, SkipNone},
		"our name in another cluster":        {anEvent(ref(lease)), KubernetesOptions{Cluster: "east", OwnCluster: "local", OwnUsernames: []string{"alice"}}, SkipNone},
		"our account acting as someone":      {anEvent(ref(lease), func(e *auditv1.Event) { e.ImpersonatedUser = &authnv1.UserInfo{Username: "bob"} }), own, SkipNone},
		"nobody is our own when none is set": {anEvent(ref(lease), user("")), local(), SkipNone},
	} {
		t.Run(name, func(t *testing.T) {
			records, skip, err := KubernetesRecords(test.event, test.options)
			if err != nil || skip != test.want || (len(records) == 0) != (test.want != SkipNone) {
				t.Errorf("got %d records, skip %q, error %v; want skip %q", len(records), skip, err, test.want)
			}
		})
	}
}

func TestMalformedEventsNameTheirField(t *testing.T) {
	for name, test := range map[string]struct {
		event *auditv1.Event
		field string
	}{
		"no audit id":   {anEvent(func(e *auditv1.Event) { e.AuditID = "" }), "auditID"},
		"no stage":      {anEvent(stage("")), "stage"},
		"another stage": {anEvent(stage("Done")), "stage"},
		"no time": {anEvent(func(e *auditv1.Event) {
			e.RequestReceivedTimestamp, e.StageTimestamp = metav1.MicroTime{}, metav1.MicroTime{}
		}), "requestReceivedTimestamp"},
		"another kind":    {anEvent(func(e *auditv1.Event) { e.Kind = "Pod" }), "kind"},
		"another version": {anEvent(func(e *auditv1.Event) { e.APIVersion = "v1" }), "apiVersion"},
	} {
		records, _, err := KubernetesRecords(test.event, local())
		var malformed *MalformedEventError
		if !errors.As(err, &malformed) || malformed.Field != test.field || records != nil {
			t.Errorf("%s: got %v, %v; want an error of %s", name, records, err, test.field)
		}
	}
}

func tokenReview() auditv1.ObjectReference {
	return auditv1.ObjectReference{APIGroup: "authentication.k8s.io", Resource: "tokenreviews"}
}

func TestAuthAudits(t *testing.T) {
	request := ref(auditv1.ObjectReference{Resource: "serviceaccounts", Subresource: "token", Namespace: "shop", Name: "bot"})
	issued := func(e *auditv1.Event) { e.Annotations = map[string]string{issuedCredentialIDKey: "JTI=t-2"} }
	own := func(e *auditv1.Event) {
		e.User.Extra = map[string]authnv1.ExtraValue{credentialIDKey: {"JTI=callers"}}
	}
	answer := func(object any) func(*auditv1.Event) {
		return func(e *auditv1.Event) { e.ResponseObject = body(object) }
	}
	reviewed := authnv1.TokenReview{Spec: authnv1.TokenReviewSpec{Token: fakeJWT}, Status: authnv1.TokenReviewStatus{
		Authenticated: true, Audiences: []string{"api"}, User: authnv1.UserInfo{Username: "system:serviceaccount:shop:bot",
			Extra: map[string]authnv1.ExtraValue{credentialIDKey: {"JTI=t-3"}}}}}
	refused := authnv1.TokenReview{Spec: authnv1.TokenReviewSpec{Token: fakeJWT}}
	for name, test := range map[string]struct {
		event   *auditv1.Event
		options KubernetesOptions
		want    map[string]string
	}{
		"a token is made": {anEvent(request, verb("create"), code(201), issued, own), local(), map[string]string{
			"event_name": "Token", "stage": "Token", "result": "Success", "event": "Success", "user_id": "alice", "org_id": "shop",
			"org_name": "shop", "token_id": "t-2", "upstream_user_id": "system:serviceaccount:shop:bot", "upstream_idp": "kubernetes",
			"login_org_id": "shop", "login_org_name": "shop", "request_id": "a-1", "trace_id": "a-1", "source_ip": "10.0.0.9",
			"application_name": "kubectl", "issuer": "", "client_id": ""}},
		"a token is made elsewhere, with its body": {
			anEvent(request, verb("create"), code(201), issued, answer(authnv1.TokenRequest{
				Spec: authnv1.TokenRequestSpec{Audiences: []string{"api"}}, Status: authnv1.TokenRequestStatus{Token: fakeJWT}})),
			KubernetesOptions{Cluster: "east", OwnCluster: "local"},
			map[string]string{"issuer": "nobody", "client_id": "api", "org_id": "east/shop", "login_org_id": "east/shop", "login_org_name": "shop"}},
		"a token is refused":       {anEvent(request, verb("create"), code(403)), local(), map[string]string{"event_name": "Token", "result": "Denied", "event": "Denied", "token_id": ""}},
		"a token of nobody":        {anEvent(request, verb("create"), code(404)), local(), map[string]string{"result": "Failure"}},
		"a review at Metadata":     {anEvent(ref(tokenReview()), verb("create"), code(201), own), local(), map[string]string{"event_name": "Authentication Request", "stage": "Authentication Request", "result": "Success", "upstream_user_id": "", "token_id": "", "org_id": "_cluster"}},
		"a review with its answer": {anEvent(ref(tokenReview()), verb("create"), code(201), answer(reviewed)), local(), map[string]string{"result": "Success", "user_id": "alice", "upstream_user_id": "system:serviceaccount:shop:bot", "token_id": "t-3", "issuer": "nobody", "client_id": "api", "login_org_id": "shop"}},
		"a review that refuses":    {anEvent(ref(tokenReview()), verb("create"), code(201), answer(refused)), local(), map[string]string{"result": "Denied", "event": "Denied", "issuer": "", "upstream_user_id": ""}},
		"a failed authentication":  {anEvent(stage(auditv1.StageResponseStarted), code(401), user("")), local(), map[string]string{"event_name": "Authentication Request", "result": "Denied", "user_id": "", "actor_type": "Unknown", "org_id": "shop", "login_org_id": "shop"}},
	} {
		t.Run(name, func(t *testing.T) {
			records := mustRecords(t, test.event, test.options)
			if len(records) != 2 || records[0].Kind() != KindAudit || records[1].Kind() != KindAuthAudit {
				t.Fatalf("got %d records", len(records))
			}
			if records[0].Base().ID == records[1].Base().ID {
				t.Error("both records have the same id")
			}
			if diff := cmp.Diff(test.want, values(records[1], test.want)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The ids were computed by Python:
//
//	t = lambda b: struct.pack('>Q', len(b)) + b
//	i = lambda n: t(struct.pack('>q', n))
//	hashlib.sha256(t(kind) + t(b"1") + t(cluster) + t(stage) + t(audit_id) + i(received_us) + i(stage_us) +
//	    t(user) + t(verb) + t(group) + t(resource) + t(subresource) + t(namespace) + t(name) + t(uid) +
//	    t(uri)).hexdigest()[:32]
func TestIdentityOfEventsNeverChanges(t *testing.T) {
	bare := anEvent(func(e *auditv1.Event) {
		e.AuditID, e.Stage, e.User.Username, e.Verb = "ä", auditv1.StageResponseStarted, "", "get"
		e.ObjectRef, e.RequestURI, e.StageTimestamp = nil, "/x?token=abc", metav1.MicroTime{}
		e.ResponseStatus = &metav1.Status{Code: 401}
	})
	for name, test := range map[string]struct {
		event   *auditv1.Event
		kind    Kind
		cluster string
		want    string
	}{
		"an Audit":              {anEvent(), KindAudit, "local", "935af8e11c01cc93a9c0b28632a972f2"},
		"an AuthAudit":          {anEvent(), KindAuthAudit, "local", "f7d77a0b926b0709f430ab7c94566f90"},
		"most of it is missing": {bare, KindAudit, "east", "31154197091064b9016c76619d6357fd"},
	} {
		if got := eventID(test.kind, test.event, test.cluster).String(); got != test.want {
			t.Errorf("%s: id is %s, want %s", name, got, test.want)
		}
	}
	// From before scrubbing: the URI's token is part of it.
	if got := mustRecords(t, bare, KubernetesOptions{Cluster: "east", OwnCluster: "local"})[0].Base().ID.String(); got != "31154197091064b9016c76619d6357fd" {
		t.Errorf("the record's id is %s", got)
	}
}

func TestEveryPartOfTheIdentityCounts(t *testing.T) {
	seen := map[ID]string{}
	for name, change := range map[string]func(*auditv1.Event){
		"nothing":     func(*auditv1.Event) {},
		"stage":       stage(auditv1.StagePanic),
		"audit id":    func(e *auditv1.Event) { e.AuditID = "a-2" },
		"receipt":     func(e *auditv1.Event) { e.RequestReceivedTimestamp = e.StageTimestamp },
		"stage time":  func(e *auditv1.Event) { e.StageTimestamp = e.RequestReceivedTimestamp },
		"actor":       user("bob"),
		"verb":        verb("get"),
		"group":       func(e *auditv1.Event) { e.ObjectRef.APIGroup = "" },
		"resource":    func(e *auditv1.Event) { e.ObjectRef.Resource = "pods" },
		"subresource": func(e *auditv1.Event) { e.ObjectRef.Subresource = "status" },
		"namespace":   func(e *auditv1.Event) { e.ObjectRef.Namespace = "b" },
		"name":        func(e *auditv1.Event) { e.ObjectRef.Name = "b" },
		"uid":         func(e *auditv1.Event) { e.ObjectRef.UID = "b" },
		"URI":         func(e *auditv1.Event) { e.RequestURI += "?" },
	} {
		id := eventID(KindAudit, anEvent(change), "local")
		if other, ok := seen[id]; ok {
			t.Errorf("changing %s gives the id of changing %s", name, other)
		}
		seen[id] = name
	}
	if _, ok := seen[eventID(KindAudit, anEvent(), "east")]; ok {
		t.Error("the cluster does not count")
	}
}
