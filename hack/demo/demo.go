package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/stage"
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

	token string

	elastic *elastic.Cluster
	stage   *stage.Stage
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
	return d, os.MkdirAll(d.dir, 0o755)
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
	case <-d.stage.Server().Process().Exited():
		return fmt.Errorf("the server ended by itself: %w", d.stage.Server().Process().Err())
	}
}

// stop ends everything, the store last.
func (d *demo) stop() error {
	var errs []error
	if d.stage != nil {
		errs = append(errs, d.stage.Stop())
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
		d.path("kubeconfig"), d.stage.CAPath(), d.stage.Server().IngestURL(), d.stage.Server().URL(), d.token)
	if d.elastic != nil {
		env += fmt.Sprintf("ELASTICSEARCH_URL=%s\n", d.elastic.URL())
	}
	temporary := d.path("env.new")
	if err := os.WriteFile(temporary, []byte(env), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, d.path("env"))
}
