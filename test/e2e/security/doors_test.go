package security_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/test/await"
)

// waysIn are the paths of a list of audits on each way in.
func waysIn() map[string]string {
	return map[string]string{
		"records":               in(recordsPath, "shop", "audits"),
		"REST, whole cluster":   in(restPath, "", "audits"),
		"REST, in a namespace":  in(restPath, "shop", "audits"),
		"REST, own address":     "/v1/audits",
		"REST, an organisation": "/v1/audits?org_id=acme",
	}
}

func TestABadTokenIs401(t *testing.T) {
	s := shared.Stage(t)
	bad := s.AnonymousConfig()
	bad.BearerToken = "this-token-is-no-longer-valid"
	for name, path := range waysIn() {
		t.Run(name, func(t *testing.T) {
			if !strings.HasPrefix(path, "/v1/") {
				get(t, bad, path).wantCode(t, http.StatusUnauthorized)
			}
			get(t, s.Server().Config(bad), path).wantCode(t, http.StatusUnauthorized)
		})
	}
}

// TestNobodyBecomesSomebodyElse: only the kube-apiserver's certificate may say for
// whom a request is.
func TestNobodyBecomesSomebodyElse(t *testing.T) {
	s := shared.Stage(t)
	for name, header := range map[string]http.Header{
		"headers of a proxy":       {"X-Remote-User": {"admin"}, "X-Remote-Group": {"system:masters"}},
		"headers of impersonation": {"Impersonate-User": {"admin"}, "Impersonate-Group": {"system:masters"}},
	} {
		for who, config := range map[string]*rest.Config{
			"nobody": s.AnonymousConfig(), "a reader of shop": account(t, s, "reader"),
		} {
			for _, path := range []string{"/v1/audits", in(recordsPath, "", "audits"), in(restPath, "bank", "audits")} {
				t.Run(name+", "+who+", "+path, func(t *testing.T) {
					askWith(t, s.Server().Config(config), http.MethodGet, path, "", header).wantCode(t, http.StatusForbidden)
				})
			}
		}
	}
}

// TestNoPathLeadsElsewhere asks as a reader of shop in odd ways. Whatever the
// answer is, it shows nothing but records of shop.
func TestNoPathLeadsElsewhere(t *testing.T) {
	s := shared.Stage(t)
	reader := account(t, s, "reader")
	for _, path := range []string{
		"/v1/audits?org_id=", "/v1/audits/?org_id=acme", "//v1/audits?org_id=acme", "/v1//audits?org_id=acme", "/v1/./audits",
		"/v1/audits?org_id=acme;org_id=globex", "/v1/audits?org_id=acme%26org_id=globex", "/v1/audits?ORG_ID=globex&org_id=acme",
		"/v1/audits?org%5Fid=globex&org_id=acme", "/v1/audits?org_id=acme&namespace=bank", "/v1/audits?org_id=acme%00",
		"/v1/audits?org_id=acme&fieldSelector=metadata.namespace%3Dbank", "/v1/audits%3Forg_id=acme", "/v1/Audits?org_id=acme",
		in(restPath, "shop/../bank", "audits"), in(restPath, "shop%2F..%2Fbank", "audits"), in(restPath, "", "namespaces//audits"),
		in(restPath, "shop", "audits/../../bank/audits"), in(restPath, "shop", "audits") + "?namespace=bank", in(restPath, "SHOP", "audits"),
		in(restPath, "*", "audits"), in(restPath, "shop,bank", "audits"), in(restPath, "shop", "audits;x=y"),
		in(recordsPath, "shop/../bank", "audits"), in(recordsPath, "shop%2F..%2Fbank", "audits"),
		in(recordsPath, "shop", "audits") + "?fieldSelector=metadata.namespace%3Dbank",
		in(recordsPath, "shop", "audits") + "?fieldSelector=orgID%3Dglobex", in(recordsPath, "*", "audits"),
	} {
		for where, config := range map[string]*rest.Config{"kube-apiserver": reader, "own address": s.Server().Config(reader)} {
			t.Run(where+" "+path, func(t *testing.T) {
				got := get(t, config, path)
				if got.code != http.StatusOK {
					if got.code < 400 || got.code >= 500 {
						t.Errorf("%d: %s", got.code, got.body)
					}
					return
				}
				for _, org := range got.orgs(t) {
					if !slices.Contains([]string{"acme", "shop"}, org) {
						t.Errorf("it shows %s", org)
					}
				}
			})
		}
	}
}

func TestARepeatedOrganisationIsRefused(t *testing.T) {
	s := shared.Stage(t)
	reader := account(t, s, clusterReader)
	for name, config := range map[string]*rest.Config{
		in(restPath, "", "audits"): reader, in(restPath, "shop", "audits"): reader, "/v1/audits": s.Server().Config(reader),
	} {
		got := get(t, config, name+"?org_id=acme&org_id=acme")
		if got.wantCode(t, http.StatusBadRequest); !strings.Contains(got.body, "org_id") {
			t.Errorf("%s: the message does not name it: %s", name, got.body)
		}
	}
}

// TestWhatKubectlSays: a person can read what is missing.
func TestWhatKubectlSays(t *testing.T) {
	s := shared.Stage(t)
	kubeconfig, err := s.Kubeconfig("eve")
	if err != nil {
		t.Fatal(err)
	}
	s.Kubectl(t, "create", "rolebinding", "eve", "-n", "bank", "--clusterrole="+queriesOnly, "--user=eve")
	query := `{"apiVersion":"auditquery.dev/v1alpha1","kind":"AuditQuery","metadata":{"name":"eves","namespace":"bank"},"spec":{"audits":{}}}`
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"records": {[]string{"get", "audits", "-n", "shop"},
			`Error from server (Forbidden): audits.records.auditquery.dev is forbidden: User "eve" cannot list resource "audits" in API group "records.auditquery.dev" in the namespace "shop"`},
		"all records": {[]string{"get", "authaudits", "-A"},
			`Error from server (Forbidden): authaudits.records.auditquery.dev is forbidden: User "eve" cannot list resource "authaudits" in API group "records.auditquery.dev" at the cluster scope`},
		"a query": {[]string{"create", "-f", "-"},
			"asking about audits in namespace bank needs the permission to list audits.records.auditquery.dev there"},
		"the permission": {[]string{"auth", "can-i", "list", "audits.records.auditquery.dev", "-n", "shop"}, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			await.Nil(t, "kubectl says it", func(ctx context.Context) error {
				out, errOut, err := s.ControlPlane().KubectlInput(ctx, strings.NewReader(query), append(tc.args, "--kubeconfig="+kubeconfig)...)
				if err == nil || !strings.Contains(out+errOut, tc.want) {
					return fmt.Errorf("%w: %s%s", err, out, errOut)
				}
				return nil
			})
		})
	}
}

// TestANamespaceAdminCannotGrantIt: whoever administers a namespace has no records
// to give away.
func TestANamespaceAdminCannotGrantIt(t *testing.T) {
	s := shared.Stage(t)
	kubeconfig, err := s.Kubeconfig("boss")
	if err != nil {
		t.Fatal(err)
	}
	s.Kubectl(t, "create", "rolebinding", "boss", "-n", "bank", "--clusterrole=admin", "--user=boss")
	as := "--kubeconfig=" + kubeconfig
	await.Nil(t, "boss administers bank", func(ctx context.Context) error {
		_, _, err := s.ControlPlane().Kubectl(ctx, as, "get", "rolebindings", "-n", "bank")
		return err
	})
	for _, role := range []string{"auditquery-reader", "auditquery-editor", "auditquery-cluster-reader", "auditquery-admin"} {
		_, _, err := s.ControlPlane().Kubectl(t.Context(), as, "create", "rolebinding", "mine", "-n", "bank", "--clusterrole="+role, "--user=boss")
		if err == nil || !strings.Contains(err.Error(), "attempting to grant RBAC permissions not currently held") {
			t.Errorf("%s: %v", role, err)
		}
	}
}

// TestQueriesSeeTheirNamespace: an AuditQuery finds what a list in its namespace
// shows, whoever wrote it.
func TestQueriesSeeTheirNamespace(t *testing.T) {
	s := shared.Stage(t)
	s.Apply(t, `
{"apiVersion":"auditquery.dev/v1alpha1","kind":"AuditQuery","metadata":{"name":"mine","namespace":"shop"},"spec":{"audits":{}}}
---
{"apiVersion":"auditquery.dev/v1alpha1","kind":"AuditQuery","metadata":{"name":"foreign","namespace":"shop"},"spec":{"audits":{"orgID":"globex"}}}
---
{"apiVersion":"auditquery.dev/v1alpha1","kind":"ClusterAuditQuery","metadata":{"name":"all"},"spec":{"audits":{"orgID":["acme","bank","globex","initech","shop"]}}}
`)
	for query, want := range map[string][]string{
		"auditquery/mine": {"acme", "shop"}, "auditquery/foreign": {}, "clusterauditquery/all": everything(),
	} {
		s.Kubectl(t, "wait", "-n", "shop", "--for=condition=Ready", "--timeout=60s", query)
		got := strings.Fields(s.Kubectl(t, "get", "-n", "shop", query, "-o", "jsonpath={.status.audits[*].orgID}"))
		slices.Sort(got)
		if !slices.Equal(slices.Compact(got), want) {
			t.Errorf("%s found records of %v, want %v", query, got, want)
		}
	}
}
