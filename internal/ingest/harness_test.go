package ingest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/certs"
)

// fakeWriter keeps records in memory, as a store would, and can fail the next
// calls.
type fakeWriter struct {
	mutex   sync.Mutex
	stored  map[record.ID]record.Record
	calls   [][]record.Record
	errs    []error                           // for the next calls, nil for a good one
	outcome func(record.Record) store.Outcome // nil, or a zero Result, for the usual
	during  func(ctx context.Context) error   // runs in each call, before anything is stored
}

func newFakeWriter() *fakeWriter { return &fakeWriter{stored: map[record.ID]record.Record{}} }

func (f *fakeWriter) Append(ctx context.Context, records []record.Record) ([]store.Outcome, error) {
	if f.during != nil {
		if err := f.during(ctx); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.calls = append(f.calls, append([]record.Record(nil), records...))
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		if err != nil {
			return nil, err
		}
	}
	outcomes := make([]store.Outcome, len(records))
	for i, r := range records {
		outcomes[i] = f.append(r)
	}
	return outcomes, nil
}

func (f *fakeWriter) append(r record.Record) store.Outcome {
	if f.outcome != nil {
		if o := f.outcome(r); o.Result != 0 {
			return o
		}
	}
	if _, ok := f.stored[r.Base().ID]; ok {
		return store.Outcome{Result: store.Duplicate}
	}
	f.stored[r.Base().ID] = r
	return store.Outcome{Result: store.Stored}
}

func (f *fakeWriter) failNext(errs ...error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.errs = append(f.errs, errs...)
}

// names lists the target names of what is stored, as a set.
func (f *fakeWriter) names() map[string]int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	names := map[string]int{}
	for _, r := range f.stored {
		if a, ok := r.(*record.Audit); ok {
			names[a.TargetResourceName]++
		}
	}
	return names
}

// fakeLetters keeps letters in memory and can fail the next call.
type fakeLetters struct {
	mutex   sync.Mutex
	letters []Letter
	err     error
}

func (f *fakeLetters) Put(letters ...Letter) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if err := f.err; err != nil {
		f.err = nil
		return err
	}
	f.letters = append(f.letters, letters...)
	return nil
}

func (f *fakeLetters) causes() []Cause {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var all []Cause
	for _, l := range f.letters {
		all = append(all, l.Cause)
	}
	return all
}

// logBook collects log lines.
type logBook struct {
	mutex sync.Mutex
	lines []string
}

func (b *logBook) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		b.mutex.Lock()
		defer b.mutex.Unlock()
		b.lines = append(b.lines, prefix+" "+args)
	}, funcr.Options{})
}

func (b *logBook) count(part string) int {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	n := 0
	for _, line := range b.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// rig is a receiver behind real TLS.
type rig struct {
	t        *testing.T
	writer   *fakeWriter
	letters  *fakeLetters
	log      *logBook
	registry *prometheus.Registry
	receiver *Receiver
	server   *Server
	ca       *certs.CA
	files    TLSFiles
	client   *http.Client
}

// newRig starts a receiver that knows a client of the common name prod.
func newRig(t *testing.T, modify ...func(*ReceiverOptions)) *rig {
	t.Helper()
	r := &rig{t: t, writer: newFakeWriter(), letters: &fakeLetters{}, log: &logBook{}, registry: prometheus.NewRegistry()}
	var err error
	if r.ca, err = certs.NewCA("test"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	serving, err := r.ca.IssueServing("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	r.files = TLSFiles{ClientCA: filepath.Join(dir, "ca.crt")}
	if r.files.Cert, r.files.Key, err = serving.Write(dir, "server"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.files.ClientCA, r.ca.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	options := ReceiverOptions{
		Writer: r.writer, Letters: r.letters, Events: record.KubernetesOptions{OwnCluster: "prod"},
		Registry: r.registry, Log: r.log.logger(),
	}
	for _, m := range modify {
		m(&options)
	}
	if r.receiver, err = NewReceiver(options); err != nil {
		t.Fatal(err)
	}
	if r.server, err = NewServer("127.0.0.1:0", r.files, r.receiver, r.log.logger()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.server.Start(ctx) }()
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	r.client = r.clientOf("prod")
	return r
}

func (r *rig) clientOf(commonName string) *http.Client {
	r.t.Helper()
	pair, err := r.ca.IssueClient(commonName)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.clientWith(pair)
}

func (r *rig) clientWith(pairs ...certs.Pair) *http.Client {
	r.t.Helper()
	config := &tls.Config{RootCAs: r.ca.Pool()}
	for _, pair := range pairs {
		certificate, err := pair.TLS()
		if err != nil {
			r.t.Fatal(err)
		}
		config.Certificates = append(config.Certificates, certificate)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}, Timeout: time.Minute}
	r.t.Cleanup(client.CloseIdleConnections)
	return client
}

func (r *rig) url(path string) string { return "https://" + r.server.Address() + path }

// answer is what a test looks at of a response.
type answer struct {
	status     int
	body       string
	retryAfter string
}

func (r *rig) post(body []byte) answer {
	r.t.Helper()
	return r.send(r.client, http.MethodPost, "/ingest/kubernetes/prod", "application/json", bytes.NewReader(body))
}

func (r *rig) send(client *http.Client, method, path, contentType string, body io.Reader) answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url(path), body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{status: res.StatusCode, body: string(text), retryAfter: res.Header.Get("Retry-After")}
}

// metric returns the value of a counter or gauge, with its label's value if it
// has one.
func (r *rig) metric(name, label string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if label != "" && m.GetLabel()[0].GetValue() != label {
				continue
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	r.t.Fatalf("there is no metric %s %s", name, label)
	return 0
}

func unavailable(after time.Duration) error {
	return &store.Error{Reason: store.Unavailable, Op: "append", Message: "the store is away", RetryAfter: after,
		Err: errors.New("dial https://elastic:secret@10.0.0.1:9200: refused")}
}
