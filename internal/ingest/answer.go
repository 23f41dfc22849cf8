package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"auditquery.dev/auditquery/internal/store"
)

const (
	// defaultRetryAfter is what a sender is told when the store does not say
	// how long it will be away. kube-apiserver's client obeys it.
	defaultRetryAfter = 5 * time.Second
	maxRetryAfter     = 30 * time.Second
)

// tally says what became of the events of one body.
type tally struct {
	Events      int `json:"events"`
	Skipped     int `json:"skipped"`
	Stored      int `json:"stored"`
	Duplicate   int `json:"duplicate"`
	DeadLetters int `json:"dead_letters"`
}

func (t tally) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_ = json.NewEncoder(w).Encode(t) // the sender is gone: it will send again
}

// refusedError is a request that was not taken.
type refusedError struct {
	reason     refusal
	status     int
	retryAfter time.Duration
	// message is for the sender and for our log: no secrets, no addresses.
	message string
	cause   error
}

func (e *refusedError) Error() string { return e.message }

func (e *refusedError) Unwrap() error { return e.cause }

// refuse answers with an error, counts it and logs it once.
func (r *Receiver) refuse(w http.ResponseWriter, err error) {
	var refused *refusedError
	if !errors.As(err, &refused) {
		refused = &refusedError{reason: refusedInternal, status: http.StatusInternalServerError,
			message: "an internal error; it is in the server's log"}
		r.options.Log.Error(err, "a request failed")
	}
	r.metrics.refused.WithLabelValues(string(refused.reason)).Inc()
	if refused.status >= http.StatusInternalServerError {
		r.options.Log.Error(errors.New(refused.message), "refused a batch", "reason", refused.reason, "status", refused.status)
	} else {
		r.options.Log.Info("refused a batch", "reason", refused.reason, "status", refused.status, "message", refused.message)
	}
	if refused.retryAfter > 0 {
		seconds := int((refused.retryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	http.Error(w, refused.message, refused.status)
}

func errTooLarge() *refusedError {
	return &refusedError{reason: refusedTooLarge, status: http.StatusRequestEntityTooLarge,
		message: fmt.Sprintf("the body is larger than %d bytes; set a smaller --audit-webhook-batch-max-size", MaxBodyBytes)}
}

// storeFailure is the answer when the store did not take a batch.
func storeFailure(err error) *refusedError {
	refused := &refusedError{reason: refusedStore, status: http.StatusServiceUnavailable, retryAfter: defaultRetryAfter,
		message: "the store cannot take records now; send this batch again: " + storeText(err), cause: err}
	var failure *store.Error
	if errors.As(err, &failure) && failure.RetryAfter > 0 {
		refused.retryAfter = min(failure.RetryAfter, maxRetryAfter)
	}
	return refused
}

// storeText says what a store's failure is without the text of causes, which
// name addresses.
func storeText(err error) string {
	var failure *store.Error
	switch {
	case errors.As(err, &failure):
		return cut(failure.Error(), MaxReason)
	case errors.Is(err, context.DeadlineExceeded):
		return "it took too long"
	case errors.Is(err, context.Canceled):
		return "the request was cancelled"
	default:
		return fmt.Sprintf("unexpected failure (%T)", err)
	}
}

// letterFailure is the answer when a bad event could not be put aside: the good
// ones are stored, and sending all of them again does no harm.
func letterFailure(err error) *refusedError {
	message := "the dead letters cannot be written; send this batch again"
	var path *os.PathError
	if errors.As(err, &path) {
		message += ": " + path.Err.Error()
	}
	return &refusedError{reason: refusedDeadLetter, status: http.StatusServiceUnavailable, retryAfter: defaultRetryAfter,
		message: message, cause: err}
}
