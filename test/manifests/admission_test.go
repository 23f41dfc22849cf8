package manifests_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"auditquery.dev/auditquery/test/await"
)

// writerRoles let a user write queries, but not list what these would find.
const writerRoles = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: query-writer}
rules:
- {apiGroups: [auditquery.dev], resources: [auditqueries, clusterauditqueries], verbs: [get, create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: query-writer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: query-writer}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: mallory}
`

// testAdmission: what a query finds can be read from its status.
func testAdmission(t *testing.T, c *cluster) {
	if err := c.applyText(t.Context(), writerRoles); err != nil {
		t.Fatal(err)
	}
	mallory := filepath.Join(t.TempDir(), "mallory.kubeconfig")
	if err := c.WriteKubeconfig(mallory, "mallory"); err != nil {
		t.Fatal(err)
	}
	ask := func(ctx context.Context, kind, spec string, args ...string) error {
		document := fmt.Sprintf("{apiVersion: auditquery.dev/v1alpha1, kind: %s, metadata: {name: nosy}, spec: %s}", kind, spec)
		return c.applyText(ctx, document, append(args, "--namespace="+sampleNamespace, "--kubeconfig="+mallory)...)
	}
	for _, tc := range []struct{ kind, spec, want string }{
		{kind: "AuditQuery", spec: "{audits: {}}", want: "asking about audits in namespace shop needs the permission to list audits.records.auditquery.dev there"},
		{kind: "AuditQuery", spec: "{authAudits: {}}", want: "asking about authAudits in namespace shop needs the permission to list authaudits.records.auditquery.dev there"},
		{kind: "ClusterAuditQuery", spec: "{audits: {}}", want: "asking about audits in all namespaces needs the permission"},
		{kind: "ClusterAuditQuery", spec: "{authAudits: {}}", want: "asking about authAudits in all namespaces needs the permission"},
	} {
		// Policies and roles reach the API server's caches in their own time.
		await.Nil(t, "the policy refuses "+tc.kind, func(ctx context.Context) error {
			return wantRefusal(ask(ctx, tc.kind, tc.spec, "--dry-run=server"), tc.want)
		})
	}

	c.kubectl(t, "create", "rolebinding", "mallory-reads", "-n", sampleNamespace, "--clusterrole=auditquery-reader", "--user=mallory")
	await.Nil(t, "a reader of the namespace may ask", func(ctx context.Context) error { return ask(ctx, "AuditQuery", "{audits: {}}") })
	if err := wantRefusal(ask(t.Context(), "ClusterAuditQuery", "{audits: {}}", "--dry-run=server"), "in all namespaces"); err != nil {
		t.Errorf("a namespace's reader asked about all of them: %v", err)
	}

	c.kubectl(t, "delete", "rolebinding", "mallory-reads", "-n", sampleNamespace)
	await.Nil(t, "who lost the role is refused", func(ctx context.Context) error {
		return wantRefusal(ask(ctx, "AuditQuery", "{audits: {userID: alice}}"), "needs the permission")
	})
	if err := ask(t.Context(), "AuditQuery", "{audits: {}}", "--dry-run=server"); err != nil {
		t.Errorf("the same spec again: %v", err)
	}
	c.kubectl(t, "create", "clusterrolebinding", "mallory-reads", "--clusterrole=auditquery-cluster-reader", "--user=mallory")
	await.Nil(t, "a reader of the cluster may ask", func(ctx context.Context) error {
		return ask(ctx, "ClusterAuditQuery", "{authAudits: {}}", "--dry-run=server")
	})
}

func wantRefusal(err error, want string) error {
	if err == nil {
		return errors.New("accepted")
	}
	if !strings.Contains(err.Error(), want) {
		return fmt.Errorf("the refusal lacks %q: %w", want, err)
	}
	return nil
}
