package elasticsearch

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeServer is a RoundTripper that answers as an Elasticsearch with one index
// does, and gives scripted answers to searches and bulk requests, the last one
// again and again.
type fakeServer struct {
	mu       sync.Mutex
	requests []recorded
	scripted []reaction
	slept    []time.Duration
}

// recorded is a request as it was sent.
type recorded struct {
	path, query, body string
	header            http.Header
}

// reaction is one answer.
type reaction struct {
	status int
	header map[string]string
	body   string
	// err is returned instead of an answer.
	err error
	// cut breaks the connection behind the body.
	cut error
}

const (
	fakeState    = `{"found":true,"_seq_no":1,"_primary_term":1,"_source":{"layout":1,"generation":2,"indices":["x-audit-2026.11"]}}`
	fakeSettings = `{"x-audit-2026.11":{"settings":{"index.uuid":"u1","index.number_of_shards":"1"}}}`
	fakeMapping  = `{"x-audit-2026.11":{"mappings":{"_meta":{"layout":1,"kind":"Audit"}}}}`
)

func (f *fakeServer) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	f.requests = append(f.requests, recorded{path: r.URL.Path, query: r.URL.RawQuery, body: string(body), header: r.Header.Clone()})
	switch {
	case strings.HasPrefix(r.URL.Path, "/x-state/"):
		return reaction{body: fakeState}.response(r)
	case strings.Contains(r.URL.Path, "/_settings/"):
		return reaction{body: fakeSettings}.response(r)
	case strings.HasSuffix(r.URL.Path, "/_mapping"):
		return reaction{body: fakeMapping}.response(r)
	}
	next := f.scripted[0]
	if len(f.scripted) > 1 {
		f.scripted = f.scripted[1:]
	}
	return next.response(r)
}

func (r reaction) response(request *http.Request) (*http.Response, error) {
	if r.err != nil {
		return nil, r.err
	}
	res := &http.Response{StatusCode: r.status, Header: http.Header{}, Request: request}
	if res.StatusCode == 0 {
		res.StatusCode = http.StatusOK
	}
	res.Header.Set("X-Elastic-Product", "Elasticsearch")
	for name, value := range r.header {
		res.Header.Set(name, value)
	}
	res.Body = io.NopCloser(io.MultiReader(strings.NewReader(r.body), failing{r.cut}))
	return res, nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// to returns the requests whose path ends so.
func (f *fakeServer) to(end string) []recorded {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []recorded
	for _, r := range f.requests {
		if strings.HasSuffix(r.path, end) {
			found = append(found, r)
		}
	}
	return found
}

func fakeStore(t *testing.T, reactions ...reaction) (*Store, *fakeServer) {
	t.Helper()
	f := &fakeServer{scripted: reactions}
	s, err := Open(t.Context(), Options{IndexPrefix: "x", transport: f, Connection: Connection{
		URLs: []string{"http://secret-host.invalid:9200"}, Username: "secret-user", Password: "secret-password"}})
	if err != nil {
		t.Fatal(err)
	}
	s.client.sleep = func(ctx context.Context, d time.Duration) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.slept = append(f.slept, d)
		return ctx.Err()
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, f
}

// page is the answer to a search that finds documents.
func page(documents ...string) string {
	var b bytes.Buffer
	b.WriteString(`{"took":1,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},"hits":{"max_score":null,"hits":[`)
	for i, d := range documents {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"_index":"x","_id":"1","_score":null,"_source":` + d + `,"sort":[1,2,3]}`)
	}
	b.WriteString(`]}}`)
	return b.String()
}

// stored is a document as it is in the index.
func stored(document string) string {
	return string(appendIndexed([]byte(document[:len(document)-1]), []string{"web", "läden"}, 1, -2))
}
