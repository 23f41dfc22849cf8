// Package receiver runs `auditquery ingest` as a process of its own, without a
// cluster: it can be killed and started again on the same spool, and its counts can
// be read.
package receiver

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"auditquery.dev/auditquery/test/certs"
	"auditquery.dev/auditquery/test/loopback"
	"auditquery.dev/auditquery/test/process"
	"auditquery.dev/auditquery/test/repository"
	"auditquery.dev/auditquery/test/stage"
)

const (
	// grace is what a receiver has to finish what is in flight.
	grace = time.Minute
	// startTimeout bounds the wait for a receiver when ctx has no nearer deadline.
	startTimeout = time.Minute
	probeTimeout = 5 * time.Second

	defaultCluster = "local"
)

// Options say how a receiver runs. Dir and ElasticsearchURLs are required.
type Options struct {
	// Dir has its certificates, its log, and what has no folder of its own.
	Dir string
	// Binary is the program; empty means the one that stage.BinaryEnv names, or one
	// that is built into Dir.
	Binary string
	// ElasticsearchURLs are its ways to the store.
	ElasticsearchURLs []string
	// IndexPrefix is what the names of its indices begin with; empty means the
	// program's default.
	IndexPrefix string
	// ClusterName is the cluster of the receiver itself; empty means local.
	ClusterName string
	// SpoolDir and DeadLetterDir; empty means spool and dead-letters in Dir.
	SpoolDir, DeadLetterDir string
	// Args are appended to its flags, so they win.
	Args []string
}

// Receiver is one receiver. Start, Stop, Kill and their like may not run at the same
// time.
type Receiver struct {
	options       Options
	ca            *certs.CA
	port, metrics int
	process       *process.Process
}

// New makes what the receiver needs; Start starts it.
func New(ctx context.Context, o Options) (*Receiver, error) {
	if o.ClusterName == "" {
		o.ClusterName = defaultCluster
	}
	if o.SpoolDir == "" {
		o.SpoolDir = filepath.Join(o.Dir, "spool")
	}
	if o.DeadLetterDir == "" {
		o.DeadLetterDir = filepath.Join(o.Dir, "dead-letters")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	if o.Binary == "" {
		root, err := repository.Root()
		if err != nil {
			return nil, err
		}
		if o.Binary, err = stage.Build(ctx, root, o.Dir); err != nil {
			return nil, err
		}
	}
	ports, err := loopback.Ports(2)
	if err != nil {
		return nil, err
	}
	r := &Receiver{options: o, port: ports[0], metrics: ports[1]}
	if err := r.writeFiles(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Receiver) writeFiles() error {
	var err error
	if r.ca, err = certs.NewCA("auditquery-receiver-ca"); err != nil {
		return err
	}
	if err := os.WriteFile(r.path("ca.crt"), r.ca.CertPEM(), 0o600); err != nil {
		return err
	}
	serving, err := r.ca.IssueServing("localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	_, _, err = serving.Write(r.options.Dir, "serving")
	return err
}

// StartForTest starts a receiver that ends with the test. An empty Dir becomes a
// directory of the test's own; the end of the log goes to the test's log if the test
// fails.
func StartForTest(t testing.TB, o Options) *Receiver {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	r, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			r.logTail(t)
		}
		// A test that failed may have left it in any state.
		if err := r.Stop(context.Background()); err != nil && !t.Failed() {
			t.Error(err)
		}
	})
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *Receiver) logTail(t testing.TB) {
	t.Helper()
	tail, err := process.Tail(r.LogPath())
	if err != nil {
		t.Log(err)
		return
	}
	t.Logf("the log of the receiver ends:\n%s", tail)
}

// Start starts the receiver, for the first time or after it has ended, and returns
// when it is ready.
func (r *Receiver) Start(ctx context.Context) error {
	if err := r.Launch(); err != nil {
		return err
	}
	return r.WaitReady(ctx)
}

// Launch is Start without the wait.
func (r *Receiver) Launch() error {
	args := []string{
		"ingest", "--store=elasticsearch", "--cluster-name=" + r.options.ClusterName, "--ingest-tokens=false",
		"--ingest-address=" + loopback.Address(r.port), "--metrics-address=" + loopback.Address(r.metrics),
		"--ingest-tls-cert-file=" + r.path("serving.crt"), "--ingest-tls-key-file=" + r.path("serving.key"),
		"--ingest-client-ca-file=" + r.path("ca.crt"),
		"--spool-dir=" + r.options.SpoolDir, "--dead-letter-dir=" + r.options.DeadLetterDir,
	}
	for _, url := range r.options.ElasticsearchURLs {
		args = append(args, "--elasticsearch-url="+url)
	}
	if r.options.IndexPrefix != "" {
		args = append(args, "--elasticsearch-index-prefix="+r.options.IndexPrefix)
	}
	started, err := process.Start(process.Spec{
		Name: "auditquery ingest", Path: r.options.Binary, LogPath: r.LogPath(), Grace: grace,
		Args: append(args, r.options.Args...),
	})
	if err != nil {
		return err
	}
	r.process = started
	return nil
}

// WaitReady returns when the receiver says that it is ready.
func (r *Receiver) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return r.process.WaitUntil(ctx, "the receiver is ready", func(ctx context.Context) error {
		status, err := r.Ready(ctx)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("it answers %d", status)
		}
		return err
	})
}

// Ready returns the status that the receiver answers when it is asked whether it is
// ready.
func (r *Receiver) Ready(ctx context.Context) (int, error) {
	client, err := r.Client("")
	if err != nil {
		return 0, err
	}
	defer client.CloseIdleConnections()
	status, _, err := get(ctx, client, r.URL()+"/readyz")
	return status, err
}

// get returns the status and the body of an answer.
func get(ctx context.Context, client *http.Client, url string) (status int, body []byte, err error) {
	const most = 4 << 20
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, most))
	return response.StatusCode, body, err
}

// Stop ends the receiver as a cluster does, by SIGTERM. It does nothing to one that
// has ended or was never started.
func (r *Receiver) Stop(ctx context.Context) error {
	if r.process == nil {
		return nil
	}
	return r.process.Stop(ctx)
}

// Kill ends the receiver at once, as a crash would, and waits until it is gone.
func (r *Receiver) Kill() error {
	if r.process == nil {
		return nil
	}
	if err := r.process.Kill(); err != nil {
		return err
	}
	<-r.process.Exited()
	return nil
}

// Process is the running program, to pause or measure it; nil before the first
// start.
func (r *Receiver) Process() *process.Process { return r.process }

// URL is where it takes records in.
func (r *Receiver) URL() string { return "https://" + loopback.Address(r.port) }

// MetricsURL is where Prometheus reads.
func (r *Receiver) MetricsURL() string { return "http://" + loopback.Address(r.metrics) + "/metrics" }

// SpoolDir is the folder of what is not in the store yet.
func (r *Receiver) SpoolDir() string { return r.options.SpoolDir }

// DeadLetterDir is the folder of what cannot be stored.
func (r *Receiver) DeadLetterDir() string { return r.options.DeadLetterDir }

// ClusterName is the cluster of the receiver itself.
func (r *Receiver) ClusterName() string { return r.options.ClusterName }

// LogPath is the file that it writes its log to, over all starts.
func (r *Receiver) LogPath() string { return r.path("receiver.log") }

// TLSConfig is what a sender with a certificate of this common name has; empty means
// a sender without one.
func (r *Receiver) TLSConfig(commonName string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: r.ca.Pool()}
	if commonName == "" {
		return config, nil
	}
	pair, err := r.ca.IssueClient(commonName)
	if err != nil {
		return nil, err
	}
	certificate, err := pair.TLS()
	config.Certificates = []tls.Certificate{certificate}
	return config, err
}

// Client is an HTTP client with such a certificate. It speaks HTTP/2, as the audit
// webhook of a kube-apiserver does, and asks for no compression.
func (r *Receiver) Client(commonName string) (*http.Client, error) {
	config, err := r.TLSConfig(commonName)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: true, DisableCompression: true, MaxIdleConnsPerHost: 64,
	}}, nil
}

func (r *Receiver) path(name string) string { return filepath.Join(r.options.Dir, name) }
