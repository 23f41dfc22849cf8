package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/test/certs"
	"auditquery.dev/auditquery/test/loopback"
	"auditquery.dev/auditquery/test/process"
)

// The roles of a server.
const (
	// RoleAll is controllers, API server and receiver.
	RoleAll        = "all"
	RoleAPIServer  = "apiserver"
	RoleController = "controller"
	RoleIngest     = "ingest"
)

const (
	// grace is what a server has to finish what is in flight.
	grace = time.Minute
	// startTimeout bounds the wait for a server when ctx has no nearer deadline.
	startTimeout = 2 * time.Minute
	probeTimeout = 5 * time.Second
)

// ServerOptions say how one server runs.
type ServerOptions struct {
	// Name is what its files are called by; empty means server, then server-2.
	Name string
	// Role is what it does; empty means all.
	Role string
	// Account is the ServiceAccount of SystemNamespace that it acts as; empty
	// means the one that the manifests give the role.
	Account string
	// ElasticsearchURL is its way to the records if not the stage's own, such
	// as through a proxy that fails.
	ElasticsearchURL string
	// Args are appended to its flags, so they win.
	Args []string
}

// Server is one of our servers. Start and Stop may not run at the same time.
type Server struct {
	stage   *Stage
	options ServerOptions
	ports   struct{ api, ingest, health, metrics int }
	process *process.Process
}

// AddServer chooses ports for one more server and issues its certificate. Start it
// with Start.
func (s *Stage) AddServer(o ServerOptions) (*Server, error) {
	if o.Role == "" {
		o.Role = RoleAll
	}
	if o.Name == "" {
		o.Name = "server"
		if n := len(s.servers); n > 0 {
			o.Name = fmt.Sprintf("server-%d", n+1)
		}
	}
	if o.Account == "" {
		o.Account = accountOf(o.Role)
	}
	if o.ElasticsearchURL == "" {
		o.ElasticsearchURL = s.options.ElasticsearchURL
	}
	free, err := loopback.Ports(4)
	if err != nil {
		return nil, err
	}
	server := &Server{stage: s, options: o}
	server.ports.api, server.ports.ingest, server.ports.health, server.ports.metrics = free[0], free[1], free[2], free[3]
	serving, err := IssueServing(s.ca)
	if err != nil {
		return nil, err
	}
	if err := server.WriteCertificate(serving); err != nil {
		return nil, err
	}
	s.servers = append(s.servers, server)
	return server, nil
}

func accountOf(role string) string {
	switch role {
	case RoleAPIServer:
		return APIServerAccount
	case RoleIngest:
		return IngestAccount
	default:
		return ControllerAccount
	}
}

// IssueServing makes a certificate that the kube-apiserver and clients on this
// machine accept of a server.
func IssueServing(ca *certs.CA) (certs.Pair, error) {
	return ca.IssueServing("localhost", "127.0.0.1", serviceName+"."+SystemNamespace+".svc")
}

// WriteCertificate replaces the server's certificate; a running one reads it again
// by itself.
func (v *Server) WriteCertificate(pair certs.Pair) error {
	_, _, err := pair.Write(v.stage.options.Dir, v.options.Name)
	return err
}

// StartServers starts the servers of Options and returns when all are ready.
func (s *Stage) StartServers(ctx context.Context) error {
	for _, server := range s.servers {
		if err := server.Launch(ctx); err != nil {
			return err
		}
	}
	for _, server := range s.servers {
		if err := server.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Start starts the server, for the first time or after it has ended, and returns
// when it is ready.
func (v *Server) Start(ctx context.Context) error {
	if err := v.Launch(ctx); err != nil {
		return err
	}
	return v.WaitReady(ctx)
}

// Launch is Start without the wait.
func (v *Server) Launch(ctx context.Context) error {
	binary, err := v.stage.Binary(ctx)
	if err != nil {
		return err
	}
	kubeconfig := v.path(".kubeconfig")
	if err := v.stage.control.WriteKubeconfig(kubeconfig, "system:serviceaccount:"+SystemNamespace+":"+v.options.Account,
		"system:serviceaccounts", "system:serviceaccounts:"+SystemNamespace, "system:authenticated"); err != nil {
		return err
	}
	v.process, err = process.Start(process.Spec{
		Name: v.options.Name, Path: binary, LogPath: v.LogPath(), Grace: grace,
		Args: append([]string{v.options.Role, "--kubeconfig=" + kubeconfig}, v.args()...),
	})
	return err
}

func (v *Server) args() []string {
	args := append(v.storeArgs(), "--cluster-name="+v.stage.options.Cluster, "--metrics-address="+loopback.Address(v.ports.metrics))
	if v.options.Role != RoleIngest {
		args = append(args, "--health-address="+loopback.Address(v.ports.health))
	}
	if v.servesAPI() {
		args = append(args, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", v.ports.api),
			"--tls-cert-file="+v.path(".crt"), "--tls-private-key-file="+v.path(".key"), "--shutdown-delay-duration=0s")
	}
	if v.receives() {
		args = append(args, "--ingest-address="+loopback.Address(v.ports.ingest),
			"--ingest-tls-cert-file="+v.path(".crt"), "--ingest-tls-key-file="+v.path(".key"),
			"--ingest-client-ca-file="+v.stage.path(fileCA), "--spool-dir="+v.path(".spool"), "--dead-letter-dir="+v.DeadLetterPath())
	}
	if v.controls() && v.stage.controllers() > 1 {
		args = append(args, "--leader-elect")
	}
	return append(args, v.options.Args...)
}

func (s *Stage) controllers() int {
	count := 0
	for _, server := range s.servers {
		if server.controls() {
			count++
		}
	}
	return count
}

// storeArgs are the flags that lead to the records.
func (v *Server) storeArgs() []string {
	if v.options.ElasticsearchURL == "" {
		return []string{"--store=sqlite", "--sqlite-path=" + v.stage.path(fileRecords)}
	}
	args := []string{"--store=elasticsearch", "--elasticsearch-url=" + v.options.ElasticsearchURL}
	if prefix := v.stage.options.IndexPrefix; prefix != "" {
		args = append(args, "--elasticsearch-index-prefix="+prefix)
	}
	return args
}

// StoreArgs are the flags by which any command of ours reaches the records.
func (s *Stage) StoreArgs() []string { return s.Server().storeArgs() }

// WaitReady returns when the server says that it is ready.
func (v *Server) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return v.process.WaitUntil(ctx, v.options.Name+" is ready", func(ctx context.Context) error { return v.Probe(ctx, "/readyz") })
}

// Probe asks for a path that everybody may read, such as /livez, on the server's
// own address or, if it has no API, where it takes records in or shows its health.
// Anything but 200 is an error.
func (v *Server) Probe(ctx context.Context, path string) error {
	url, config := "http://"+loopback.Address(v.ports.health), &rest.Config{}
	switch {
	case v.servesAPI():
		url, config = v.URL(), v.Config(&rest.Config{})
	case v.receives():
		url, config = v.IngestURL(), &rest.Config{TLSClientConfig: rest.TLSClientConfig{CAFile: v.stage.CAPath()}}
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	return probe(ctx, client, url+path)
}

func probe(ctx context.Context, client *http.Client, url string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		const most = 4 << 10
		body, _ := io.ReadAll(io.LimitReader(response.Body, most)) // the status says it all
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	return nil
}

// Stop ends the server as a cluster does, by SIGTERM. It does nothing to one that
// has ended or was never started.
func (v *Server) Stop(ctx context.Context) error {
	if v.process == nil {
		return nil
	}
	return v.process.Stop(ctx)
}

// Process is the running program, to kill, pause (SIGSTOP) or measure it.
func (v *Server) Process() *process.Process { return v.process }

// Name is what its files are called by.
func (v *Server) Name() string { return v.options.Name }

// Port is that of its API.
func (v *Server) Port() int { return v.ports.api }

// URL is its own address, where its API is.
func (v *Server) URL() string { return "https://" + loopback.Address(v.ports.api) }

// IngestURL is where a server of the role all or ingest takes records in: audit
// events below /ingest/kubernetes/CLUSTER.
func (v *Server) IngestURL() string { return "https://" + loopback.Address(v.ports.ingest) }

// MetricsURL is where Prometheus reads.
func (v *Server) MetricsURL() string {
	return "http://" + loopback.Address(v.ports.metrics) + "/metrics"
}

// LogPath is the file that the server writes its log to.
func (v *Server) LogPath() string { return v.path(".log") }

// DeadLetterPath is the folder of what it could not store.
func (v *Server) DeadLetterPath() string { return v.path(".deadletters") }

func (v *Server) servesAPI() bool {
	return v.options.Role == RoleAll || v.options.Role == RoleAPIServer
}

func (v *Server) controls() bool {
	return v.options.Role == RoleAll || v.options.Role == RoleController
}

func (v *Server) receives() bool { return v.options.Role == RoleAll || v.options.Role == RoleIngest }

func (v *Server) path(suffix string) string { return v.stage.path(v.options.Name + suffix) }
