package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/store"
)

const (
	// leastTimeout is the shortest time that Elasticsearch is given for what we
	// ask of it: less would fail for nothing.
	leastTimeout = time.Second
	// settleTries is how often we look whether what we gave up goes on: with
	// the pauses between, some ten seconds.
	settleTries = 9
	// opaqueID is the header by which Elasticsearch tells whose a task is.
	opaqueID = "X-Opaque-Id"
	// erasingActions are the tasks that erase: bulk requests with their parts,
	// and changes of aliases, which delete indices.
	erasingActions = "*bulk*,*aliases*"
)

// unsure counts the requests that erase whose outcome we don't know: they may be
// under way in Elasticsearch still.
type unsure struct{ count atomic.Int64 }

// withMargin ends a call that erases early: Elasticsearch may go on for a moment
// with what we don't wait for any more, but not after the caller's deadline. Of
// the time that the caller gives, we take two thirds.
func withMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	now := time.Now()
	const share, of = 2, 3
	return context.WithDeadline(ctx, now.Add(deadline.Sub(now)*share/of))
}

// patience is how long Elasticsearch may take for a request, at least
// leastTimeout: what waits there for longer is given up, and done no more.
func (c *client) patience(ctx context.Context) time.Duration {
	left := c.timeout
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline))
	}
	return max(left, leastTimeout)
}

// erase sends a request that erases, which mark made recognisable. Without an
// answer, or with one to a second try alone, it may be under way still.
func (s *Store) erase(ctx context.Context, request call) (reply, error) {
	answered, err := s.client.do(ctx, request)
	if answered.repeated || uncertain(err) {
		s.unsure.count.Add(1)
	}
	return answered, err
}

// uncertain tells whether a request may have its effect although it failed: a
// proxy may have given it up.
func uncertain(err error) bool {
	var f *failure
	if errors.As(err, &f) {
		return f.status >= http.StatusInternalServerError
	}
	return err != nil && !notSent(err)
}

// mark makes a request recognisable as one of ours that erases.
func (s *Store) mark(header http.Header) http.Header {
	if header == nil {
		header = http.Header{}
	}
	header.Set(opaqueID, s.catalogue.names.erasing())
	return header
}

// settle waits until nothing that this process gave up is under way any more.
func (s *Store) settle(ctx context.Context) error {
	if s.unsure.count.Load() == 0 {
		return nil
	}
	return s.waitForErasing(ctx)
}

// waitForErasing waits until Elasticsearch does nothing of ours that erases, of
// any process. It is Unavailable if that can't be told, or takes too long.
func (s *Store) waitForErasing(ctx context.Context) error {
	before := s.unsure.count.Load()
	for try := range settleTries {
		if try > 0 {
			if err := s.client.sleep(ctx, backoff(try-1)); err != nil {
				return err
			}
		}
		going, err := s.erasingUnderWay(ctx)
		if err != nil {
			return err
		}
		if !going {
			// What went wrong meanwhile was not looked for.
			s.unsure.count.CompareAndSwap(before, 0)
			return nil
		}
	}
	return &store.Error{Reason: store.Unavailable, Op: "look at what is being erased", RetryAfter: retryAfter,
		Message: "Elasticsearch still works on an earlier erasure that was given up; nothing is erased until it has ended"}
}

// tasksAnswer is what runs on each node.
type tasksAnswer struct {
	Failures []struct {
		Type string `json:"type"`
	} `json:"node_failures"`
	TaskFailures []struct {
		Status string `json:"status"`
	} `json:"task_failures"`
	Nodes *map[string]struct {
		Tasks map[string]struct {
			Headers map[string]string `json:"headers"`
		} `json:"tasks"`
	} `json:"nodes"`
}

// erasingUnderWay asks every node.
func (s *Store) erasingUnderWay(ctx context.Context) (bool, error) {
	var found tasksAnswer
	err := s.client.object(ctx, func() esapi.Request {
		return esapi.TasksListRequest{Actions: []string{erasingActions}, GroupBy: "nodes"}
	}, &found)
	switch {
	case err != nil:
		return false, err
	case found.Nodes == nil:
		return false, fmt.Errorf("%w: it lacks nodes", errMalformed)
	case len(found.Failures)+len(found.TaskFailures) > 0:
		return false, &partialError{failed: len(found.Failures) + len(found.TaskFailures), total: len(found.Failures) + len(*found.Nodes)}
	}
	for _, node := range *found.Nodes {
		for _, task := range node.Tasks {
			if task.Headers[opaqueID] == s.catalogue.names.erasing() {
				return true, nil
			}
		}
	}
	return false, nil
}
