package elasticsearch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

const (
	firstBackoff = 100 * time.Millisecond
	longBackoff  = 5 * time.Second
	// smallAnswer bounds answers that hold no documents.
	smallAnswer = 8 << 20
	// errorAnswer bounds what is read of an error.
	errorAnswer = 64 << 10
)

// client sends requests, all of which may be sent twice, until one is answered
// or a bound is reached.
type client struct {
	sessions   *sessions
	maxRetries int
	timeout    time.Duration
	// sleep waits or returns the context's error.
	sleep func(context.Context, time.Duration) error
}

// call is one request.
type call struct {
	// build makes the request, anew for each try.
	build func() esapi.Request
	// limit bounds the body of the answer; errTooLarge beyond.
	limit int
	// hint is how large the body is expected to be.
	hint int
}

// reply is an answer that was read to its end.
type reply struct {
	body []byte
	// repeated tells that an earlier try may have had its effect.
	repeated bool
}

// do returns the answer to a request if its status is a success. The error is a
// *failure if Elasticsearch answered with one.
func (c *client) do(ctx context.Context, request call) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	repeated, renewed := false, false
	for try := 0; ; try++ {
		s := c.sessions.get()
		body, wait, err := c.try(ctx, s, request)
		if err == nil {
			return reply{body: body, repeated: repeated}, nil
		}
		if ctx.Err() != nil {
			return reply{repeated: repeated}, ctx.Err()
		}
		if refused(err) && !renewed && c.sessions.refused(s) {
			renewed = true
			continue
		}
		if !retryable(err) || try >= c.maxRetries {
			return reply{repeated: repeated}, err
		}
		repeated = repeated || !notSent(err)
		if err := c.sleep(ctx, max(wait, backoff(try))); err != nil {
			return reply{repeated: repeated}, err
		}
	}
}

// try sends a request once. The duration is the server's Retry-After.
func (c *client) try(ctx context.Context, s *session, request call) ([]byte, time.Duration, error) {
	res, err := request.build().Do(ctx, s)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		body, err := readBody(res.Body, errorAnswer, 0)
		if err != nil && !errors.Is(err, errTooLarge) {
			return nil, 0, err
		}
		return nil, retryAfterOf(res.Header), failureOf(res.StatusCode, body)
	}
	if res.Header.Get("X-Elastic-Product") != "Elasticsearch" {
		return nil, 0, errProduct
	}
	body, err := readBody(res.Body, request.limit, request.hint)
	return body, 0, err
}

// readBody reads to the end, so that the connection can be used again.
func readBody(r io.Reader, limit, hint int) ([]byte, error) {
	const least = 4 << 10
	body := make([]byte, 0, min(max(hint, least), limit)+1)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if len(body) > limit {
			return body[:limit], errTooLarge
		}
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func retryAfterOf(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, longBackoff)
}

// backoff grows from a tenth of a second to some, half of it random.
func backoff(try int) time.Duration {
	whole := min(firstBackoff<<min(try, 16), longBackoff)
	return whole/2 + rand.N(whole/2)
}

// retryable tells whether the same request may succeed a moment later.
func retryable(err error) bool {
	var f *failure
	if errors.As(err, &f) {
		switch f.status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	return notSent(err) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// notSent tells whether no byte of the request can have arrived.
func notSent(err error) bool {
	var op *net.OpError
	return errors.Is(err, syscall.ECONNREFUSED) || (errors.As(err, &op) && op.Op == "dial")
}

// refused tells whether other credentials or certificates may be accepted.
func refused(err error) bool {
	var f *failure
	if errors.As(err, &f) {
		return f.status == http.StatusUnauthorized || f.status == http.StatusForbidden
	}
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	return errors.As(err, &verification) || errors.As(err, &authority)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// object reads a small answer whose form is fixed.
func (c *client) object(ctx context.Context, build func() esapi.Request, into any) error {
	answered, err := c.do(ctx, call{build: build, limit: smallAnswer})
	if err != nil {
		return err
	}
	if into == nil {
		return nil
	}
	if err := unmarshal(answered.body, into); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	return nil
}
