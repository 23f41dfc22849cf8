package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/certs"
	"auditquery.dev/auditquery/test/controlplane"
	"auditquery.dev/auditquery/test/repository"
)

// Names that the manifests give.
const (
	// SystemNamespace is where the servers live, and what nobody claims belongs.
	SystemNamespace = "auditquery-system"
	// These are the servers' ServiceAccounts.
	ControllerAccount = "auditquery-controller"
	APIServerAccount  = "auditquery-apiserver"
	IngestAccount     = "auditquery-ingest"

	serviceName    = "auditquery-apiserver"
	defaultCluster = "local"
	fileCA         = "ca.crt"
	fileRecords    = "auditquery.db"
)

// Options say what to run. Dir is required, except for tests.
type Options struct {
	// Dir holds state, certificates, kubeconfigs and logs. It is made if it is
	// missing, and must hold nothing of another stage.
	Dir string
	// Cluster is what the servers call their own cluster; empty means local.
	Cluster string
	// Servers are to be started; none means one of the role all.
	Servers []ServerOptions
	// ElasticsearchURL is where records are kept, without credentials; empty
	// means in an SQLite file, which only one server can serve.
	ElasticsearchURL string
	// IndexPrefix keeps stages on one Elasticsearch apart; empty means the
	// servers' default.
	IndexPrefix string
	// Audit has kube-apiserver send its audit events to the first server of the
	// role all or ingest.
	Audit bool
	// AuditBatch says when they are sent.
	AuditBatch controlplane.Batch
	// APIServerArgs are appended to kube-apiserver's flags.
	APIServerArgs []string
	// Binary is the program; empty means what Build finds or makes.
	Binary string
	// Progress is told what is being waited for, in short lines.
	Progress func(string)
}

// Stage is what runs.
type Stage struct {
	options Options
	root    string
	ca      *certs.CA
	control *controlplane.ControlPlane
	servers []*Server

	// mutex guards what is made when it is first asked for.
	mutex sync.Mutex
	store closingStore
}

// closingStore is a store of either kind.
type closingStore interface {
	store.ReadWriter
	Close() error
}

// Start starts everything and returns when the APIServices are Available. On an
// error nothing is left running.
func Start(ctx context.Context, options Options) (*Stage, error) {
	s, err := New(options)
	if err != nil {
		return nil, fmt.Errorf("prepare the stage: %w", err)
	}
	for _, step := range []func(context.Context) error{s.StartControlPlane, s.Install, s.StartServers, s.register} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("start the stage: %w", err), s.Stop())
		}
	}
	return s, nil
}

func (s *Stage) register(ctx context.Context) error {
	if s.frontPort() == 0 {
		return nil
	}
	return s.Register(ctx, Registration{})
}

// New chooses ports and writes certificates, and starts nothing.
func New(options Options) (*Stage, error) {
	if options.Dir == "" {
		return nil, errors.New("no Dir was given")
	}
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, err
	}
	options.Dir = dir
	if options.Cluster == "" {
		options.Cluster = defaultCluster
	}
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	if len(options.Servers) == 0 {
		options.Servers = []ServerOptions{{}}
	}
	s := &Stage{options: options}
	if s.root, err = repository.Root(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(options.Dir, 0o755); err != nil {
		return nil, err
	}
	if s.ca, err = certs.NewCA("auditquery-" + options.Cluster); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.path(fileCA), s.ca.CertPEM(), 0o644); err != nil {
		return nil, err
	}
	for _, o := range options.Servers {
		if _, err := s.AddServer(o); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// StartControlPlane starts the cluster. Its audit webhook tries again until a
// server is up.
func (s *Stage) StartControlPlane(ctx context.Context) error {
	audit, err := s.audit()
	if err != nil {
		return err
	}
	s.control, err = controlplane.Start(ctx, controlplane.Options{
		Dir: s.path("controlplane"), Audit: audit, APIServerArgs: s.options.APIServerArgs, Progress: s.options.Progress,
	})
	return err
}

func (s *Stage) audit() (*controlplane.Audit, error) {
	if !s.options.Audit {
		return nil, nil
	}
	receiver := s.receiver()
	if receiver == nil {
		return nil, errors.New("no server of the role all or ingest is there to send audit events to")
	}
	policy, err := os.ReadFile(s.source("config", "ingest", "audit-policy.yaml"))
	if err != nil {
		return nil, err
	}
	sender, err := s.ca.IssueClient(s.options.Cluster)
	if err != nil {
		return nil, err
	}
	return &controlplane.Audit{Policy: policy, Webhook: &controlplane.Webhook{
		URL: receiver.IngestURL() + "/ingest/kubernetes/" + s.options.Cluster, CAPEM: s.ca.CertPEM(),
		ClientCertPEM: sender.CertPEM, ClientKeyPEM: sender.KeyPEM, Batch: s.options.AuditBatch,
	}}, nil
}

// receiver is the server that takes audit events in, nil if there is none.
func (s *Stage) receiver() *Server {
	for _, server := range s.servers {
		if server.receives() {
			return server
		}
	}
	return nil
}

// Stop ends everything. The control plane goes first: kube-apiserver sends its
// last audit events, for which the receiver must still be there.
func (s *Stage) Stop() error {
	var failures []error
	if s.control != nil {
		failures = append(failures, s.control.Stop())
	}
	for _, server := range s.servers {
		// The grace of each bounds this; no caller's deadline may cut it short.
		failures = append(failures, server.Stop(context.Background()))
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.store != nil {
		failures = append(failures, s.store.Close())
		s.store = nil
	}
	return errors.Join(failures...)
}

// ControlPlane is the cluster: kubectl, the administrator's RESTConfig, and
// kube-apiserver's process.
func (s *Stage) ControlPlane() *controlplane.ControlPlane { return s.control }

// Servers are in the order of Options.Servers, then as they were added.
func (s *Stage) Servers() []*Server { return s.servers }

// Server is the first server.
func (s *Stage) Server() *Server { return s.servers[0] }

// CA has signed the certificates of the servers and of the audit events' sender.
func (s *Stage) CA() *certs.CA { return s.ca }

// CAPath is a file that holds its certificate.
func (s *Stage) CAPath() string { return s.path(fileCA) }

// Cluster is what the servers call their own cluster.
func (s *Stage) Cluster() string { return s.options.Cluster }

// Dir holds state, certificates, kubeconfigs and logs.
func (s *Stage) Dir() string { return s.options.Dir }

func (s *Stage) path(elements ...string) string {
	return filepath.Join(append([]string{s.options.Dir}, elements...)...)
}

func (s *Stage) source(elements ...string) string {
	return filepath.Join(append([]string{s.root}, elements...)...)
}
