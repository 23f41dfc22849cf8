package security_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/repository"
	"auditquery.dev/auditquery/test/stage"
)

// asker is somebody who asks: an account of people with a role.
type asker struct {
	name string
	// title is how docs/security.md calls the column.
	title string
	// role is bound in the namespace in, or to all; "" is nobody.
	role, in string
}

// whoMayWhat are the columns of the table.
func whoMayWhat() []asker {
	return []asker{
		{name: "nobody", title: "nobody"},
		{name: "view", title: "`view` in shop", role: "view", in: "shop"},
		{name: "edit", title: "`edit` in shop", role: "edit", in: "shop"},
		{name: "reader", title: "`auditquery-reader` in shop", role: "auditquery-reader", in: "shop"},
		{name: "editor", title: "`auditquery-editor` in shop", role: "auditquery-editor", in: "shop"},
		{name: "other-reader", title: "`auditquery-reader` in bank", role: "auditquery-reader", in: "bank"},
		{name: queriesOnly, title: "may write queries, not list records", role: queriesOnly},
		{name: clusterReader, title: "`auditquery-cluster-reader`", role: "auditquery-cluster-reader"},
	}
}

// deed is a row of the table.
type deed struct {
	// title is how docs/security.md calls the row.
	title string
	// In path and body, RESOURCE stands for both kinds of records, FIELD for
	// their fields in a query, RECORD for the id of one of acme, and NUMBER for
	// one that nobody else has used.
	method, path, body string
	// own asks the server's own address instead of the kube-apiserver.
	own bool
	// want are the codes, one for each column.
	want [8]int
	// orgs are whose records a list shows to whom may ask: these and no others.
	orgs []string
}

const newQuery = `{"apiVersion":"auditquery.dev/v1alpha1","kind":"KIND","metadata":{"generateName":"q-"},"spec":{"FIELD":{}}}`

// everything is what there is in the cluster of the table.
func everything() []string { return []string{"acme", "bank", "globex", "initech", "shop"} }

// deeds are the rows of the table: of the records API, of queries, and of the
// original API on each way in.
func deeds() []deed {
	const queries = "/apis/auditquery.dev/v1alpha1"
	return slices.Concat([]deed{
		{title: "list the records of shop", path: in(recordsPath, "shop", "RESOURCE"), orgs: []string{"acme", "shop"},
			want: [8]int{403, 403, 403, 200, 200, 403, 403, 200}},
		{title: "list the records of all namespaces", path: in(recordsPath, "", "RESOURCE"), orgs: everything(),
			want: [8]int{403, 403, 403, 403, 403, 403, 403, 200}},
		{title: "list those of all namespaces, narrowed to shop by a field selector",
			path: in(recordsPath, "", "RESOURCE") + "?fieldSelector=metadata.namespace%3Dshop", orgs: []string{"acme", "shop"},
			want: [8]int{403, 403, 403, 403, 403, 403, 403, 200}},
		{title: "get a record of shop in shop", path: in(recordsPath, "shop", "RESOURCE/RECORD"),
			want: [8]int{403, 403, 403, 200, 200, 403, 403, 200}},
		{title: "get a record of shop in bank", path: in(recordsPath, "bank", "RESOURCE/RECORD"),
			want: [8]int{403, 403, 403, 403, 403, 404, 403, 404}},
		{title: "get an AuditQuery of shop, with the records that it found", path: in(queries, "shop", "auditqueries/standing"),
			want: [8]int{403, 403, 403, 200, 200, 403, 403, 200}},
		{title: "create an AuditQuery in shop", method: http.MethodPost, path: in(queries, "shop", "auditqueries"),
			body: strings.Replace(newQuery, "KIND", "AuditQuery", 1), want: [8]int{403, 403, 403, 403, 201, 403, 403, 201}},
		{title: "change what an AuditQuery of shop asks", method: http.MethodPatch, path: in(queries, "shop", "auditqueries/standing"),
			body: `{"spec":{"limit":NUMBER}}`, want: [8]int{403, 403, 403, 403, 200, 403, 403, 200}},
		{title: "create a ClusterAuditQuery", method: http.MethodPost, path: in(queries, "", "clusterauditqueries"),
			body: strings.Replace(newQuery, "KIND", "ClusterAuditQuery", 1), want: [8]int{403, 403, 403, 403, 403, 403, 403, 201}},
	}, restDeeds())
}

func restDeeds() []deed {
	inShop := [8]int{403, 403, 403, 200, 200, 403, 403, 200}
	inBank := [8]int{403, 403, 403, 403, 403, 200, 403, 200}
	inCluster := [8]int{403, 403, 403, 403, 403, 403, 403, 200}
	inNone := [8]int{403, 403, 403, 403, 403, 403, 403, 403}
	all, shop := in(restPath, "", "RESOURCE"), in(restPath, "shop", "RESOURCE")
	return []deed{
		{title: "REST, kube-apiserver, whole cluster, no `org_id`", path: all, want: inCluster, orgs: everything()},
		{title: "REST, kube-apiserver, whole cluster, `org_id` of shop", path: all + "?org_id=acme", want: inCluster, orgs: []string{"acme"}},
		{title: "REST, kube-apiserver, whole cluster, `org_id` of bank", path: all + "?org_id=globex", want: inCluster, orgs: []string{"globex"}},
		{title: "REST, kube-apiserver, in shop, no `org_id`", path: shop, want: inShop, orgs: []string{"acme", "shop"}},
		{title: "REST, kube-apiserver, in shop, `org_id` of shop", path: shop + "?org_id=acme", want: inShop, orgs: []string{"acme"}},
		{title: "REST, kube-apiserver, in shop, `org_id` of bank", path: shop + "?org_id=globex", want: inNone},
		{title: "REST, own address, no `org_id`", own: true, path: "/v1/RESOURCE", want: inCluster, orgs: everything()},
		{title: "REST, own address, `org_id` of shop", own: true, path: "/v1/RESOURCE?org_id=acme", want: inShop, orgs: []string{"acme"}},
		{title: "REST, own address, `org_id` of bank", own: true, path: "/v1/RESOURCE?org_id=globex", want: inBank, orgs: []string{"globex"}},
		{title: "REST, own address, `org_id` that nobody claims", own: true, path: "/v1/RESOURCE?org_id=initech", want: inCluster, orgs: []string{"initech"}},
	}
}

// TestWhoMayWhat asks each question as everybody.
func TestWhoMayWhat(t *testing.T) {
	s := shared.Stage(t)
	ids := idsOf(t, s, "acme")
	last := 0
	number := func() int { last++; return last }
	for _, d := range deeds() {
		t.Run(d.title, func(t *testing.T) {
			for i, who := range whoMayWhat() {
				config := s.AnonymousConfig()
				if who.role != "" {
					config = account(t, s, who.name)
				}
				if d.own {
					config = s.Server().Config(config)
				}
				t.Run(who.name, func(t *testing.T) { d.try(t, config, ids, number, d.want[i]) })
			}
		})
	}
}

// try does the deed with both kinds of records.
func (d deed) try(t *testing.T, config *rest.Config, ids map[record.Kind]string, number func() int, want int) {
	method := d.method
	if method == "" {
		method = http.MethodGet
	}
	auth := "authaudits"
	if !strings.Contains(d.path, recordsPath) {
		auth = "auth_audits"
	}
	for _, kind := range record.Kinds() {
		resource, field := "audits", "audits"
		if kind == record.KindAuthAudit {
			resource, field = auth, "authAudits"
		}
		fill := strings.NewReplacer("RESOURCE", resource, "FIELD", field, "RECORD", ids[kind], "NUMBER", strconv.Itoa(number()))
		path := fill.Replace(d.path)
		got := ask(t, config, method, path, fill.Replace(d.body))
		got.wantCode(t, want)
		if d.orgs == nil || want != http.StatusOK {
			continue
		}
		shown := got.orgs(t)
		if slices.Contains(d.orgs, "initech") && len(d.orgs) > 1 {
			// Other tests add organisations of their own to the whole.
			shown = slices.DeleteFunc(shown, func(org string) bool { return !slices.Contains(d.orgs, org) })
		}
		if diff := cmp.Diff(d.orgs, shown); diff != "" {
			t.Errorf("%s: organisations (-want +got):\n%s", path, diff)
		}
	}
}

// idsOf are the ids of an organisation's records.
func idsOf(t *testing.T, s *stage.Stage, org string) map[record.Kind]string {
	t.Helper()
	ids := map[record.Kind]string{}
	for kind, resource := range map[record.Kind]string{record.KindAudit: "audits", record.KindAuthAudit: "auth_audits"} {
		list := get(t, s.ControlPlane().RESTConfig(), in(restPath, "", resource)+"?org_id="+org).list(t)
		rows := slices.Concat(list.Audits, list.AuthAudits)
		if len(rows) != 1 {
			t.Fatalf("%d %s of %s", len(rows), resource, org)
		}
		ids[kind] = rows[0].ID
	}
	return ids
}

// TestTheTableIsDocumented: docs/security.md holds the table of TestWhoMayWhat.
func TestTheTableIsDocumented(t *testing.T) {
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "\n| what |")
	documented, _, _ := strings.Cut("| what |"+after, "\n\n")
	if diff := cmp.Diff(table(), documented); diff != "" {
		t.Errorf("docs/security.md should have this table:\n%s\n\n(-want +got):\n%s", table(), diff)
	}
}

// table is what docs/security.md shows.
func table() string {
	var rows []string
	heads, rule := []string{"what"}, []string{"---"}
	for _, who := range whoMayWhat() {
		heads, rule = append(heads, who.title), append(rule, "---")
	}
	rows = append(rows, line(heads), line(rule))
	for _, d := range deeds() {
		cells := []string{d.title}
		for _, code := range d.want {
			cells = append(cells, strconv.Itoa(code))
		}
		rows = append(rows, line(cells))
	}
	return strings.Join(rows, "\n")
}

func line(cells []string) string { return "| " + strings.Join(cells, " | ") + " |" }
