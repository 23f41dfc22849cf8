package sender

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

// answer is what came of one request.
type answer struct {
	status     int
	retryAfter time.Duration
	// rejected is what a receiver of records says of them in a success.
	rejected int
	text     string
	took     time.Duration
	// err is set when there was no answer.
	err error
}

// taken tells whether the receiver has promised to keep the request's events.
func (a answer) taken() bool { return a.err == nil && a.status/100 == 2 }

func (s *Sender) body(first, count int) ([]byte, error) {
	if s.bodies != nil {
		return s.bodies[first/s.options.Batch], nil
	}
	return s.encode(first, count)
}

func (s *Sender) encode(first, count int) ([]byte, error) {
	body := s.options.Source.Body(nil, first, count)
	if !s.options.Gzip {
		return body, nil
	}
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	err := w.Close()
	return compressed.Bytes(), err
}

// post sends a body once.
func (s *Sender) post(body []byte) answer {
	const mostText = 2 << 10
	ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.options.URL+s.options.Source.Path(), bytes.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	request.Header.Set("Content-Type", s.options.Source.ContentType())
	if s.options.Gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	began := time.Now()
	response, err := s.options.Client.Do(request)
	if err != nil {
		return answer{err: err}
	}
	// From the status on the promise stands, also when the rest is cut off.
	a := answer{status: response.StatusCode, took: time.Since(began)}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, mostText))
	a.text = string(text)
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		a.retryAfter = time.Duration(seconds) * time.Second
	}
	var told struct {
		Rejected int `json:"rejected_total"`
	}
	if a.taken() && json.Unmarshal(text, &told) == nil {
		a.rejected = told.Rejected
	}
	return a
}
