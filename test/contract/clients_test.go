package contract_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// originalClient runs the original client unchanged, at the two hosts that it can
// be given. What it makes of the answers is the same.
func (c *cluster) originalClient(t *testing.T) {
	type arguments = map[string]any
	table := map[string]struct {
		method     string
		arguments  arguments
		wantRows   int
		wantStatus int
		wantText   string
	}{
		"all audits":            {method: "list_audits", wantRows: 4},
		"all auth audits":       {method: "list_auth_records", wantRows: 3},
		"an organisation":       {method: "list_audits", arguments: arguments{"org_id": "org-1"}, wantRows: 2},
		"an organisation alone": {method: "list_audits", arguments: arguments{"org_id": "org-9"}, wantRows: 1},
		"every parameter of audits": {
			method: "list_audits", wantRows: 1,
			arguments: arguments{
				"limit": 1, "user_id": "alice", "dt_from": "2026-11-01", "dt_to": "tomorrow", "action": "update", "target_id": "app-1",
				"token_id": "jti-1", "api_name": "applications", "target_resource_type": "application", "org_id": "org-1",
				"attribute_type": "group", "attribute_id": "g-1", "attribute_org_id": "org-1",
				"attribute_type_list": []string{"group", "role"}, "attribute_id_list": []string{"g-1"},
			},
		},
		"every parameter of auth audits": {
			method: "list_auth_records", wantRows: 1,
			arguments: arguments{
				"limit": 500, "user_id": "alice", "dt_from": "2026-11-01", "dt_to": "now", "org_id": "org-1", "session_id": "session-1",
				"trace_id": "trace-1", "upstream_user_id": "alice@idp", "upstream_idp": "google", "login_org_id": "org-1",
				"source_ip": "192.0.2.7", "client_id": "client-1", "event": "Success", "stage": "Login",
				"request_id": "request-1", "result": "Success", "event_name": "Login",
			},
		},
		"a wrong time":      {method: "list_audits", arguments: arguments{"dt_from": "soon"}, wantStatus: 400, wantText: "dt_from: "},
		"what there is not": {method: "list_audits", arguments: arguments{"resources_behind_connector_id": "c"}, wantStatus: 400, wantText: "connector"},
	}
	names := slices.Sorted(maps.Keys(table))
	var all []call
	for _, name := range names {
		given := table[name].arguments
		if given == nil {
			given = arguments{}
		}
		all = append(all, call{Method: table[name].method, Arguments: given})
	}
	own := calls(t, c.Server().URL(), c.token(allRecords), all, c.authorities)
	through := calls(t, c.groupHost(), c.token(allRecords), all, c.authorities)
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			want := table[name]
			if got := own[i]; len(got.Records) != want.wantRows || got.Status != want.wantStatus || !strings.Contains(got.Body.Message, want.wantText) {
				t.Errorf("at %s: %+v", ownAddress, got)
			}
			if diff := cmp.Diff(own[i], through[i]); diff != "" {
				t.Errorf("(-own address +kube-apiserver):\n%s", diff)
			}
		})
	}
}

func (c *cluster) originalClientRefused(t *testing.T) {
	refused := []call{{Method: "list_audits", Arguments: map[string]any{}}}
	for _, host := range []string{c.Server().URL(), c.groupHost()} {
		if got := calls(t, host, c.token(shopRecords), refused, c.authorities)[0]; got.Status != 403 || got.Raised != "ForbiddenException" {
			t.Errorf("all, as a reader of shop: %+v", got)
		}
	}
}

// readCall is one call of the official client; records.py says what it can be.
type readCall struct {
	Client    string         `json:"client"`
	Kind      string         `json:"kind"`
	Resource  string         `json:"resource"`
	Namespace string         `json:"namespace,omitempty"`
	Name      string         `json:"name,omitempty"`
	Arguments map[string]any `json:"arguments,omitempty"`
	Follow    bool           `json:"follow,omitempty"`
}

// readOutcome is what it made of the answer.
type readOutcome struct {
	Kind    string
	Pages   []int
	Columns []string
	Items   []struct {
		Metadata objectMeta
		Cells    []any
		Object   struct{ Metadata objectMeta }
	}
	Object map[string]any
	Raised string
	Status int
	Body   struct{ Message string }
}

type objectMeta struct {
	Name      string
	Namespace string
}

func (o readOutcome) names() []string {
	var names []string
	for _, item := range o.Items {
		names = append(names, item.Metadata.Name+item.Object.Metadata.Name)
	}
	return names
}

// officialClient reads with the official client of Kubernetes in Python: its
// CustomObjectsApi, its dynamic client, and a request of one's own for a Table.
func (c *cluster) officialClient(t *testing.T) {
	window := map[string]any{"field_selector": "from=2026-10-01,to=now"}
	paged := map[string]any{"field_selector": "from=2026-10-01,orgID!=org-9", "limit": 1}
	table := map[string]struct {
		account string
		call    readCall
		// wantPages holds the number of records on each page.
		wantPages  []int
		wantStatus int
		wantText   string
	}{
		"all audits":                {call: readCall{Arguments: window}, wantPages: []int{4}},
		"audits of a namespace":     {call: readCall{Namespace: "shop", Arguments: window}, wantPages: []int{3}},
		"page by page":              {call: readCall{Namespace: "shop", Arguments: paged, Follow: true}, wantPages: []int{1, 1, 1}},
		"the first page":            {call: readCall{Arguments: paged}, wantPages: []int{1}},
		"by a label":                {call: readCall{Namespace: "shop", Arguments: map[string]any{"label_selector": "auditquery.dev/outcome!=Success"}}, wantPages: []int{0}},
		"a field that there is not": {call: readCall{Arguments: map[string]any{"field_selector": "colour=red"}}, wantStatus: 400, wantText: "targetResourceName"},
		"a token that nobody made":  {call: readCall{Arguments: map[string]any{"_continue": "e30.e30"}}, wantStatus: 400, wantText: "continue token"},
		"an old token":              {call: readCall{Arguments: map[string]any{"_continue": oldToken(t)}}, wantStatus: 410, wantText: "continue token"},
		"all, as a reader of shop":  {account: shopRecords, call: readCall{Arguments: window}, wantStatus: 403, wantText: "forbidden"},
		"shop, as its reader":       {account: shopRecords, call: readCall{Namespace: "shop", Arguments: window}, wantPages: []int{3}},
	}
	for _, client := range []string{"custom", "dynamic", "table"} {
		// Calls of one account run in one process.
		byAccount := map[string][]string{}
		for _, name := range slices.Sorted(maps.Keys(table)) {
			account := table[name].account
			if account == "" {
				account = allRecords
			}
			byAccount[account] = append(byAccount[account], name)
		}
		for account, names := range byAccount {
			var all []readCall
			for _, name := range names {
				call := table[name].call
				call.Client, call.Kind, call.Resource = client, "Audit", "audits"
				all = append(all, call)
			}
			for i, got := range c.read(t, account, all) {
				t.Run(client+": "+names[i], func(t *testing.T) {
					want := table[names[i]]
					if diff := cmp.Diff(want.wantPages, got.Pages); diff != "" || got.Status != want.wantStatus || !strings.Contains(got.Body.Message, want.wantText) {
						t.Errorf("%d %s %s; records per page (-want +got):\n%s", got.Status, got.Raised, got.Body.Message, diff)
					}
				})
			}
		}
	}
	t.Run("every client sees the same", c.officialFormsAgree)
}

// read runs the official client at the kube-apiserver as an account.
func (c *cluster) read(t *testing.T, account string, all []readCall) []readOutcome {
	t.Helper()
	return runScript[readCall, readOutcome](t, "records.py", all, c.ControlPlane().URL(), c.token(account), c.authorities)
}

func (c *cluster) officialFormsAgree(t *testing.T) {
	login := full()[3]
	id := login.Base().ID.String()
	var all []readCall
	for _, client := range []string{"custom", "dynamic", "table"} {
		all = append(all, readCall{Client: client, Kind: "AuthAudit", Resource: "authaudits", Namespace: "shop"})
	}
	for _, client := range []string{"custom", "dynamic"} {
		for _, namespace := range []string{"shop", "auditquery-system"} {
			all = append(all, readCall{Client: client, Kind: "AuthAudit", Resource: "authaudits", Namespace: namespace, Name: id})
		}
	}
	got := c.read(t, allRecords, all)
	lists, objects := got[:3], got[3:]
	for i, want := range []string{"AuthAuditList", "AuthAuditList", "Table"} {
		if diff := cmp.Diff(lists[0].names(), lists[i].names()); diff != "" || lists[i].Kind != want || len(lists[i].names()) != 2 {
			t.Errorf("%s: %s (-custom +got):\n%s", all[i].Client, lists[i].Kind, diff)
		}
	}
	wantColumns := []string{"Time", "User", "Event", "Result", "Org", "Application", "Source", "Agent", "Token", "Trace", "ID"}
	if diff := cmp.Diff(wantColumns, lists[2].Columns); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(objects[0].Object, objects[2].Object); diff != "" || objects[0].Object["upstreamUserID"] != "alice@idp" {
		t.Errorf("one record (-custom +dynamic):\n%s", diff)
	}
	for _, i := range []int{1, 3} {
		if objects[i].Status != 404 {
			t.Errorf("%s, a record of elsewhere: %+v", all[3+i].Client, objects[i])
		}
	}
}
