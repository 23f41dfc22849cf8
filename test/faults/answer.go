package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// maxBody is more than a request or an answer of a test ever holds.
const maxBody = 64 << 20

// errAbort asks for the connection to be closed without another byte.
var errAbort = errors.New("close the connection")

const rejection = `{"error":{"root_cause":[{"type":"es_rejected_execution_exception","reason":"rejected execution of a search"}],` +
	`"type":"es_rejected_execution_exception","reason":"rejected execution of a search"},"status":429}`

const page = `<!DOCTYPE html><html><body><h1>It works!</h1></body></html>`

// upstreamAnswer is what Elasticsearch said.
type upstreamAnswer struct {
	status int
	header http.Header
	body   []byte
}

// answer writes what the fault makes of Elasticsearch's answer.
func (p *Proxy) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, f Fault) error {
	// A body that was not read keeps the server from seeing its client go.
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return errAbort
	}
	if f.Kind == Hang {
		<-ctx.Done()
		return errAbort
	}
	if err := pause(ctx, f.Delay); err != nil {
		return errAbort
	}
	if f.Kind == Rejected {
		return send(w, http.StatusTooManyRequests, elasticHeader("application/json"), []byte(rejection))
	}
	if f.Kind == NotJSON {
		return send(w, http.StatusOK, elasticHeader("text/html"), []byte(page))
	}
	a, err := p.ask(ctx, r, body)
	if err != nil {
		return errAbort
	}
	return a.send(w, f.Kind)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func elasticHeader(contentType string) http.Header {
	return http.Header{"Content-Type": {contentType}, "X-Elastic-Product": {"Elasticsearch"}}
}

// ask passes the request on. Its context ends with the client's, so that
// Elasticsearch sees the client go.
func (p *Proxy) ask(ctx context.Context, r *http.Request, body []byte) (upstreamAnswer, error) {
	target := *r.URL
	target.Scheme, target.Host = p.upstream.Scheme, p.upstream.Host
	request, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return upstreamAnswer{}, err
	}
	request.Header = r.Header.Clone()
	response, err := p.client.Do(request)
	if err != nil {
		return upstreamAnswer{}, err
	}
	defer response.Body.Close()
	answered, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	return upstreamAnswer{status: response.StatusCode, header: response.Header, body: answered}, err
}

func (a upstreamAnswer) send(w http.ResponseWriter, kind Kind) error {
	half := a.body[:len(a.body)/2]
	switch kind {
	case ShortBody:
		return send(w, a.status, a.header, half)
	case MissingBody:
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		_ = sendHead(w, a.status, a.header, half)
		return errAbort
	case Cut:
		if err := sendHead(w, a.status, a.header, half); err != nil {
			return err
		}
		return reset(w)
	case TimedOut, FailedShard:
		return send(w, a.status, a.header, halved(a.body, kind))
	default:
		return send(w, a.status, a.header, a.body)
	}
}

// send writes a whole answer, with its length.
func send(w http.ResponseWriter, status int, header http.Header, body []byte) error {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	return sendHead(w, status, header, body)
}

func sendHead(w http.ResponseWriter, status int, header http.Header, body []byte) error {
	for _, name := range []string{"Content-Type", "X-Elastic-Product", "Retry-After"} {
		if value := header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return errAbort
	}
	return http.NewResponseController(w).Flush()
}

// reset ends the connection as a crash or a firewall does: not even the end of
// the stream is sent.
func reset(w http.ResponseWriter) error {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return errAbort
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the end is only less abrupt
	}
	return connection.Close()
}

// halved is an answer of a search as Elasticsearch gives it when a part of the
// records could not be looked at: a success, and half of the hits. Other bodies
// stay as they are.
func halved(body []byte, kind Kind) []byte {
	var whole map[string]json.RawMessage
	var hits map[string]json.RawMessage
	var list []json.RawMessage
	if json.Unmarshal(body, &whole) != nil || json.Unmarshal(whole["hits"], &hits) != nil ||
		json.Unmarshal(hits["hits"], &list) != nil {
		return body
	}
	hits["hits"] = encode(list[:len(list)/2])
	whole["hits"] = encode(hits)
	if kind == TimedOut {
		whole["timed_out"] = encode(true)
		return encode(whole)
	}
	whole["_shards"] = encode(map[string]any{
		"total": 2, "successful": 1, "skipped": 0, "failed": 1,
		"failures": []any{map[string]any{"shard": 0, "reason": map[string]string{"type": "node_disconnected_exception"}}},
	})
	return encode(whole)
}

func encode(value any) json.RawMessage {
	data, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("encode a part of an answer: %v", err)) // plain values always encode
	}
	return data
}
