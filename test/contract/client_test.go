package contract_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/builders"
)

// call is one call of the original client.
type call struct {
	Method    string         `json:"method"`
	Arguments map[string]any `json:"arguments"`
}

// outcome is what the client made of the answer.
type outcome struct {
	Type    string
	Limit   int
	Items   []string
	Records []map[string]any
	Raised  string
	Status  int
	Body    struct{ Message string }
}

// calls runs the original client against a host with a token and, where it has
// TLS, the file of the authorities that are trusted.
func calls(t *testing.T, host, token string, all []call, ca ...string) []outcome {
	t.Helper()
	return runScript[call, outcome](t, "client.py", all, append([]string{host, token}, ca...)...)
}

// runScript gives calls to one of our scripts and reads the outcome of each.
func runScript[C, O any](t *testing.T, name string, all []C, arguments ...string) []O {
	t.Helper()
	stdin, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, stdin, append([]string{script}, arguments...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var outcomes []O
	for line := range strings.Lines(out) {
		var o O
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		outcomes = append(outcomes, o)
	}
	if len(outcomes) != len(all) {
		t.Fatalf("%d outcomes of %d calls:\n%s", len(outcomes), len(all), out)
	}
	return outcomes
}

// full returns one record of each kind with every field set, and further ones
// that differ from them in one thing each.
func full() []record.Record {
	audit := func(modify ...func(*record.Audit)) *record.Audit {
		return builders.Audit(append([]func(*record.Audit){func(a *record.Audit) {
			a.TokenID, a.TraceID, a.Session, a.Cluster = "jti-1", "trace-1", "session-1", "main"
			a.SecondaryID, a.TertiaryID, a.ParentID, a.GrandparentID = "s", "t", "p", "g"
			a.TargetResourceOrgID = "org-1"
			a.Details = json.RawMessage(`{"nested":{"deep":[1,"two",null]}}`)
		}}, modify...)...)
	}
	login := func(modify ...func(*record.AuthAudit)) *record.AuthAudit {
		return builders.AuthAudit(append([]func(*record.AuthAudit){func(a *record.AuthAudit) {
			a.TokenID, a.TraceID, a.Session, a.RequestID, a.Issuer = "jti-1", "trace-1", "session-1", "request-1", "https://issuer.example"
			a.LoginOrgID, a.LoginOrgName, a.ApplicationName = "org-1", "Org One", "intranet"
		}}, modify...)...)
	}
	return []record.Record{
		audit(),
		audit(func(a *record.Audit) {
			a.UserID, a.Action, a.Attributes = "bob", "delete", nil
			a.Time = record.At(builders.Time().Add(-48 * time.Hour))
		}),
		audit(func(a *record.Audit) { a.OrgID = "org-2"; a.Attributes[0].Type = "role" }),
		login(), login(func(a *record.AuthAudit) { a.Session, a.Result, a.SourceIP = "session-2", "Denied", "2001:db8::1" }),
	}
}

func TestTheOriginalClientWorksUnchanged(t *testing.T) {
	type arguments = map[string]any
	table := map[string]struct {
		method    string
		arguments arguments
		wantRows  int
		wantLimit int
		wantField map[string]any
	}{
		"all audits":                {method: "list_audits", wantRows: 3},
		"audits by user":            {method: "list_audits", arguments: arguments{"user_id": "bob"}, wantRows: 1, wantField: arguments{"action": "delete"}},
		"audits of a day":           {method: "list_audits", arguments: arguments{"dt_from": "now-1day", "dt_to": "now"}, wantRows: 2},
		"audits of an organisation": {method: "list_audits", arguments: arguments{"org_id": "org-2"}, wantRows: 1},
		"audits with all parameters": {
			method: "list_audits", wantRows: 1, wantLimit: 1, wantField: arguments{"target_resource_name": "intranet", "session": "session-1"},
			arguments: arguments{
				"limit": 1, "user_id": "alice", "dt_from": "yesterday", "dt_to": "tomorrow", "action": "update", "target_id": "app-1",
				"token_id": "jti-1", "api_name": "applications", "target_resource_type": "application", "org_id": "org-1",
			},
		},
		"audits by attributes": {
			method: "list_audits", wantRows: 2,
			arguments: arguments{"attribute_type_list": []string{"group", "role"}, "attribute_id_list": []string{"g-1"}, "attribute_org_id": "org-1"},
		},
		"audits with empty parameters": {method: "list_audits", arguments: arguments{"dt_from": "", "dt_to": "", "action": "", "target_id": "", "api_name": "", "target_resource_type": ""}, wantRows: 3},
		"no audits":                    {method: "list_audits", arguments: arguments{"user_id": "nobody"}},
		"all auth audits":              {method: "list_auth_records", wantRows: 2},
		"auth audits by session":       {method: "list_auth_records", arguments: arguments{"session_id": "session-2"}, wantRows: 1, wantField: arguments{"result": "Denied", "source_ip": "2001:db8::1"}},
		"auth audits by address":       {method: "list_auth_records", arguments: arguments{"source_ip": "2001:db8:0::1"}, wantRows: 1},
		"auth audits with all parameters": {
			method: "list_auth_records", wantRows: 1, wantLimit: 500, wantField: arguments{"login_org_name": "Org One", "application_name": "intranet"},
			arguments: arguments{
				"limit": 500, "user_id": "alice", "dt_from": "now-1h", "dt_to": "now", "org_id": "org-1", "session_id": "session-1",
				"trace_id": "trace-1", "upstream_user_id": "alice@idp", "upstream_idp": "google", "login_org_id": "org-1",
				"source_ip": "192.0.2.7", "client_id": "client-1", "event": "Success", "stage": "Login",
				"request_id": "request-1", "result": "Success", "event_name": "Login",
			},
		},
	}
	host := serve(t, full()...)
	for _, prefix := range []string{"", "/apis/rest.auditquery.dev"} {
		var names []string
		var all []call
		for name, tc := range table {
			if tc.arguments == nil {
				tc.arguments = arguments{}
			}
			names, all = append(names, name), append(all, call{Method: tc.method, Arguments: tc.arguments})
		}
		for i, got := range calls(t, host+prefix, token, all) {
			t.Run(names[i]+" at "+prefix+"/v1", func(t *testing.T) {
				tc := table[names[i]]
				wantType, wantItem := "ListAuditsResponse", "Audit"
				if tc.method == "list_auth_records" {
					wantType, wantItem = "ListAuthAuditsResponse", "AuthAudits"
				}
				if got.Type != wantType || len(got.Records) != tc.wantRows || got.Limit != max(tc.wantLimit, 1) && tc.wantLimit > 0 {
					t.Fatalf("got %s with %d rows of at most %d (%s %d %s)", got.Type, len(got.Records), got.Limit, got.Raised, got.Status, got.Body.Message)
				}
				if tc.wantRows > 0 && cmp.Diff([]string{wantItem}, got.Items) != "" {
					t.Errorf("rows are %v, want %s", got.Items, wantItem)
				}
				for field, want := range tc.wantField {
					if got.Records[0][field] != want {
						t.Errorf("%s is %v, want %v", field, got.Records[0][field], want)
					}
				}
			})
		}
	}
}

func TestTheOriginalClientReadsEveryField(t *testing.T) {
	records := full()
	got := calls(t, serve(t, records[0], records[3]), token, []call{
		{Method: "list_audits", Arguments: map[string]any{}}, {Method: "list_auth_records", Arguments: map[string]any{}},
	})
	for i, r := range []record.Record{records[0], records[3]} {
		document, err := record.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]any
		if err := json.Unmarshal(document, &want); err != nil {
			t.Fatal(err)
		}
		if len(got[i].Records) != 1 {
			t.Fatalf("%s: got %d records", r.Kind(), len(got[i].Records))
		}
		// The client makes times of times; it writes them without a T.
		read := got[i].Records[0]
		at, err := time.Parse("2006-01-02 15:04:05.999999-07:00", fmt.Sprint(read["time"]))
		if err != nil || !at.Equal(r.Base().Time.Time()) {
			t.Errorf("%s: time is %v (%v), want %s", r.Kind(), read["time"], err, r.Base().Time)
		}
		for _, field := range []string{"time", "ingest_time"} {
			delete(want, field)
			delete(read, field)
		}
		if diff := cmp.Diff(want, read); diff != "" {
			t.Errorf("%s (-stored +read by the client):\n%s", r.Kind(), diff)
		}
	}
}

func TestTheOriginalClientUnderstandsRefusals(t *testing.T) {
	host := serve(t, full()...)
	for name, tc := range map[string]struct {
		host, token  string
		call         call
		wantRaised   string
		wantStatus   int
		wantContains string
	}{
		"a wrong token": {host: host, token: "wrong", call: call{Method: "list_audits"}, wantRaised: "UnauthorizedException", wantStatus: 401},
		"a wrong time": {
			host: host, token: token, call: call{Method: "list_audits", Arguments: map[string]any{"dt_from": "soon"}},
			wantRaised: "ApiException", wantStatus: 400, wantContains: "dt_from",
		},
		"a wrong path": {host: host + "/v2", token: token, call: call{Method: "list_auth_records"}, wantRaised: "NotFoundException", wantStatus: 404},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.call.Arguments == nil {
				tc.call.Arguments = map[string]any{}
			}
			got := calls(t, tc.host, tc.token, []call{tc.call})[0]
			if got.Raised != tc.wantRaised || got.Status != tc.wantStatus || !strings.Contains(got.Body.Message, tc.wantContains) || got.Body.Message == "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestTheClientsAreThoseThatArePinned(t *testing.T) {
	text, err := os.ReadFile("requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, nil, "-c", "import importlib.metadata as m; [print(n+'=='+m.version(n)) for n in ('agilicus', 'kubernetes', 'schemathesis')]")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if !strings.Contains(string(text), "\n"+line) {
			t.Errorf("%s is not in requirements.txt", strings.TrimSpace(line))
		}
	}
}
