package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"auditquery.dev/auditquery/test/certs"
	"auditquery.dev/auditquery/test/controlplane"
	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/process"
)

const (
	storeSQLite        = "sqlite"
	storeElasticsearch = "elasticsearch"

	// clusterName is what the server calls its own cluster, and the common
	// name of the certificate that kube-apiserver shows to the receiver.
	clusterName = "demo"
)

// demo holds what the steps have started so far.
type demo struct {
	store string
	out   io.Writer
	began time.Time
	root  string
	dir   string

	ca         *certs.CA
	ingestPort int
	probePort  int
	apiPort    int
	token      string

	elastic *elastic.Cluster
	control *controlplane.ControlPlane
	server  *process.Process
}

// step is a part of the show that can fail.
type step struct {
	name string
	run  func(context.Context) error
}

func newDemo(store string, out io.Writer) (*demo, error) {
	switch store {
	case "":
		store = storeSQLite
	case storeSQLite, storeElasticsearch:
	default:
		return nil, fmt.Errorf("STORE=%s is unknown; it is %s or %s", store, storeSQLite, storeElasticsearch)
	}
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	d := &demo{store: store, out: out, began: time.Now(), root: root, dir: filepath.Join(root, ".demo")}
	if err := os.RemoveAll(d.dir); err != nil {
		return nil, fmt.Errorf("remove the last demo's state: %w", err)
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return nil, err
	}
	if d.ca, err = certs.NewCA("auditquery-demo"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(d.path("ca.crt"), d.ca.CertPEM(), 0o644); err != nil {
		return nil, err
	}
	return d, nil
}

// do runs one step and says how long it took.
func (d *demo) do(ctx context.Context, s step) error {
	d.say("%s", s.name)
	began := time.Now()
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if took := time.Since(began); took > time.Second {
		d.detail("done in %.1f s", took.Seconds())
	}
	return nil
}

// say prints a line of progress, with the seconds since the start.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "[%5.1fs] %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

func (d *demo) detail(format string, args ...any) {
	fmt.Fprintf(d.out, "         %s\n", fmt.Sprintf(format, args...))
}

func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

func (d *demo) source(parts ...string) string {
	return filepath.Join(append([]string{d.root}, parts...)...)
}

// serve waits until the user ends the demo or a part of it dies.
func (d *demo) serve(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-d.server.Exited():
		return fmt.Errorf("the server ended by itself: %w", d.server.Err())
	}
}

// stop ends everything. The control plane goes first: kube-apiserver sends its
// last audit events, for which the receiver must still be there.
func (d *demo) stop() error {
	const grace = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	var errs []error
	if d.control != nil {
		errs = append(errs, d.control.Stop())
	}
	if d.server != nil {
		errs = append(errs, d.server.Stop(ctx))
	}
	if d.elastic != nil {
		errs = append(errs, d.elastic.Stop())
	}
	if err := os.Remove(d.path("env")); !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// writeEnv writes what programs need that use the running demo. It is written
// whole or not at all: its presence says that everything is ready.
func (d *demo) writeEnv() error {
	env := fmt.Sprintf("KUBECONFIG=%s\nAUDITQUERY_CA=%s\nAUDITQUERY_INGEST_URL=%s\nAUDITQUERY_URL=%s\nAUDITQUERY_TOKEN=%s\n",
		d.path("kubeconfig"), d.path("ca.crt"), d.ingestURL(), d.apiURL(), d.token)
	if d.elastic != nil {
		env += fmt.Sprintf("ELASTICSEARCH_URL=%s\n", d.elastic.URL())
	}
	temporary := d.path("env.new")
	if err := os.WriteFile(temporary, []byte(env), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, d.path("env"))
}
