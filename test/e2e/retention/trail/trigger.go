package trail

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// maxBody is more than a request or an answer of these tests ever holds.
const maxBody = 64 << 20

// Moment is a moment in the life of a request.
type Moment int

// The moments.
const (
	// Dropped is before Elasticsearch has the request, which it never gets.
	Dropped Moment = iota
	// Sent is before Elasticsearch has it.
	Sent
	// Answered is when Elasticsearch has done it and its client doesn't know yet.
	Answered
)

// Trigger stands before an Elasticsearch and does something once, at a moment of a
// request that was chosen.
type Trigger struct {
	upstream string
	server   *httptest.Server
	client   *http.Client

	mutex  sync.Mutex
	wanted func(*http.Request) bool
	left   int
	moment Moment
	do     func()
}

// NewTrigger stands before the Elasticsearch at a URL until the test ends.
func NewTrigger(t testing.TB, upstream string) *Trigger {
	t.Helper()
	g := &Trigger{upstream: upstream, client: &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}}}
	g.server = httptest.NewServer(g)
	t.Cleanup(g.server.Close)
	return g
}

// URL is where clients find it.
func (g *Trigger) URL() string { return g.server.URL }

// Set has do called at the request that comes after so many that are wanted; nil
// wants all.
func (g *Trigger) Set(wanted func(*http.Request) bool, after int, moment Moment, do func()) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.wanted, g.left, g.moment, g.do = wanted, after+1, moment, do
}

// Clear has nothing done any more.
func (g *Trigger) Clear() { g.Set(nil, 0, Sent, nil) }

// count tells whether this is the request, and what to do.
func (g *Trigger) count(r *http.Request) (do func(), moment Moment) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.do == nil || g.wanted != nil && !g.wanted(r) {
		return nil, 0
	}
	if g.left--; g.left > 0 {
		return nil, 0
	}
	do, g.do = g.do, nil
	return do, g.moment
}

// ServeHTTP passes one request on.
func (g *Trigger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler) // it is how a handler closes a connection
	}
	do, moment := g.count(r)
	if do != nil && moment != Answered {
		do()
	}
	if do != nil && moment == Dropped {
		panic(http.ErrAbortHandler)
	}
	status, header, answer, err := g.pass(r, asked)
	if do != nil && moment == Answered {
		do()
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for _, name := range []string{"Content-Type", "X-Elastic-Product", "Retry-After"} {
		if value := header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer) // a client that is gone reads no answer
}

// pass has Elasticsearch answer, also when its client goes away: it has the whole
// request by then.
func (g *Trigger) pass(r *http.Request, asked []byte) (status int, header http.Header, answer []byte, err error) {
	request, err := http.NewRequest(r.Method, g.upstream+r.URL.RequestURI(), bytes.NewReader(asked))
	if err != nil {
		return 0, nil, nil, err
	}
	request.Header = r.Header.Clone()
	response, err := g.client.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxBody))
	return response.StatusCode, response.Header, answer, err
}
