package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// sent is a request as a store sent it.
type sent struct {
	method      string
	uri         string
	contentType string
	body        []byte
}

// recorder passes requests on to Elasticsearch and keeps those that were asked
// for, so that what is sent by plain HTTP is byte for byte what our store sends.
type recorder struct {
	URL    string
	server *http.Server
	// swallow answers what is kept as Elasticsearch would answer a bulk
	// request that it did in full, instead of passing it on.
	swallow bool

	mu   sync.Mutex
	keep string
	kept []sent
}

// newRecorder keeps the requests whose path ends in keep.
func newRecorder(target, keep string) (*recorder, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{URL: "http://" + listener.Addr().String(), keep: keep}
	proxy := httputil.NewSingleHostReverseProxy(to)
	r.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		kept, err := r.take(request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if kept != nil && r.swallow {
			answerBulk(w, kept.body)
			return
		}
		proxy.ServeHTTP(w, request)
	})}
	go func() { _ = r.server.Serve(listener) }() // ends with close
	return r, nil
}

// take keeps a request if it is one of those asked for.
func (r *recorder) take(request *http.Request) (*sent, error) {
	if !strings.HasSuffix(request.URL.Path, r.keep) {
		return nil, nil
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	kept := sent{
		method: request.Method, uri: request.URL.RequestURI(), contentType: request.Header.Get("Content-Type"), body: body,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, kept)
	return &kept, nil
}

// answerBulk says of each pair of lines that its record was created, or of each line
// that its record was deleted.
func answerBulk(w http.ResponseWriter, body []byte) {
	const (
		created = `{"create":{"status":201}}`
		deleted = `{"delete":{"status":200}}`
	)
	lines := bytes.Count(body, []byte("\n"))
	items := slices.Repeat([]string{created}, lines/2)
	if bytes.HasPrefix(body, []byte(`{"delete"`)) {
		items = slices.Repeat([]string{deleted}, lines)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	// A store that gets less than this fails by itself.
	_, _ = io.WriteString(w, `{"errors":false,"items":[`+strings.Join(items, ",")+`]}`)
}

// drain returns what was kept so far and forgets it.
func (r *recorder) drain() []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.kept
	r.kept = nil
	return kept
}

func (r *recorder) close() error { return r.server.Close() }

// rawClient sends what a store sent by plain HTTP: connections are kept alive,
// no compression is asked for, answers are read to their end and not looked at.
type rawClient struct {
	client *http.Client
	url    string
}

func newRawClient(url string) *rawClient {
	return &rawClient{url: url, client: &http.Client{Transport: &http.Transport{
		DisableCompression: true, MaxIdleConnsPerHost: loadWriters,
	}}}
}

// send returns how many bytes the answer has.
func (c *rawClient) send(ctx context.Context, s sent) (read int64, err error) {
	request, err := http.NewRequestWithContext(ctx, s.method, c.url+s.uri, bytes.NewReader(s.body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", s.contentType)
	response, err := c.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if read, err = io.Copy(io.Discard, response.Body); err != nil {
		return read, err
	}
	if response.StatusCode != http.StatusOK {
		return read, fmt.Errorf("the raw request was answered %s", response.Status)
	}
	return read, nil
}
