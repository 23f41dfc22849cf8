package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/certs"
)

// who is a sender that shows a certificate, a token, both or nothing.
type who struct{ certificate, token string }

func (w who) client(r *rig) *http.Client {
	if w.certificate == "" {
		return r.clientWith()
	}
	return r.clientOf(w.certificate)
}

func ownLine(org, name string) string {
	return fmt.Sprintf(`{"kind":"Audit","time":"2026-11-02T10:30:00Z","org_id":%q,"target_resource_name":%q}`+"\n", org, name)
}

func bulkBody(org string) string {
	return fmt.Sprintf(`{"events":[{"unique_id":%q,"create_time":"2026-11-02T10:30:00Z","event":%s}]}`, "x", ownLine(org, "x"))
}

func TestWhoMaySend(t *testing.T) {
	const (
		reports = ":post:/ingest/kubernetes/"
		creates = ":create:audits.rest.auditquery.dev:"
	)
	event := `{"kind":"Event","apiVersion":"audit.k8s.io/v1",` + string(builders.EventList(named("x"))[1:])
	event = strings.TrimSuffix(event[strings.Index(event, `"items":[`)+len(`"items":[`):], "\n")
	event = event[:strings.LastIndex(event, "]")]
	tests := map[string]struct {
		who     who
		path    string
		body    string
		modify  func(*setting)
		cluster func(*fakeCluster)
		want    int
		// wantText is in the answer; wantEntries is what the spool then has.
		wantText    string
		wantEntries int
	}{
		"events, by a certificate of the cluster's name":       {who: who{certificate: "prod"}, path: PathKubernetes + "prod", want: 200, wantEntries: 1},
		"events of another cluster":                            {who: who{certificate: "prod"}, path: PathKubernetes + "test", want: 403, wantText: `\"prod\" may not send events of the cluster \"test\"`},
		"events, by a mapped certificate":                      {who: who{certificate: "CN=odd"}, path: PathKubernetes + "dev", want: 200, wantEntries: 1},
		"events of its own name, though mapped elsewhere":      {who: who{certificate: "renamed"}, path: PathKubernetes + "renamed", want: 403},
		"events, by a certificate without a name":              {who: who{certificate: ""}, path: PathKubernetes + "prod", want: 401, wantText: "client certificate or a Bearer token"},
		"events, by a token with permission":                   {who: who{token: "token-of-ann"}, path: PathKubernetes + "prod", want: 200, wantEntries: 1},
		"events of another cluster, by that token":             {who: who{token: "token-of-ann"}, path: PathKubernetes + "test", want: 403},
		"events, by a token without permission":                {who: who{token: "token-of-bob"}, path: PathKubernetes + "prod", want: 403},
		"a bad token beside a good certificate":                {who: who{certificate: "prod", token: "wrong"}, path: PathKubernetes + "prod", want: 401},
		"a token without permission beside a good certificate": {who: who{certificate: "prod", token: "token-of-bob"}, path: PathKubernetes + "prod", want: 403},
		"a bad token": {who: who{token: "wrong"}, path: PathRecords, body: ownLine("org-shop", "x"), want: 401, wantText: "not valid"},
		"a bad token that the cluster explains": {
			who: who{token: "wrong"}, path: PathRecords, body: ownLine("org-shop", "x"), want: 401,
			cluster: func(f *fakeCluster) { f.reviewErr = errors.New("[invalid bearer token]") },
		},
		"a token that nobody can check now": {
			who: who{token: "token-of-ann"}, path: PathRecords, body: ownLine("org-shop", "x"), want: 503, wantText: "whose the token is",
			cluster: func(f *fakeCluster) {
				f.reviewErr = &url.Error{Op: "Post", URL: "https://secret", Err: errors.New("refused")}
			},
		},
		"a permission that nobody can check now": {
			who: who{token: "token-of-ann"}, path: PathRecords, body: ownLine("org-shop", "x"), want: 503,
			cluster: func(f *fakeCluster) { f.accessErr = errors.New("refused") },
		},
		"events while no permission can be checked": {
			who: who{token: "token-of-ann"}, path: PathKubernetes + "prod", want: 503,
			cluster: func(f *fakeCluster) { f.accessErr = errors.New("refused") },
		},
		"an organisation that nobody knows yet": {
			who: who{token: "token-of-ann"}, path: PathRecords, body: ownLine("org-shop", "x"), want: 503,
			cluster: func(f *fakeCluster) { f.claimErr = tenancy.ErrNotReady },
		},
		"tokens where none are taken": {
			who: who{token: "token-of-ann"}, path: PathRecords, body: ownLine("org-shop", "x"), want: 401, wantText: "show a client certificate",
			modify: func(s *setting) { s.senders.Tokens = nil },
		},
		"records, by a certificate of every organisation": {who: who{certificate: "prod"}, path: PathRecords, body: ownLine("org-x", "x"), want: 200, wantEntries: 1},
		"records of no organisation, by that one":         {who: who{certificate: "prod"}, path: PathRecords, body: ownLine("", "x"), want: 200, wantEntries: 1},
		"records, by a certificate of that organisation":  {who: who{certificate: "shipper"}, path: PathRecords, body: ownLine("org-shop", "x"), want: 200, wantEntries: 1},
		"records of another organisation": {
			who: who{certificate: "shipper"}, path: PathRecords, body: ownLine("org-lab", "x"), want: 403, wantText: `\"shipper\" may not write records of the organisation \"org-lab\"`,
		},
		"records of no organisation, by a certificate of one": {who: who{certificate: "shipper"}, path: PathRecords, body: ownLine("", "x"), want: 403},
		"one of them of another organisation": {
			who: who{certificate: "shipper"}, path: PathRecords, body: ownLine("org-lab", "x") + ownLine("org-shop", "y"), want: 200,
			wantText: `"accepted":1,"skipped":0,"rejected":[{"index":0,"message":"the client certificate of`, wantEntries: 1,
		},
		"records, by a certificate that is not listed":      {who: who{certificate: "stranger"}, path: PathRecords, body: ownLine("org-shop", "x"), want: 403},
		"records, by a token with permission":               {who: who{token: "token-of-ann"}, path: PathRecords, body: ownLine("org-shop", "x"), want: 200, wantEntries: 1},
		"records of another namespace, by that token":       {who: who{token: "token-of-ann"}, path: PathRecords, body: ownLine("org-lab", "x"), want: 403, wantText: `namespace \"lab\"`},
		"records that nobody claims, by that token":         {who: who{token: "token-of-ann"}, path: PathRecords, body: ownLine("", "x"), want: 403, wantText: tenancy.SystemNamespace},
		"records that nobody claims, with the permission":   {who: who{token: "token-of-sys"}, path: PathRecords, body: ownLine("unclaimed", "x"), want: 200, wantEntries: 1},
		"records, by nobody":                                {path: PathRecords, body: ownLine("org-shop", "x"), want: 401},
		"records, by nobody where that is wanted":           {path: PathRecords, body: ownLine("org-shop", "x"), want: 200, wantEntries: 1, modify: anonymous},
		"events, by nobody where records are wanted":        {path: PathKubernetes + "prod", want: 403, modify: anonymous},
		"bulk events, by nobody":                            {path: PathBulk, body: bulkBody("org-shop"), want: 401},
		"bulk events, by a certificate that is not listed":  {who: who{certificate: "stranger"}, path: PathBulk, body: bulkBody("org-shop"), want: 403},
		"bulk events, by a certificate of the organisation": {who: who{certificate: "shipper"}, path: PathBulk, body: bulkBody("org-shop"), want: 201, wantEntries: 1},
		"bulk events of another organisation": {
			who: who{certificate: "shipper"}, path: PathBulk, body: bulkBody("org-lab"), want: 201,
			wantText: `"discard_events":[{"unique_id":"x","status":"invalid","status_message":"the client certificate of`,
		},
		"bulk events, by a token":                     {who: who{token: "token-of-ann"}, path: PathBulk, body: bulkBody("org-shop"), want: 201, wantEntries: 1},
		"bulk events of another namespace":            {who: who{token: "token-of-ann"}, path: PathBulk, body: bulkBody("org-lab"), want: 201, wantText: `"status":"invalid"`},
		"audit events among records, of its cluster":  {who: who{certificate: "prod"}, path: PathRecords, body: event, want: 200, wantEntries: 1},
		"audit events among records, of another":      {who: who{certificate: "prod"}, path: PathRecords + "?cluster=test", body: event, want: 403},
		"audit events among records, of which":        {who: who{certificate: "CN=odd"}, path: PathRecords, body: event, want: 403, wantText: "?cluster=NAME"},
		"audit events among records, named":           {who: who{certificate: "CN=odd"}, path: PathRecords + "?cluster=dev", body: event, want: 200, wantEntries: 1},
		"audit events among records, by a token":      {who: who{token: "token-of-ann"}, path: PathRecords + "?cluster=prod", body: event, want: 200, wantEntries: 1},
		"audit events of no cluster, by a token":      {who: who{token: "token-of-ann"}, path: PathRecords, body: event, want: 403},
		"audit events among records, of another's":    {who: who{token: "token-of-ann"}, path: PathRecords + "?cluster=test", body: event, want: 403},
		"audit events, by one that may write records": {who: who{certificate: "shipper"}, path: PathRecords + "?cluster=prod", body: event, want: 403},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			modify := []func(*setting){func(s *setting) {
				s.senders.ClientClusters = map[string][]string{"CN=odd": {"test", "dev"}, "renamed": {"new"}}
				s.senders.ClientOrgs["shipper"] = []string{"org-shop", "org-more"}
			}}
			if test.modify != nil {
				modify = append(modify, test.modify)
			}
			r := newRig(t, modify...)
			for _, permission := range []string{"ann" + reports + "prod", "ann" + creates + "shop", "sys" + creates + tenancy.SystemNamespace} {
				r.cluster.allowed[permission] = true
			}
			if test.cluster != nil {
				test.cluster(r.cluster)
			}
			body := test.body
			if body == "" {
				body = string(builders.EventList(named("x")))
			}
			answered := r.do(request{client: test.who.client(r), token: test.who.token, path: test.path, body: strings.NewReader(body)})
			if answered.Status != test.want || !strings.Contains(answered.Body, test.wantText) {
				t.Errorf("answered %+v, want %d with %q", answered, test.want, test.wantText)
			}
			if answered.Status == 503 && answered.RetryAfter == "" {
				t.Error("there is no Retry-After")
			}
			if strings.Contains(answered.Body, "secret") || r.log.count("secret") > 0 {
				t.Error("an address leaks")
			}
			if n := len(r.spool.entries(t)); n != test.wantEntries {
				t.Errorf("%d records are in the spool, want %d", n, test.wantEntries)
			}
			if len(r.letters.letters) > 0 {
				t.Error("what may not be sent became a dead letter")
			}
		})
	}
}

func anonymous(s *setting) { s.senders.AllowAnonymous = true }

func TestAPermissionIsAskedForOncePerRequest(t *testing.T) {
	r := newRig(t)
	r.cluster.allowed["ann:create:audits.rest.auditquery.dev:shop"] = true
	var body strings.Builder
	for i := range 100 {
		body.WriteString(ownLine("org-shop", fmt.Sprint(i)))
		body.WriteString(ownLine("org-lab", fmt.Sprint(i)))
	}
	answered := r.do(request{client: r.clientWith(), token: "token-of-ann", path: PathRecords, body: strings.NewReader(body.String())})
	if answered.Status != 200 || !strings.Contains(answered.Body, `"accepted":100,`) || !strings.Contains(answered.Body, `"rejected_total":100`) {
		t.Errorf("answered %+v", answered)
	}
	slices.Sort(r.cluster.asked)
	want := []string{"ann:create:audits.rest.auditquery.dev:lab", "ann:create:audits.rest.auditquery.dev:shop"}
	if diff := cmp.Diff(want, r.cluster.asked); diff != "" {
		t.Error(diff)
	}
	if n := r.metric("auditquery_ingest_records_forbidden_total", ""); n != 100 {
		t.Errorf("counted %v forbidden records", n)
	}
}

func TestCertificatesThatDoNotCount(t *testing.T) {
	r := newRig(t)
	other, err := certs.NewCA("test") // of the same name, with another key
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.IssueClient("prod")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		client *http.Client
		scheme string
	}{
		"one of another CA": {client: r.clientWith(foreign), scheme: "https"},
		"no TLS":            {client: http.DefaultClient, scheme: "http"},
	} {
		t.Run(name, func(t *testing.T) {
			target := test.scheme + strings.TrimPrefix(r.url(PathKubernetes+"prod"), "https")
			res, err := test.client.Post(target, "application/json", bytes.NewReader(builders.EventList(named("x"))))
			if err == nil {
				defer res.Body.Close()
				if res.StatusCode < 400 {
					t.Errorf("answered %d", res.StatusCode)
				}
			}
			r.wantNames(nil)
		})
	}
}
