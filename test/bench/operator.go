package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/test/certs"
	"auditquery.dev/auditquery/test/controlplane"
	"auditquery.dev/auditquery/test/loopback"
	"auditquery.dev/auditquery/test/process"
	"auditquery.dev/auditquery/test/repository"
)

const (
	benchCluster  = "bench"
	systemAccount = "auditquery-controller"
	systemSpace   = "auditquery-system"
)

// operator is a cluster with our server in it.
type operator struct {
	bench *bench
	dir   string
	root  string

	ca      *certs.CA
	ports   struct{ ingest, health, metrics int }
	control *controlplane.ControlPlane
	server  *process.Process
	client  client.Client
}

func (o *operator) path(name string) string { return filepath.Join(o.dir, name) }

func (o *operator) start(ctx context.Context) error {
	for _, step := range []func(context.Context) error{o.prepare, o.startControlPlane, o.install, o.startServer} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (o *operator) prepare(context.Context) (err error) {
	// What a former run left with -dir would be another cluster.
	if err := os.RemoveAll(o.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	if o.root, err = repository.Root(); err != nil {
		return err
	}
	// The server writes into its file; what -dir keeps must stay as it is.
	o.bench.progress.step("copying the records for the server")
	if err := copyFile(o.bench.sqlitePath(), o.path("records.db")); err != nil {
		return err
	}
	if o.ca, err = certs.NewCA("auditquery-bench"); err != nil {
		return err
	}
	if err := os.WriteFile(o.path("ca.crt"), o.ca.CertPEM(), 0o600); err != nil {
		return err
	}
	free, err := loopback.Ports(3)
	if err != nil {
		return err
	}
	o.ports.ingest, o.ports.health, o.ports.metrics = free[0], free[1], free[2]
	return nil
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = target.ReadFrom(source)
	return errors.Join(err, target.Close())
}

func (o *operator) startControlPlane(ctx context.Context) error {
	policy, err := os.ReadFile(filepath.Join(o.root, "config", "ingest", "audit-policy.yaml"))
	if err != nil {
		return err
	}
	shown, err := o.ca.IssueClient(benchCluster)
	if err != nil {
		return err
	}
	o.control, err = controlplane.Start(ctx, controlplane.Options{
		Dir:      o.path("controlplane"),
		Progress: func(line string) { o.bench.progress.step("%s", line) },
		Audit: &controlplane.Audit{Policy: policy, Webhook: &controlplane.Webhook{
			URL:   "https://" + loopback.Address(o.ports.ingest) + "/ingest/kubernetes/" + benchCluster,
			CAPEM: o.ca.CertPEM(), ClientCertPEM: shown.CertPEM, ClientKeyPEM: shown.KeyPEM,
		}},
	})
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	o.client, err = client.New(o.control.RESTConfig(), client.Options{Scheme: scheme})
	return err
}

// install applies what every cluster gets.
func (o *operator) install(ctx context.Context) error {
	for _, args := range [][]string{
		{"apply", "--server-side", "-k", filepath.Join(o.root, "config", "default")},
		{"wait", "--for=condition=Established", "--timeout=60s", "crd", "auditqueries.auditquery.dev", "clusterauditqueries.auditquery.dev"},
	} {
		if _, _, err := o.control.Kubectl(ctx, args...); err != nil {
			return err
		}
	}
	stdout, _, err := o.control.Kubectl(ctx, "get", "--raw", "/version")
	if err == nil {
		o.bench.kubernetes = gitVersion(stdout)
	}
	return err
}

// startServer starts the server with the rights that it has in a cluster.
func (o *operator) startServer(ctx context.Context) error {
	binary, err := o.bench.settings.program(o.root)
	if err != nil {
		return err
	}
	serving, err := o.ca.IssueServing("localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	cert, key, err := serving.Write(o.dir, "ingest")
	if err != nil {
		return err
	}
	if err := o.control.WriteKubeconfig(o.path("server.kubeconfig"), "system:serviceaccount:"+systemSpace+":"+systemAccount,
		"system:serviceaccounts", "system:serviceaccounts:"+systemSpace, "system:authenticated"); err != nil {
		return err
	}
	o.bench.progress.step("starting the server")
	o.server, err = process.Start(process.Spec{
		Name: "auditquery", Path: binary, LogPath: o.path("server.log"),
		Args: []string{
			"all", "--secure-port=0", "--kubeconfig=" + o.path("server.kubeconfig"), "--cluster-name=" + benchCluster,
			"--store=sqlite", "--sqlite-path=" + o.path("records.db"),
			"--ingest-address=" + loopback.Address(o.ports.ingest),
			"--ingest-tls-cert-file=" + cert, "--ingest-tls-key-file=" + key, "--ingest-client-ca-file=" + o.path("ca.crt"),
			"--spool-dir=" + o.path("spool"), "--dead-letter-dir=" + o.path("deadletters"),
			"--health-address=" + loopback.Address(o.ports.health), "--metrics-address=" + loopback.Address(o.ports.metrics),
		},
	})
	if err != nil {
		return err
	}
	return o.server.WaitUntil(ctx, "the server is ready", func(ctx context.Context) error {
		_, err := fetch(ctx, "http://"+loopback.Address(o.ports.health)+"/readyz")
		return err
	})
}

// stop ends everything. The cluster is first: kube-apiserver does not end before
// its last audit events were taken in.
func (o *operator) stop() error {
	var failures []error
	if o.control != nil {
		failures = append(failures, o.control.Stop())
	}
	if o.server != nil {
		failures = append(failures, o.server.Stop(context.Background()))
	}
	return errors.Join(failures...)
}

// fetch reads a small page.
func fetch(ctx context.Context, url string) (body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	// Packing the page would cost the server as much as writing it.
	request.Header.Set("Accept-Encoding", identity)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s", response.Status)
	}
	return readAll(response.Body)
}
