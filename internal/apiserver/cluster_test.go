package apiserver

import (
	"bytes"
	"context"
	"encoding/base64"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/store/sqlite"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/test/certs"
	"auditquery.dev/auditquery/test/controlplane"
	"auditquery.dev/auditquery/test/loopback"
	"auditquery.dev/auditquery/test/repository"
)

// serviceUser is whom the server is to the cluster.
const serviceUser = "system:serviceaccount:auditquery-system:auditquery-apiserver"

// byOrg gives each namespace the records of the organisation of its name.
type byOrg map[string]bool

func (b byOrg) Ready() bool { return true }

func (b byOrg) Scope(namespace string) (query.Scope, error) {
	if !b[namespace] {
		return query.Scope{}, tenancy.ErrUnknownNamespace
	}
	return scopeOf(namespace), nil
}

func (b byOrg) NamespaceOf(r *record.Common) (string, error) { return b.Claimant(r.OrgID) }

func (b byOrg) Claimant(orgID string) (string, error) {
	if b[orgID] {
		return orgID, nil
	}
	return tenancy.SystemNamespace, nil
}

// brittleStore is a store that can be taken away.
type brittleStore struct {
	*sqlite.Store
	down chan struct{} // closed while it is away
}

var errAway = &store.Error{Reason: store.Unavailable, Op: "list", Message: "the store is away"}

func (b *brittleStore) away() bool {
	select {
	case <-b.down:
		return true
	default:
		return false
	}
}

func (b *brittleStore) List(ctx context.Context, q query.Query) (store.Page, error) {
	if b.away() {
		return store.Page{}, errAway
	}
	return b.Store.List(ctx, q)
}

func (b *brittleStore) Get(ctx context.Context, kind record.Kind, id record.ID, scope query.Scope) ([]byte, error) {
	if b.away() {
		return nil, errAway
	}
	return b.Store.Get(ctx, kind, id, scope)
}

// cluster is a real cluster whose kube-apiserver passes requests on to a server of
// this process.
type cluster struct {
	t       *testing.T
	cp      *controlplane.ControlPlane
	dir     string
	root    string
	store   *brittleStore
	url     string // of the server itself
	ca      *certs.CA
	records []record.Record // of shop, newest first
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, root: root, dir: t.TempDir(), cp: controlplane.StartForTest(t, controlplane.Options{})}
	for _, namespace := range []string{"auditquery-system", "shop", "bank"} {
		c.kubectl("create", "namespace", namespace)
	}
	for _, file := range []string{"service_account.yaml", "role.yaml", "role_binding.yaml", "flowcontrol.yaml"} {
		c.kubectl("apply", "-f", filepath.Join(root, "config", "apiserver", file))
	}
	c.kubectl("apply", "--dry-run=server", "-k", filepath.Join(root, "config", "apiserver"))
	c.kubectl("apply", "-f", filepath.Join(root, "config", "rbac", "reader_role.yaml"))
	c.fill()
	c.connect()
	return c
}

// fill stores records: 620 of shop, 2 of bank, 1 that nobody claims.
func (c *cluster) fill() {
	c.t.Helper()
	opened, err := sqlite.Open(c.t.Context(), sqlite.Options{Path: filepath.Join(c.dir, "records.db")})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			c.t.Error(err)
		}
	})
	c.store = &brittleStore{Store: opened, down: make(chan struct{})}
	orgs := func(org string) func(int, *record.Audit) {
		return func(i int, a *record.Audit) {
			a.OrgID = org
			if i%10 == 0 {
				a.Action = "delete"
			}
		}
	}
	c.records = audits(620, orgs("shop"))
	all := append(append(audits(2, orgs("bank")), audits(1, orgs("elsewhere"))...), c.records...)
	outcomes, err := opened.Append(c.t.Context(), all)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, o := range outcomes {
		if o.Result != store.Stored {
			c.t.Fatal(o.Result, o.Err)
		}
	}
}

// connect runs the server, and has the kube-apiserver pass requests on to it.
func (c *cluster) connect() {
	t := c.t
	t.Helper()
	ca, err := certs.NewCA("aggregated")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.IssueServing("auditquery-apiserver.auditquery-system.svc", "localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(c.dir, "server.kubeconfig")
	if err := c.cp.WriteKubeconfig(kubeconfig, serviceUser, "system:serviceaccounts", "system:serviceaccounts:auditquery-system"); err != nil {
		t.Fatal(err)
	}
	o := NewOptions()
	o.UseKubeconfig(kubeconfig)
	o.Server.ShutdownDelayDuration = 0
	if o.Serving.ServerCert.CertKey.CertFile, o.Serving.ServerCert.CertKey.KeyFile, err = pair.Write(c.dir, "serving"); err != nil {
		t.Fatal(err)
	}
	if o.Serving.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	address, ok := o.Serving.Listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("no port")
	}
	if errs := o.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	c.url, c.ca = "https://"+loopback.Address(address.Port), ca
	c.serve(o, kubeconfig)
	c.register(address.Port)
}

func (c *cluster) serve(o *Options, kubeconfig string) {
	t := c.t
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cursors, err := store.NewCursors(bytes.Repeat([]byte("k"), store.CursorKeyBytes), now)
	if err != nil {
		t.Fatal(err)
	}
	made, err := o.Config(Dependencies{
		Reader: c.store, Cursors: cursors, Tenancy: byOrg{"shop": true, "bank": true}, Cluster: config,
		Lists: NewLists(o.Lists), REST: fakeREST{}, Now: now, Version: "v0.0.0-test",
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := made.Complete().New()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func (c *cluster) register(port int) {
	c.t.Helper()
	c.apply(`
apiVersion: v1
kind: Service
metadata: {name: auditquery-apiserver, namespace: auditquery-system}
spec: {type: ExternalName, externalName: localhost}
`)
	services, err := os.ReadFile(filepath.Join(c.root, "config", "apiserver", "apiservice.yaml"))
	if err != nil {
		c.t.Fatal(err)
	}
	text := strings.ReplaceAll(string(services), "caBundle: Cg==", "caBundle: "+base64.StdEncoding.EncodeToString(c.ca.CertPEM()))
	c.apply(strings.ReplaceAll(text, "port: 443", "port: "+strconv.Itoa(port)))
	c.kubectl("wait", "--for=condition=Available", "--timeout=90s", "apiservice/v1alpha1.records.auditquery.dev", "apiservice/v1.rest.auditquery.dev")
}

func (c *cluster) apply(manifest string) {
	c.t.Helper()
	if _, _, err := c.cp.KubectlInput(c.t.Context(), strings.NewReader(manifest), "apply", "-f", "-"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	out, _, err := c.cp.Kubectl(c.t.Context(), args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// as writes a kubeconfig of a user and returns the flag that names it.
func (c *cluster) as(user string) string {
	c.t.Helper()
	path := filepath.Join(c.dir, user+".kubeconfig")
	if err := c.cp.WriteKubeconfig(path, user); err != nil {
		c.t.Fatal(err)
	}
	return "--kubeconfig=" + path
}
