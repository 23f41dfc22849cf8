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
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/ingest/auth"
	"auditquery.dev/auditquery/internal/ingest/entry"
	"auditquery.dev/auditquery/internal/ingest/ledger"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/certs"
)

// rig is a receiver behind real TLS, over a real spool.
type rig struct {
	t        testing.TB
	spool    *testSpool
	letters  *fakeLetters
	ledger   *ledger.Ledger
	known    *Known
	cluster  *fakeCluster
	log      *logBook
	registry *prometheus.Registry
	receiver *Receiver
	server   *Server
	ca       *certs.CA
	files    TLSFiles
	client   *http.Client
}

// setting is what a test changes of a rig before it starts.
type setting struct {
	receiver Options
	senders  auth.Options
	server   ServerOptions
}

// newRig starts a receiver that knows a client of the common name prod, which may
// write the records of every organisation.
func newRig(t testing.TB, modify ...func(*setting)) *rig {
	t.Helper()
	r := &rig{
		t: t, letters: &fakeLetters{}, ledger: ledger.New(nil), known: NewKnown(), cluster: &fakeCluster{allowed: map[string]bool{}},
		log: &logBook{}, registry: prometheus.NewRegistry(),
	}
	opened, err := spool.Open(t.Context(), spool.Options{Dir: filepath.Join(t.TempDir(), "spool")})
	if err != nil {
		t.Fatal(err)
	}
	r.spool = &testSpool{Spool: opened}
	r.makeFiles()
	s := setting{
		receiver: Options{
			Spool: r.spool, Letters: r.letters, Ledger: r.ledger, Known: r.known,
			Events: record.KubernetesOptions{OwnCluster: "prod"}, Registry: r.registry, Log: r.log.logger(),
		},
		senders: auth.Options{
			Tokens: r.cluster, Authorizer: r.cluster, Claimant: r.cluster, ClientOrgs: map[string][]string{"prod": {auth.EveryOrg}},
		},
		server: ServerOptions{Address: "127.0.0.1:0", TLS: r.files, Log: r.log.logger()},
	}
	for _, m := range modify {
		m(&s)
	}
	if s.receiver.Senders, err = auth.New(s.senders); err != nil {
		t.Fatal(err)
	}
	if r.receiver, err = NewReceiver(s.receiver); err != nil {
		t.Fatal(err)
	}
	s.server.Handler = r.receiver
	if r.server, err = NewServer(s.server); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.server.Start(ctx) }()
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-done, opened.Close()); err != nil {
			t.Error(err)
		}
	})
	r.client = r.clientOf("prod")
	return r
}

func (r *rig) makeFiles() {
	r.t.Helper()
	var err error
	if r.ca, err = certs.NewCA("test"); err != nil {
		r.t.Fatal(err)
	}
	dir := r.t.TempDir()
	serving, err := r.ca.IssueServing("127.0.0.1")
	if err != nil {
		r.t.Fatal(err)
	}
	r.files = TLSFiles{ClientCA: filepath.Join(dir, "ca.crt")}
	if r.files.Cert, r.files.Key, err = serving.Write(dir, "server"); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.files.ClientCA, r.ca.CertPEM(), 0o600); err != nil {
		r.t.Fatal(err)
	}
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

// got is what a test looks at of a response.
type got struct {
	Status     int
	Body       string
	RetryAfter string
}

// request is one that starts well: a good client's, of JSON.
type request struct {
	client   *http.Client
	method   string
	path     string
	media    string
	encoding string
	token    string
	body     io.Reader
}

func (r *rig) do(q request) got {
	r.t.Helper()
	if q.client == nil {
		q.client = r.client
	}
	if q.method == "" {
		q.method = http.MethodPost
	}
	if q.media == "" {
		q.media = "application/json"
	}
	req, err := http.NewRequestWithContext(r.t.Context(), q.method, r.url(q.path), q.body)
	if err != nil {
		r.t.Fatal(err)
	}
	if sized, ok := q.body.(*sizedReader); ok {
		req.ContentLength = sized.size
	}
	req.Header.Set("Content-Type", q.media)
	if q.encoding != "" {
		req.Header.Set("Content-Encoding", q.encoding)
	}
	if q.token != "" {
		req.Header.Set("Authorization", "Bearer "+q.token)
	}
	res, err := q.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return got{Status: res.StatusCode, Body: string(text), RetryAfter: res.Header.Get("Retry-After")}
}

// events posts to the way of audit events.
func (r *rig) events(body []byte) got {
	r.t.Helper()
	return r.do(request{path: PathKubernetes + "prod", body: bytes.NewReader(body)})
}

// lines posts to the way of records.
func (r *rig) lines(body string) got {
	r.t.Helper()
	return r.do(request{path: PathRecords, media: "application/x-ndjson", body: strings.NewReader(body)})
}

// bulk posts to the way of the original API.
func (r *rig) bulk(body string) got {
	r.t.Helper()
	return r.do(request{path: PathBulk, body: strings.NewReader(body)})
}

// wantNames compares the target names of the audits in the spool, how often each
// is there.
func (r *rig) wantNames(want map[string]int) {
	r.t.Helper()
	names := map[string]int{}
	for _, e := range r.spool.entries(r.t) {
		if a, ok := decoded(r.t, e).(*record.Audit); ok {
			names[a.TargetResourceName]++
		}
	}
	if want == nil {
		want = map[string]int{}
	}
	if diff := cmp.Diff(want, names); diff != "" {
		r.t.Errorf("names in the spool (-want +got):\n%s", diff)
	}
}

func decoded(t testing.TB, e entry.Entry) record.Record {
	t.Helper()
	r, err := e.Record.Record()
	if err != nil {
		t.Fatal(err)
	}
	return r
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
