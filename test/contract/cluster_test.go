package contract_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/internal/record"
	auditrest "auditquery.dev/auditquery/internal/rest"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/stage"
)

// TestInACluster runs clients with TLS, tokens and permissions that are real: the
// server behind the aggregator of a kube-apiserver, and at its own address.
func TestInACluster(t *testing.T) {
	c := startCluster(t)
	t.Run("every way in answers alike", c.everyWayAnswersAlike)
	t.Run("every way in fails alike", c.everyWayFailsAlike)
	t.Run("every way in refuses who may not", c.everyWayRefuses)
	t.Run("a query string that cannot be read", c.brokenQueries)
	t.Run("pages lead to the end on every way in", c.everyWayPages)
	t.Run("the original client works at both hosts", c.originalClient)
	t.Run("the original client is told what it may not", c.originalClientRefused)
	t.Run("the official client in Python", c.officialClient)
	t.Run("the forms of client-go", c.formsOfClientGo)
	t.Run("the server keeps to its document", c.keepsToDocument)
}

// cursorKey signs the server's tokens, so that a test can make an old
// one.
func cursorKey() []byte { return bytes.Repeat([]byte{9}, store.CursorKeyBytes) }

// In the cluster the namespace shop owns org-1 and org-2, and nobody owns
// org-9, of which there is a record of each kind too.
const manifests = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: auditquery.dev/v1alpha1
kind: AuditTenant
metadata: {name: shop}
spec: {namespace: shop, orgIDs: [org-1, org-2]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: contract-everything}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: everything, namespace: shop}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: contract-all-records}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: auditquery-cluster-reader}
subjects: [{kind: ServiceAccount, name: all-records, namespace: shop}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: contract-shop-records, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: auditquery-reader}
subjects: [{kind: ServiceAccount, name: shop-records, namespace: shop}]
`

// The accounts of the cluster.
const (
	everything  = "everything"   // may do everything
	allRecords  = "all-records"  // may read every record
	shopRecords = "shop-records" // may read those of the namespace shop
	nothing     = "nothing"      // may read none
	nobody      = "nobody"       // has a token that nobody made
)

// cluster is a cluster with our server and the records of full in it.
type cluster struct {
	*stage.Stage
	accounts map[string]*rest.Config
	// authorities is a file of what clients trust: the kube-apiserver's
	// authority and our server's.
	authorities string
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	key := filepath.Join(t.TempDir(), "cursor.key")
	if err := os.WriteFile(key, cursorKey(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := stage.StartForTest(t, stage.Options{Servers: []stage.ServerOptions{{Args: []string{"--cursor-key-file=" + key}}}})
	s.Apply(t, manifests)
	s.Kubectl(t, "wait", "--for=condition=Ready", "--timeout=30s", "audittenant/shop")
	c := &cluster{Stage: s, accounts: map[string]*rest.Config{}, authorities: filepath.Join(s.Dir(), "authorities.crt")}
	for _, name := range []string{everything, allRecords, shopRecords, nothing} {
		config, err := s.TokenConfig(t.Context(), "shop", name)
		if err != nil {
			t.Fatal(err)
		}
		config.QPS = -1
		config.CAData, config.CAFile = nil, c.authorities
		c.accounts[name] = config
	}
	c.accounts[nobody] = rest.CopyConfig(c.accounts[nothing])
	c.accounts[nobody].BearerToken = "wrong"
	both := bytes.Join([][]byte{s.ControlPlane().RESTConfig().CAData, s.CA().CertPEM()}, []byte("\n"))
	if err := os.WriteFile(c.authorities, both, 0o600); err != nil {
		t.Fatal(err)
	}
	records := append(full(),
		builders.Audit(func(a *record.Audit) { a.OrgID = "org-9" }),
		builders.AuthAudit(func(a *record.AuthAudit) { a.OrgID = "org-9" }))
	if err := s.Append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	return c
}

// groupHost is the host of a generated client that goes through the kube-apiserver.
func (c *cluster) groupHost() string { return c.ControlPlane().URL() + "/apis/" + auditrest.Group }

// client is how an account asks either address.
func (c *cluster) client(t *testing.T, account string) *http.Client {
	t.Helper()
	client, err := rest.HTTPClientFor(c.accounts[account])
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// token is the bearer token of an account.
func (c *cluster) token(account string) string { return c.accounts[account].BearerToken }

// oldToken is a page token of a list that began before the last day.
func oldToken(t *testing.T) string {
	t.Helper()
	cursors, err := store.NewCursors(cursorKey(), func() time.Time { return time.Now().Add(-store.MaxCursorAge - time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	old, err := cursors.Encode(store.Cursor{Kind: record.KindAudit, After: store.PositionOf(builders.Audit())})
	if err != nil {
		t.Fatal(err)
	}
	return old
}
