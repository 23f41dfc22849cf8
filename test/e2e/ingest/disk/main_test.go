// Package disk_test breaks the disk under a receiver: it fills, a bit of it flips, a
// file on it loses its end. And it stops receivers, with and without a store behind
// them. Receiver, store and disk are real.
package disk_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/store/elasticsearch"
	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/faults"
	"auditquery.dev/auditquery/test/receiver"
	"auditquery.dev/auditquery/test/repository"
	"auditquery.dev/auditquery/test/sender"
	"auditquery.dev/auditquery/test/stage"
)

// server is the Elasticsearch of all tests.
var server = elastic.NewShared(elastic.Options{})

// program is the one under test.
var program built

func TestMain(m *testing.M) {
	code := server.Run(m)
	if err := program.remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// built is the program, made when it is first asked for.
type built struct {
	once      sync.Once
	dir, path string
	err       error
}

func (b *built) get(t *testing.T) string {
	t.Helper()
	b.once.Do(func() {
		var root string
		if root, b.err = repository.Root(); b.err != nil {
			return
		}
		if b.dir, b.err = os.MkdirTemp("", "auditquery-disk-"); b.err == nil {
			b.path, b.err = stage.Build(t.Context(), root, b.dir)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}

func (b *built) remove() error {
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}

// cluster sends all events, and is the receiver's own.
const cluster = "prod"

// patience bounds the wait for an empty spool.
const patience = 2 * time.Minute

// place is a receiver, an Elasticsearch behind a proxy that can keep it away, and
// what was sent.
type place struct {
	*receiver.Receiver
	proxy  *faults.Proxy
	prefix string
	store  *elasticsearch.Store
	client *http.Client
	source sender.Events
	// next is the number of the next event.
	next               int
	sent, acknowledged sender.Numbers
}

// newPlace starts a receiver that finds its store in a state of the proxy.
func newPlace(t *testing.T, prefix string, state faults.Fault, o receiver.Options) *place {
	t.Helper()
	return newPlaceBefore(t, server.Cluster(t).URL(), prefix, state, o)
}

// newPlaceBefore is newPlace with something else at the store's address.
func newPlaceBefore(t *testing.T, address, prefix string, state faults.Fault, o receiver.Options) *place {
	t.Helper()
	p := &place{prefix: prefix, source: sender.Events{
		Run: "d15c", Cluster: cluster, OwnCluster: cluster, Start: time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond),
	}}
	var err error
	if p.proxy, err = faults.Start(address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	p.set(t, state)
	p.store, err = elasticsearch.Open(t.Context(), elasticsearch.Options{
		Connection: elasticsearch.Connection{URLs: []string{address}}, IndexPrefix: prefix,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.store.Close(); err != nil {
			t.Error(err)
		}
	})
	o.Binary, o.ElasticsearchURLs, o.IndexPrefix, o.ClusterName = program.get(t), []string{p.proxy.URL()}, prefix, cluster
	p.Receiver = receiver.StartForTest(t, o)
	if p.client, err = p.Client(cluster); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// set changes what the proxy does.
func (p *place) set(t *testing.T, f faults.Fault) {
	t.Helper()
	if err := p.proxy.Set(f); err != nil {
		t.Fatal(err)
	}
}

// answer is what the receiver said.
type answer struct {
	status           int
	retryAfter, body string
}

func (a answer) String() string {
	return fmt.Sprintf("%d (Retry-After: %q) %.300s", a.status, a.retryAfter, a.body)
}

// wantRefused fails the test unless the answer asks to come again later.
func (a answer) wantRefused(t *testing.T) {
	t.Helper()
	if a.status != http.StatusServiceUnavailable || a.retryAfter == "" {
		t.Fatalf("the answer is %s, want 503 with Retry-After", a)
	}
}

// post sends the next events, once.
func (p *place) post(t *testing.T, count int) answer {
	t.Helper()
	first := p.next
	p.next += count
	p.sent.Add(first, count)
	a := p.postBody(t, p.source.Body(nil, first, count))
	if a.status == http.StatusOK {
		p.acknowledged.Add(first, count)
	}
	return a
}

// postBody sends a list of events.
func (p *place) postBody(t *testing.T, body []byte) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL()+p.source.Path(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", p.source.ContentType())
	return p.do(t, request)
}

func (p *place) do(t *testing.T, request *http.Request) answer {
	t.Helper()
	response, err := p.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: response.StatusCode, retryAfter: response.Header.Get("Retry-After"), body: string(body)}
}

// postUntil sends batches until one of them is refused or enough events are
// acknowledged, and returns the last answer.
func (p *place) postUntil(t *testing.T, batch, enough int) answer {
	t.Helper()
	for {
		if a := p.post(t, batch); a.status != http.StatusOK || p.acknowledged.Len() >= enough {
			return a
		}
	}
}

// wantReady fails the test unless the receiver's readiness is so.
func (p *place) wantReady(t *testing.T, want int) {
	t.Helper()
	if got, err := p.Ready(t.Context()); err != nil || got != want {
		t.Errorf("/readyz answers %d (%v), want %d", got, err, want)
	}
}

// drained waits until the spool is empty and returns what the process counted, and
// what is wrong with what the store holds.
func (p *place) drained(t *testing.T) (receiver.Metrics, sender.Report) {
	t.Helper()
	return p.drainedOf(t, p.run())
}

// run is what the test itself has sent.
func (p *place) run() sender.Run {
	return sender.Run{Source: p.source, Sent: &p.sent, Acknowledged: &p.acknowledged}
}

func (p *place) drainedOf(t *testing.T, runs ...sender.Run) (receiver.Metrics, sender.Report) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	counted, err := p.WaitDrained(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p.refresh(t)
	report, err := sender.Verify(t.Context(), p.store, runs...)
	if err != nil {
		t.Fatal(err)
	}
	return counted, report
}

// refresh has everything that is stored be found.
func (p *place) refresh(t *testing.T) {
	t.Helper()
	if _, err := server.Cluster(t).Do(t.Context(), http.MethodPost, "/"+p.prefix+"*/_refresh", nil); err != nil {
		t.Fatal(err)
	}
}

// wantWhole fails the test unless everything acknowledged is stored, once and
// unaltered, and nothing was put aside.
func (p *place) wantWhole(t *testing.T) receiver.Metrics {
	t.Helper()
	counted, report := p.drained(t)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if counted.DeadLettered != 0 {
		t.Errorf("dead letters: %v", counted.DeadLetters)
	}
	return counted
}

// kill ends the receiver at once.
func (p *place) kill(t *testing.T) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

// start starts the receiver again.
func (p *place) start(t *testing.T) {
	t.Helper()
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// live tells whether the process says that it lives.
func (p *place) live(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL()+"/livez", http.NoBody)
	if err != nil {
		return err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	if response.Body.Close(); response.StatusCode != http.StatusOK {
		return fmt.Errorf("/livez: %s", response.Status)
	}
	return nil
}

// command runs a command of the program and returns what it prints.
func command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program.get(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("auditquery %v: %v\n%s", args, err, out)
	}
	return string(out)
}
