package security_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/stage"
)

// blind may do all that the API server needs, but for reading AuditTenants.
const blind = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: blind, namespace: auditquery-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: blind}
rules:
- {apiGroups: [""], resources: [namespaces], verbs: [get, list, watch]}
- {apiGroups: [flowcontrol.apiserver.k8s.io], resources: [flowschemas, prioritylevelconfigurations], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: blind}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: blind}
subjects: [{kind: ServiceAccount, name: blind, namespace: auditquery-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: blind-auth-delegator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:auth-delegator}
subjects: [{kind: ServiceAccount, name: blind, namespace: auditquery-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: blind-auth-reader, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{kind: ServiceAccount, name: blind, namespace: auditquery-system}]
`

const sighted = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: blind-sees}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: auditquery-apiserver}
subjects: [{kind: ServiceAccount, name: blind, namespace: auditquery-system}]
`

// TestWhileTenantsAreUnknown runs a second server on the same records that cannot
// read AuditTenants. It must show neither everything nor nothing.
func TestWhileTenantsAreUnknown(t *testing.T) {
	s := shared.Stage(t)
	ids := idsOf(t, s, "acme")
	s.Apply(t, blind)
	server, err := s.AddServer(stage.ServerOptions{Name: "blind", Account: "blind"})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Launch(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	reader := account(t, s, clusterReader)
	own := server.Config(reader)
	await.Nil(t, "the server answers", func(context.Context) error {
		return server.Probe(t.Context(), "/livez")
	})
	for _, path := range []string{
		in(recordsPath, "shop", "audits"), in(recordsPath, "", "audits"), in(recordsPath, "nowhere", "authaudits"),
		in(recordsPath, "shop", "audits/"+ids[record.KindAudit]), in(recordsPath, stage.SystemNamespace, "audits"),
		in(restPath, "", "audits"), in(restPath, "shop", "auth_audits"), in(restPath, "shop", "audits") + "?org_id=acme",
		"/v1/audits", "/v1/audits?org_id=acme", "/v1/auth_audits?org_id=initech",
	} {
		t.Run(path, func(t *testing.T) { wantUnknown(t, get(t, own, path)) })
	}
	t.Run("it says that it is not ready, and why", func(t *testing.T) {
		if got := get(t, own, "/readyz"); got.code != http.StatusInternalServerError || !strings.Contains(got.body, "[-]tenancy failed") {
			t.Errorf("%d %s", got.code, got.body)
		}
	})
	t.Run("discovery is there all the same", func(t *testing.T) {
		get(t, own, recordsPath).wantCode(t, http.StatusOK)
	})
	t.Run("through the kube-apiserver", func(t *testing.T) {
		if err := s.Register(t.Context(), stage.Registration{Port: server.Port()}); err != nil {
			t.Fatal(err)
		}
		path := in(recordsPath, "shop", "audits")
		await.Nil(t, "the kube-apiserver asks the new server", func(context.Context) error { return get(t, reader, path).is(http.StatusServiceUnavailable) })
		wantUnknown(t, get(t, reader, path))
		wantUnknown(t, get(t, reader, in(restPath, "", "audits")))
		if err := s.Register(t.Context(), stage.Registration{}); err != nil {
			t.Fatal(err)
		}
		await.Nil(t, "the kube-apiserver asks the old server", func(context.Context) error { return get(t, reader, path).is(http.StatusOK) })
	})
	t.Run("when it knows, it answers", func(t *testing.T) {
		s.Apply(t, sighted)
		await.Nil(t, "a list in shop", func(context.Context) error {
			got := get(t, own, in(recordsPath, "shop", "audits"))
			if got.code == http.StatusOK && strings.Join(got.orgs(t), " ") != "acme shop" {
				t.Fatalf("it shows %v", got.orgs(t))
			}
			if err := got.is(http.StatusOK); err != nil {
				return fmt.Errorf("%w (%w)", err, server.Process().Failure(err))
			}
			return nil
		})
	})
}

// wantUnknown wants the refusal that says that one may ask again.
func wantUnknown(t *testing.T, got answer) {
	t.Helper()
	got.wantCode(t, http.StatusServiceUnavailable)
	if got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, "it is not known yet which records each namespace may see") {
		t.Errorf("Retry-After %q: %s", got.header.Get("Retry-After"), got.body)
	}
}
