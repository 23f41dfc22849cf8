package apiserver

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"auditquery.dev/auditquery/test/await"
)

func TestThroughARealKubeAPIServer(t *testing.T) {
	c := startCluster(t)
	t.Run("a list in a namespace says that it ends early", c.wantTruncatedList)
	t.Run("all namespaces", c.wantAllNamespaces)
	t.Run("wide", c.wantWide)
	t.Run("selectors and pages", c.wantSelectors)
	t.Run("one record", c.wantOneRecord)
	t.Run("an empty list", func(t *testing.T) {
		if out := c.kubectl("get", "authaudits", "-n", "shop"); out != "" {
			t.Errorf("%s", out)
		}
	})
	t.Run("discovery and explain", c.wantDiscovery)
	t.Run("permissions", c.wantPermissions)
	t.Run("verbs that there are not", c.wantNoOtherVerbs)
	t.Run("the original lists", func(t *testing.T) {
		// kubectl sorts the parameters.
		path := "/apis/rest.auditquery.dev/v1/namespaces/shop/audits?dt_from=2026-11-01T00%3A00%3A00%2B02%3A00&user_id=a&user_id=b"
		if out := c.kubectl("get", "--raw", path); out != "original GET "+path {
			t.Error(out)
		}
	})
	t.Run("on the server's own address", c.wantOwnAddress)
	t.Run("priority and fairness", c.wantPriority)
	t.Run("the store is away", c.wantLittleHarm)
}

func lines(out string) []string { return strings.Split(strings.TrimSpace(out), "\n") }

func (c *cluster) wantTruncatedList(t *testing.T) {
	out, warnings, err := c.cp.Kubectl(t.Context(), "get", "audits", "-n", "shop")
	if err != nil {
		t.Fatal(err)
	}
	rows := lines(out)
	if len(rows) != 501 || strings.Join(strings.Fields(rows[0]), " ") != "TIME USER ACTION RESOURCE NAME OUTCOME CODE" ||
		!strings.Contains(rows[1], "thing-0") || !strings.Contains(rows[500], "thing-499") {
		t.Errorf("%d rows:\n%s\n%s", len(rows), rows[0], rows[1])
	}
	if !strings.Contains(warnings, "Warning: this list is not complete") {
		t.Errorf("warnings: %s", warnings)
	}
	if out, _, err := c.cp.Kubectl(t.Context(), "get", "audits", "-n", "shop", "--chunk-size=37"); err != nil || len(lines(out)) != 501 {
		t.Errorf("in chunks: %d rows, %v", len(lines(out)), err)
	}
}

func (c *cluster) wantAllNamespaces(t *testing.T) {
	out := c.kubectl("get", "audits", "-A", "--field-selector", "from=now-90day")
	rows := lines(out)
	got := map[string]int{}
	for _, row := range rows[1:] {
		got[strings.Fields(row)[0]]++
	}
	if len(rows) != 624 || got["shop"] != 620 || got["bank"] != 2 || got["auditquery-system"] != 1 || !strings.HasPrefix(rows[0], "NAMESPACE") {
		t.Errorf("%d rows: %v", len(rows), got)
	}
}

func (c *cluster) wantWide(t *testing.T) {
	rows := lines(c.kubectl("get", "audits", "-n", "bank", "-o", "wide"))
	want := "TIME USER ACTION RESOURCE NAME OUTCOME CODE SOURCE AGENT TOKEN TRACE ID"
	if len(rows) != 3 || strings.Join(strings.Fields(rows[0]), " ") != want || !strings.Contains(rows[1], "192.0.2.7") {
		t.Errorf("%s", strings.Join(rows, "\n"))
	}
}

func (c *cluster) wantSelectors(t *testing.T) {
	for _, chunk := range []string{"500", "10", "0"} {
		out := c.kubectl("get", "audits", "-n", "shop", "--field-selector", "action=delete,userID=alice,from=2026-11-01,to=now", "--chunk-size="+chunk)
		if rows := lines(out); len(rows) != 63 {
			t.Errorf("chunks of %s: %d rows", chunk, len(rows))
		}
	}
	out := c.kubectl("get", "audits", "-n", "shop", "-l", "auditquery.dev/outcome=Success", "--field-selector", "from=now-90day,sourceIP=192.0.2.0/24", "-o", "name", "--sort-by=.time")
	if rows := lines(out); len(rows) != 620 || !strings.HasPrefix(rows[0], "audit.records.auditquery.dev/") {
		t.Errorf("%d rows: %s", len(rows), rows[0])
	}
	if _, _, err := c.cp.Kubectl(t.Context(), "get", "audits", "-n", "shop", "--field-selector", "verb=get"); err == nil || !strings.Contains(err.Error(), "targetResourceName") {
		t.Errorf("an unknown field: %v", err)
	}
}

func (c *cluster) wantOneRecord(t *testing.T) {
	id := c.records[0].Base().ID.String()
	out := c.kubectl("get", "audits", id, "-n", "shop", "-o", "yaml")
	for _, want := range []string{"kind: Audit", "name: " + id, "namespace: shop", "targetResourceName: thing-0", "attributeType: group", "details:"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is missing:\n%s", want, out)
		}
	}
	if _, _, err := c.cp.Kubectl(t.Context(), "get", "audits", id, "-n", "bank"); err == nil || !strings.Contains(err.Error(), "NotFound") {
		t.Errorf("in another namespace: %v", err)
	}
	var list struct {
		Items []struct {
			Details map[string]any `json:"details"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(c.kubectl("get", "audits", "-n", "bank", "-o", "json")), &list); err != nil || len(list.Items) != 2 || len(list.Items[0].Details) != 1 {
		t.Errorf("%v %+v", err, list)
	}
}

func (c *cluster) wantDiscovery(t *testing.T) {
	out := c.kubectl("api-resources", "--api-group=records.auditquery.dev", "-o", "wide", "--no-headers")
	for _, row := range lines(out) {
		if !strings.Contains(row, "get,list") || strings.Contains(row, "watch") {
			t.Errorf("%s", row)
		}
	}
	if rows := lines(out); len(rows) != 2 {
		t.Errorf("%s", out)
	}
	if out := c.kubectl("explain", "audits.auditAttributes"); !strings.Contains(out, "attributeOrgID") {
		t.Errorf("%s", out)
	}
	if out := c.kubectl("explain", "authaudits"); !strings.Contains(out, "upstreamUserID") {
		t.Errorf("%s", out)
	}
	if out := c.kubectl("get", "all", "-n", "shop"); strings.Contains(out, "audit") {
		t.Errorf("%s", out)
	}
}

func (c *cluster) wantPermissions(t *testing.T) {
	reader := c.as("reader")
	c.kubectl("create", "rolebinding", "reader", "-n", "bank", "--clusterrole=auditquery-reader", "--user=reader")
	if out := c.kubectl(reader, "get", "audits", "-n", "bank"); len(lines(out)) != 3 {
		t.Errorf("%s", out)
	}
	// Selectors are part of what is authorized: none of ours may be too odd for it.
	out := c.kubectl(reader, "get", "audits", "-n", "bank", "-l", "auditquery.dev/outcome in (Success,Denied)", "--field-selector",
		`from=2026-11-01 10:00,to=now+1h/d,userAgent!=,tokenID=,sourceIP=192.0.2.0/24,metadata.namespace=bank,userID!=a\,b\=c`)
	if len(lines(out)) != 3 {
		t.Errorf("%s", out)
	}
	name := c.kubectl(reader, "get", "audits", "-n", "bank", "-o", "jsonpath={.items[0].metadata.name}")
	if out := c.kubectl(reader, "get", "audits", "-n", "bank", "--field-selector", "from=now-90day,metadata.name="+name); len(lines(out)) != 2 {
		t.Errorf("%s", out)
	}
	for _, args := range [][]string{{"get", "audits", "-n", "shop"}, {"get", "audits", "-A"}, {"get", "audits", c.records[0].Base().ID.String(), "-n", "shop"}} {
		if _, _, err := c.cp.Kubectl(t.Context(), append([]string{reader}, args...)...); err == nil || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func (c *cluster) wantNoOtherVerbs(t *testing.T) {
	id := c.records[0].Base().ID.String()
	if _, _, err := c.cp.Kubectl(t.Context(), "delete", "audits", id, "-n", "shop"); err == nil || !strings.Contains(err.Error(), "MethodNotAllowed") {
		t.Errorf("delete: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, _, err := c.cp.Kubectl(ctx, "get", "audits", "-n", "bank", "-w")
	if err == nil || !strings.Contains(err.Error(), "AuditQuery with an interval") {
		t.Errorf("watch: %v", err)
	}
}

func (c *cluster) wantLittleHarm(t *testing.T) {
	close(c.store.down)
	defer func() { c.store.down = make(chan struct{}) }()
	for _, path := range []string{"/apis/records.auditquery.dev/v1alpha1", "/apis/rest.auditquery.dev/v1", "/openapi/v2", "/openapi/v3", "/apis"} {
		if out := c.kubectl("get", "--raw", path); out == "" {
			t.Errorf("%s is empty", path)
		}
	}
	c.kubectl("create", "namespace", "fleeting")
	c.kubectl("delete", "namespace", "fleeting", "--timeout=60s")
	out := c.kubectl("get", "apiservices", "v1alpha1.records.auditquery.dev", "v1.rest.auditquery.dev", "-o",
		`jsonpath={range .items[*]}{.status.conditions[?(@.type=="Available")].status} {end}`)
	if strings.TrimSpace(out) != strings.Join([]string{"True", "True"}, " ") {
		t.Errorf("available: %q", out)
	}
	_, _, err := c.cp.Kubectl(t.Context(), "get", "--raw", "/apis/records.auditquery.dev/v1alpha1/namespaces/shop/audits?limit=1")
	if err == nil || !strings.Contains(fmt.Sprint(err), "the store of records cannot answer now") {
		t.Errorf("a list: %v", err)
	}
}

// wantOwnAddress asks the server itself, as a ServiceAccount that may list the
// original API's audits in shop.
func (c *cluster) wantOwnAddress(t *testing.T) {
	c.apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: original, namespace: shop}
rules: [{apiGroups: [rest.auditquery.dev], resources: [audits], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: original, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: original}
subjects: [{kind: ServiceAccount, name: default, namespace: shop}]
`)
	token := strings.TrimSpace(c.kubectl("create", "token", "default", "-n", "shop"))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.ca.Pool()}}}
	defer client.CloseIdleConnections()
	for path, want := range map[string]int{
		"/v1/audits?org_id=shop": http.StatusOK, "/v1/audits?org_id=bank": http.StatusForbidden, "/v1/audits": http.StatusForbidden,
		"/v1/auth_audits?org_id=shop": http.StatusForbidden, "/v1/audits?org_id=shop&org_id=shop": http.StatusBadRequest, "/readyz": http.StatusOK,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		response, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != want {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
}

// wantPriority looks for our FlowSchema in what the kube-apiserver and our server
// each say of a request.
func (c *cluster) wantPriority(t *testing.T) {
	schema := c.kubectl("get", "flowschemas", "auditquery-records", "-o", "jsonpath={.metadata.uid}")
	path := filepath.Join(c.dir, "turn.kubeconfig")
	if err := c.cp.WriteKubeconfig(path, "turn"); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	c.kubectl("create", "rolebinding", "turn", "-n", "bank", "--clusterrole=auditquery-reader", "--user=turn")
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	await.Nil(t, "both know the FlowSchema", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cp.URL()+recordsPath+"/namespaces/bank/audits", http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(req)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		got := response.Header.Values("X-Kubernetes-Pf-Flowschema-Uid")
		if diff := cmp.Diff([]string{schema, schema}, got); diff != "" || response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s (-want +got):\n%s", response.Status, diff)
		}
		return nil
	})
}
