package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"auditquery.dev/auditquery/internal/store"
)

// retryAfter is what callers are told when Elasticsearch names no time.
const retryAfter = time.Second

var (
	errTimedOut        = errors.New("the search timed out inside Elasticsearch")
	errFewerShards     = errors.New("the answer covers fewer shards than the indices have that hold records")
	errForeignDocument = errors.New("an index holds a document that this program did not write")
	errVanished        = errors.New("a record was there and is not any more")
	errTooLarge        = errors.New("the answer is larger than its bound")
	errNotAcknowledged = errors.New("not every node acknowledged a change in time")
	errProduct         = errors.New("the server is not Elasticsearch: its answer has no X-Elastic-Product")
)

// partialError is an answer that lacks some shards.
type partialError struct{ failed, total int }

func (e *partialError) Error() string {
	return fmt.Sprintf("%d of %d shards gave no answer", e.failed, e.total)
}

// failure is an error that Elasticsearch reports. Its reason text is left out:
// it can quote documents and queries.
type failure struct {
	status int
	kind   string
	index  string
	field  string
}

func (f *failure) Error() string {
	text := fmt.Sprintf("Elasticsearch answers %d", f.status)
	if f.kind != "" {
		text += " " + clip(f.kind)
	}
	if f.index != "" {
		text += " for the index " + clip(f.index)
	}
	if f.field != "" {
		text += " at the field " + clip(f.field)
	}
	return text
}

// The types of failures that are treated apart.
const (
	kindIndexNotFound = "index_not_found_exception"
	kindIndexClosed   = "index_closed_exception"
	kindIndexExists   = "resource_already_exists_exception"
	kindBlocked       = "cluster_block_exception"
	kindContextGone   = "search_context_missing_exception"
	kindNoShard       = "no_shard_available_action_exception"
	kindConflict      = "version_conflict_engine_exception"
)

type failureBody struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
	Index  string `json:"index"`
	Cause  []struct {
		Type  string `json:"type"`
		Index string `json:"index"`
	} `json:"root_cause"`
}

// readFailure reads the member "error" of an answer, an object or a text.
func readFailure(value []byte) *failure {
	var body failureBody
	if err := json.Unmarshal(value, &body); err != nil {
		return &failure{}
	}
	return body.failure()
}

func (b failureBody) failure() *failure {
	f := &failure{kind: b.Type, index: b.Index, field: fieldIn(b.Reason)}
	if len(b.Cause) > 0 && b.Cause[0].Type != "" {
		f.kind = b.Cause[0].Type
		if f.index == "" {
			f.index = b.Cause[0].Index
		}
	}
	return f
}

// failureOf reads the body of an answer whose status is an error.
func failureOf(status int, body []byte) *failure {
	var outer struct {
		Error jsontext.Value `json:"error"`
	}
	f := &failure{}
	if err := json.Unmarshal(body, &outer); err == nil && len(outer.Error) > 0 {
		f = readFailure(outer.Error)
	}
	f.status = status
	return f
}

// isKind tells whether err is a failure of a type.
func isKind(err error, kind string) bool {
	var f *failure
	return errors.As(err, &f) && f.kind == kind
}

// explain turns what went wrong into the store's error for an operation.
func explain(op string, err error) error {
	if err == nil {
		return nil
	}
	var known *store.Error
	if errors.As(err, &known) {
		return known
	}
	e := &store.Error{Op: op, Err: err}
	var f *failure
	var partial *partialError
	switch {
	case errors.Is(err, context.Canceled):
		e.Reason, e.Message = store.Timeout, "the caller went away before Elasticsearch answered"
	case isTimeout(err):
		e.Reason, e.Message = store.Timeout, "Elasticsearch took longer than this request may"
	case errors.As(err, &f):
		explainFailure(e, f)
	case errors.As(err, &partial):
		e.Reason, e.Message = store.Unavailable, partial.Error()
	case errors.Is(err, errForeignDocument), errors.Is(err, errProduct):
		e.Reason, e.Message = store.Conflict, err.Error()
	case errors.Is(err, errTooLarge):
		e.Reason, e.Message = store.Invalid, err.Error()
	case errors.Is(err, errTruncated), errors.Is(err, errMalformed),
		errors.Is(err, errFewerShards), errors.Is(err, errVanished), errors.Is(err, errNotAcknowledged):
		e.Reason, e.Message = store.Unavailable, err.Error()
	default:
		e.Reason, e.Message = store.Unavailable, "Elasticsearch can't be reached, or broke the connection off"
	}
	if e.Reason == store.Unavailable && e.RetryAfter == 0 {
		e.RetryAfter = retryAfter
	}
	return e
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errTimedOut) ||
		(errors.As(err, &timeout) && timeout.Timeout())
}

func explainFailure(e *store.Error, f *failure) {
	e.Reason, e.Message = store.Unavailable, f.Error()
	switch {
	case f.kind == kindIndexClosed:
		e.Message = fmt.Sprintf("the index %s is closed; open it again", clip(f.index))
	case f.kind == kindIndexNotFound:
		e.Reason = store.Conflict
		e.Message = missingIndex(f.index)
	case f.kind == kindBlocked:
		e.Message += "; a block is set on it, often because its disk is full: free space, or remove the index's setting index.blocks"
	case f.status == http.StatusUnauthorized:
		e.Message = "Elasticsearch refuses our credentials; check the user's password or the API key"
	case f.status == http.StatusForbidden:
		e.Message = "our user's role in Elasticsearch lacks a privilege; " + privileges
	case f.status == http.StatusBadRequest:
		e.Reason = store.Invalid
	}
}

// privileges names what a role needs.
const privileges = "on our indices reading needs read and view_index_metadata; writing also create_doc, " +
	"create_index and, on the state index, index; erasing also delete and manage; for the cluster manage_index_templates, " +
	"and for erasing monitor"

func missingIndex(index string) string {
	return fmt.Sprintf("the index %s held records and is gone, or hidden from our role; restore it from a snapshot, "+
		"or accept the loss by creating it anew, empty", clip(index))
}

// fieldIn finds the name of a field in Elasticsearch's text, nothing else of it:
// "… failed to parse field [source_ip] of type [ip] …".
func fieldIn(reason string) string {
	return textBetween(reason, "failed to parse field [", "]")
}

func textBetween(text, before, after string) string {
	_, rest, found := strings.Cut(text, before)
	if !found {
		return ""
	}
	inner, _, found := strings.Cut(rest, after)
	if !found {
		return ""
	}
	return inner
}

// clip bounds what goes into a message, on a rune boundary.
func clip(text string) string {
	const most = 128
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
