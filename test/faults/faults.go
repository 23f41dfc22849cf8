// Package faults stands between a store and its Elasticsearch and breaks what
// passes, in the ways in which networks, proxies and overloaded clusters do. What
// it does can be changed at any time; it counts what it saw.
package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"auditquery.dev/auditquery/test/loopback"
)

// Kind is a way to break an answer.
type Kind int

// The kinds. All but Pass, Hang and Refuse break the real answer to the request,
// so that what arrives is as plausible as can be.
const (
	// Pass breaks nothing.
	Pass Kind = iota
	// TimedOut says timed_out and keeps the first half of the hits, with 200.
	TimedOut
	// FailedShard says that a shard failed and keeps the first half of the hits,
	// with 200.
	FailedShard
	// Rejected is 429 es_rejected_execution_exception.
	Rejected
	// ShortBody ends the body in its middle, with a Content-Length that agrees.
	ShortBody
	// MissingBody ends the body in its middle, with the Content-Length of all.
	MissingBody
	// Cut resets the connection in the middle of a body of unknown length.
	Cut
	// NotJSON is 200 with a page for people.
	NotJSON
	// Hang never answers.
	Hang
	// Refuse takes no connection; those there are closed.
	Refuse
)

func (k Kind) String() string {
	names := [...]string{
		"pass", "a search timed out", "a shard failed", "429", "a body cut short", "a body without its end",
		"a reset connection", "no JSON", "no answer", "refused connections",
	}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return names[k]
}

// Fault is what a Proxy does with requests.
type Fault struct {
	Kind Kind
	// Delay comes before each answer, of any kind.
	Delay time.Duration
	// SearchesOnly lets everything pass but searches. Refuse ignores it.
	SearchesOnly bool
}

// Counts are what a Proxy saw since it was started.
type Counts struct {
	// Requests of any kind, and those of them that were searches.
	Requests, Searches int
	// Open are the searches that came and are not over.
	Open int
	// Cancelled are the searches whose client went away before the answer.
	Cancelled int
}

// Proxy is a running proxy. Its methods may be called from any goroutine.
type Proxy struct {
	upstream *url.URL
	client   *http.Client
	port     int
	// over ends hanging requests when the proxy is closed.
	over context.Context
	end  context.CancelFunc

	mutex  sync.Mutex
	fault  Fault
	counts Counts
	// stop closes the listener and all connections; nil while connections are
	// refused.
	stop func() error
}

// Start starts a proxy before the Elasticsearch at a URL without TLS. It passes
// everything on until it is told otherwise. Close it.
func Start(upstream string) (*Proxy, error) {
	target, err := url.Parse(upstream)
	if err != nil {
		return nil, fmt.Errorf("start a proxy: %w", err)
	}
	ports, err := loopback.Ports(1)
	if err != nil {
		return nil, fmt.Errorf("start a proxy: %w", err)
	}
	p := &Proxy{
		upstream: target, port: ports[0],
		client: &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}},
	}
	p.over, p.end = context.WithCancel(context.Background())
	if err := p.listen(); err != nil {
		return nil, fmt.Errorf("start a proxy: %w", err)
	}
	return p, nil
}

// URL is where the store finds the proxy; it stays.
func (p *Proxy) URL() string { return "http://" + loopback.Address(p.port) }

// Counts returns what was seen so far.
func (p *Proxy) Counts() Counts {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.counts
}

// Set has the proxy treat each request that comes from now on so. Requests that
// are on their way are treated as before.
func (p *Proxy) Set(f Fault) error {
	p.mutex.Lock()
	p.fault = f
	stop := p.stop
	if f.Kind == Refuse {
		p.stop = nil
	}
	p.mutex.Unlock()
	switch {
	case f.Kind == Refuse && stop != nil:
		return stop()
	case f.Kind != Refuse && stop == nil:
		return p.listen()
	}
	return nil
}

// Close ends the proxy and all that hangs in it.
func (p *Proxy) Close() error {
	p.end()
	err := p.Set(Fault{Kind: Refuse})
	p.client.CloseIdleConnections()
	return err
}

func (p *Proxy) listen() error {
	listener, err := net.Listen("tcp", loopback.Address(p.port))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() {
		defer close(served)
		// It returns when it is stopped; nothing is to be said then.
		_ = server.Serve(listener)
	}()
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.stop = func() error {
		err := server.Close()
		// A server that is closed before it began to serve leaves this open.
		if e := listener.Close(); err == nil && !errors.Is(e, net.ErrClosed) {
			err = e
		}
		<-served
		return err
	}
	return nil
}

// ServeHTTP answers one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	search := isSearch(r.URL.Path)
	fault := p.came(search)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(p.over, cancel)()
	err := p.answer(ctx, w, r, fault)
	if search {
		p.went(r.Context().Err() != nil)
	}
	if errors.Is(err, errAbort) {
		panic(http.ErrAbortHandler) // it is how a handler closes a connection
	}
}

// isSearch tells searches of records from what the store asks about indices.
func isSearch(path string) bool {
	return strings.HasSuffix(path, "/_search") || strings.HasSuffix(path, "/_msearch")
}

func (p *Proxy) came(search bool) Fault {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.counts.Requests++
	if search {
		p.counts.Searches++
		p.counts.Open++
		return p.fault
	}
	if p.fault.SearchesOnly {
		return Fault{}
	}
	return p.fault
}

func (p *Proxy) went(cancelled bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.counts.Open--
	if cancelled {
		p.counts.Cancelled++
	}
}
