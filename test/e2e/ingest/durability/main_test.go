// Package durability_test holds `auditquery ingest` to its promise: what was
// acknowledged is in the store exactly once and unaltered, whatever fails. The
// receiver is the real program, killed and started again on its spool; so is
// Elasticsearch.
//
// AUDITQUERY_SOAK=1 does all of it for longer.
package durability_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"

	"auditquery.dev/auditquery/internal/store/elasticsearch"
	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/receiver"
	"auditquery.dev/auditquery/test/repository"
	"auditquery.dev/auditquery/test/sender"
	"auditquery.dev/auditquery/test/stage"
)

const (
	// soakEnv asks for the long form.
	soakEnv = "AUDITQUERY_SOAK"
	// cluster is the one that sends.
	cluster = "prod"
	// pollInterval is how often counts are read.
	pollInterval = 100 * time.Millisecond
)

var (
	shared = elastic.NewShared(elastic.Options{})
	built  program
)

func TestMain(m *testing.M) {
	code := shared.Run(m)
	if built.dir != "" {
		if err := os.RemoveAll(built.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// program is ours, built by the first test that runs it.
type program struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func (p *program) binary(t *testing.T) string {
	t.Helper()
	p.once.Do(func() { p.path, p.err = p.build(t.Context()) })
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.path
}

func (p *program) build(ctx context.Context) (string, error) {
	root, err := repository.Root()
	if err != nil {
		return "", err
	}
	if p.dir, err = os.MkdirTemp("", "auditquery-durability-"); err != nil {
		return "", err
	}
	return stage.Build(ctx, root, p.dir)
}

// patience is how long a test waits for what depends on the speed of the machine;
// only a failing test waits so long.
func patience() time.Duration { return either(5*time.Minute, 20*time.Minute) }

// either returns what holds for the test, or for the soak.
func either[T any](test, soak T) T {
	if os.Getenv(soakEnv) != "" {
		return soak
	}
	return test
}

// world is a receiver with indices of its own in an Elasticsearch.
type world struct {
	*receiver.Receiver
	elastic *elastic.Cluster
	prefix  string
	senders []*sender.Sender
}

// newWorld starts a receiver that reaches Elasticsearch at urls.
func newWorld(t *testing.T, c *elastic.Cluster, urls []string, args ...string) *world {
	t.Helper()
	w := &world{elastic: c, prefix: "durability-" + rand.String(8)}
	w.Receiver = receiver.StartForTest(t, receiver.Options{
		Binary: built.binary(t), ElasticsearchURLs: urls, IndexPrefix: w.prefix,
		Args: append([]string{"--ingest-client-orgs=" + cluster + "=*"}, args...),
	})
	return w
}

// events are those of a kube-apiserver that sends to this receiver.
func (w *world) events(rate float64) sender.Events {
	return sender.Events{Run: fmt.Sprintf("%x", len(w.senders)+1), Cluster: cluster,
		OwnCluster: w.ClusterName(), Start: time.Now(), Interval: interval(rate)}
}

// lines are those of an application.
func (w *world) lines(rate float64) sender.Lines {
	return sender.Lines{Run: fmt.Sprintf("%x", len(w.senders)+1), Org: "acme", Start: time.Now(), Interval: interval(rate)}
}

// interval has events happen about when they are sent.
func interval(rate float64) time.Duration {
	if rate <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / rate)
}

// send starts a sender that ends with the test.
func (w *world) send(t *testing.T, o sender.Options) *sender.Sender {
	t.Helper()
	client, err := w.Client(cluster)
	if err != nil {
		t.Fatal(err)
	}
	o.URL, o.Client = w.URL(), client
	s, err := sender.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Abort)
	w.senders = append(w.senders, s)
	return s
}

// finish waits until all that was sent is acknowledged and has left the spool.
func (w *world) finish(t *testing.T) receiver.Metrics {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience())
	defer cancel()
	for _, s := range w.senders {
		if !s.Limited() {
			s.Stop()
		}
	}
	for _, s := range w.senders {
		if err := s.Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	m, err := w.WaitDrained(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if m.DeadLettered > 0 {
		t.Errorf("dead letters: %v", m.DeadLetters)
	}
	return m
}

// wantAllStored ends the receiver and compares what is in the store with what was
// acknowledged.
func (w *world) wantAllStored(t *testing.T) {
	t.Helper()
	if err := w.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.elastic.Do(t.Context(), http.MethodPost, "/"+w.prefix+"-*/_refresh", nil); err != nil {
		t.Fatal(err)
	}
	reader, err := elasticsearch.Open(t.Context(), elasticsearch.Options{
		Connection: elasticsearch.Connection{URLs: []string{w.elastic.URL()}}, IndexPrefix: w.prefix,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var runs []sender.Run
	for _, s := range w.senders {
		runs = append(runs, s.Run())
		if c := s.Counts(); c.Rejected > 0 {
			t.Errorf("%d records were rejected; %s", c.Rejected, c)
		}
	}
	report, err := sender.Verify(t.Context(), reader, runs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d acknowledged events, %d records in the store: each is there once and unaltered", report.Events, report.Records)
}

// until polls the receiver's counts until they are as wanted.
func (w *world) until(t *testing.T, what string, wanted func(receiver.Metrics) bool) receiver.Metrics {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience())
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		m, err := w.Metrics(ctx)
		if err == nil && wanted(m) {
			return m
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %+v, %v", what, m, err)
		case <-w.Process().Exited():
			t.Fatalf("waiting until %s: %v", what, w.Process().Err())
		case <-ticker.C:
		}
	}
}

// wait polls until done is true. It has more patience than package await: nodes of
// Elasticsearch start slowly beside other tests.
func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience())
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waiting until %s took longer than %s", what, patience())
		}
		letPass(t, pollInterval)
	}
}

// letPass waits for so long: a test that is about time, or about a random moment.
func letPass(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// wantOnlySuccess fails when a sender was ever told anything but that its events are
// kept.
func wantOnlySuccess(t *testing.T, s *sender.Sender) {
	t.Helper()
	if c := s.Counts(); c.Requests != c.Answers[http.StatusOK] {
		t.Errorf("a sender was refused: %s", strings.TrimSpace(c.String()))
	}
}
