// Package senders_test is about those who send: what one of them gets wrong must not
// cost the others anything, and nobody may write what is another's. A real
// kube-apiserver is among them, and what its own audit log shows must be stored.
package senders_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/store/elasticsearch"
	"auditquery.dev/auditquery/test/controlplane"
	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/receiver"
	"auditquery.dev/auditquery/test/repository"
	"auditquery.dev/auditquery/test/stage"
)

// shared is what the tests of this package have in common.
var shared world

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.stop(code == 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// part is something that is started by the first test that asks for it.
type part struct {
	once sync.Once
	err  error
}

func (p *part) get(t *testing.T, start func(ctx context.Context) error) {
	t.Helper()
	p.once.Do(func() { p.err = start(t.Context()) })
	if p.err != nil {
		t.Fatal(p.err)
	}
}

// world has a program, an Elasticsearch, and a cluster whose server keeps its records
// there.
type world struct {
	folder, programPart, elasticPart, stagePart part

	dir     string
	program string
	elastic *elastic.Cluster
	stage   *stage.Stage
}

func (w *world) makeDir(context.Context) (err error) {
	w.dir, err = os.MkdirTemp("", "auditquery-senders-")
	return err
}

// theProgram is the path of the program under test.
func theProgram(t *testing.T) string {
	t.Helper()
	w := &shared
	w.folder.get(t, w.makeDir)
	w.programPart.get(t, func(ctx context.Context) error {
		root, err := repository.Root()
		if err != nil {
			return err
		}
		w.program, err = stage.Build(ctx, root, w.dir)
		return err
	})
	return w.program
}

// theElasticsearch is the store of all tests, which keep apart by their prefixes.
func theElasticsearch(t *testing.T) *elastic.Cluster {
	t.Helper()
	w := &shared
	w.elasticPart.get(t, func(ctx context.Context) (err error) {
		w.elastic, err = elastic.Start(ctx, elastic.Options{})
		return err
	})
	return w.elastic
}

const (
	// stagePrefix begins the names of the cluster's indices.
	stagePrefix = "cluster"
	// logFile is where the kube-apiserver writes its own audit log.
	logFile = "audit.log"
	// ownAccount is what the server acts as: what it does of itself is left out.
	ownAccount = "system:serviceaccount:" + stage.SystemNamespace + ":" + stage.ControllerAccount
)

// theStage is a cluster whose kube-apiserver sends its audit events to the only
// server, which has every role.
func theStage(t *testing.T) *stage.Stage {
	t.Helper()
	w := &shared
	program, address := theProgram(t), theElasticsearch(t).URL()
	w.stagePart.get(t, func(ctx context.Context) (err error) {
		w.stage, err = stage.Start(ctx, stage.Options{
			Dir: filepath.Join(w.dir, "stage"), Binary: program, ElasticsearchURL: address, IndexPrefix: stagePrefix,
			Audit: true, AuditBatch: controlplane.Batch{InitialBackoff: webhookBackoff},
			APIServerArgs: []string{"--audit-log-path=" + filepath.Join(w.dir, "stage", logFile)},
			Servers:       []stage.ServerOptions{{Args: append([]string{"--own-usernames=" + ownAccount}, certificateArgs()...)}},
		})
		if err != nil {
			return err
		}
		return furnish(ctx, w.stage)
	})
	t.Cleanup(func() {
		if t.Failed() {
			w.stage.LogTails(t)
		}
	})
	return w.stage
}

// stop ends what was started and removes its files, unless they may tell why a test
// failed.
func (w *world) stop(clean bool) error {
	var failures []error
	if w.stage != nil {
		failures = append(failures, w.stage.Stop())
	}
	if w.elastic != nil {
		failures = append(failures, w.elastic.Stop())
	}
	err := errors.Join(failures...)
	if w.dir == "" {
		return err
	}
	if err != nil || !clean {
		fmt.Fprintln(os.Stderr, "the logs are in", w.dir)
		return err
	}
	return os.RemoveAll(w.dir)
}

// cluster is what a receiver without a cluster calls its own.
const cluster = "prod"

// startReceiver starts a receiver for one test, which keeps its records under a
// prefix of its own.
func startReceiver(t *testing.T, prefix string, args ...string) *receiver.Receiver {
	t.Helper()
	return receiver.StartForTest(t, receiver.Options{
		Binary: theProgram(t), ElasticsearchURLs: []string{theElasticsearch(t).URL()}, IndexPrefix: prefix, ClusterName: cluster,
		Args: args,
	})
}

// openStore opens the records under a prefix.
func openStore(t *testing.T, prefix string) *elasticsearch.Store {
	t.Helper()
	s, err := elasticsearch.Open(t.Context(), elasticsearch.Options{
		Connection: elasticsearch.Connection{URLs: []string{theElasticsearch(t).URL()}}, IndexPrefix: prefix,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// webhookBackoff is how long the kube-apiserver waits before it sends a batch again:
// its five tries span the time in which a server is killed and started.
const webhookBackoff = 5 * time.Second
