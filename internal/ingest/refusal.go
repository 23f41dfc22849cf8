package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/internal/ingest/auth"
	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
)

const (
	// soon is for what passes by itself, later for what somebody has to look at.
	soon  = time.Second
	later = 5 * time.Second
)

// refusal is why a request was not taken. Its text is a metric's label.
type refusal string

const (
	refusedUnauthenticated refusal = "unauthenticated"
	refusedForbidden       refusal = "forbidden"
	refusedUndecided       refusal = "undecided"
	refusedPath            refusal = "path"
	refusedContentType     refusal = "content_type"
	refusedTooLarge        refusal = "too_large"
	refusedKind            refusal = "wrong_kind"
	refusedMalformed       refusal = "malformed"
	refusedTruncated       refusal = "truncated"
	refusedTimeout         refusal = "timeout"
	refusedBusy            refusal = "busy"
	refusedFull            refusal = "full"
	refusedDisk            refusal = "disk"
	refusedDeadLetter      refusal = "dead_letter"
	refusedInternal        refusal = "internal"
)

func refusals() []refusal {
	return []refusal{
		refusedUnauthenticated, refusedForbidden, refusedUndecided, refusedPath, refusedContentType, refusedTooLarge,
		refusedKind, refusedMalformed, refusedTruncated, refusedTimeout, refusedBusy, refusedFull, refusedDisk,
		refusedDeadLetter, refusedInternal,
	}
}

// refusedError is a request that was not taken.
type refusedError struct {
	reason     refusal
	status     int
	retryAfter time.Duration
	// allow names the methods that are taken instead.
	allow string
	// message is for the sender and for our log: no secrets, no addresses.
	message string
	cause   error
}

func (e *refusedError) Error() string { return e.message }

func (e *refusedError) Unwrap() error { return e.cause }

// keepsWhatCame tells whether the body itself came to a bad end, so that what
// came whole before is good.
func (e *refusedError) keepsWhatCame() bool {
	switch e.reason {
	case refusedTooLarge, refusedMalformed, refusedTruncated, refusedTimeout:
		return true
	default:
		return false
	}
}

// write answers with a Status, as everything else of Kubernetes does.
func (e *refusedError) write(w http.ResponseWriter) {
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Code: int32(e.status), Message: e.message, Reason: statusReason(e.status),
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	if e.retryAfter > 0 {
		header.Set("Retry-After", seconds(e.retryAfter))
		status.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(e.retryAfter / time.Second)}
	}
	if e.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	if e.allow != "" {
		header.Set("Allow", e.allow)
	}
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(status) // the sender is gone: it learns nothing
}

func statusReason(code int) metav1.StatusReason {
	switch code {
	case http.StatusBadRequest:
		return metav1.StatusReasonBadRequest
	case http.StatusUnauthorized:
		return metav1.StatusReasonUnauthorized
	case http.StatusForbidden:
		return metav1.StatusReasonForbidden
	case http.StatusNotFound:
		return metav1.StatusReasonNotFound
	case http.StatusMethodNotAllowed:
		return metav1.StatusReasonMethodNotAllowed
	case http.StatusRequestTimeout:
		return metav1.StatusReasonTimeout
	case http.StatusRequestEntityTooLarge:
		return metav1.StatusReasonRequestEntityTooLarge
	case http.StatusUnsupportedMediaType:
		return metav1.StatusReasonUnsupportedMediaType
	case http.StatusTooManyRequests:
		return metav1.StatusReasonTooManyRequests
	case http.StatusServiceUnavailable:
		return metav1.StatusReasonServiceUnavailable
	default:
		return metav1.StatusReasonInternalError
	}
}

// asRefusal gives every error the form of an answer.
func asRefusal(err error) *refusedError {
	var (
		refused *refusedError
		sender  *auth.Error
	)
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &sender):
		return senderRefusal(sender)
	default:
		return &refusedError{reason: refusedInternal, status: http.StatusInternalServerError, cause: err,
			message: "an internal error; it is in the server's log"}
	}
}

func senderRefusal(err *auth.Error) *refusedError {
	refused := &refusedError{message: err.Message, cause: err.Err}
	switch err.Reason {
	case auth.Unauthenticated:
		refused.reason, refused.status = refusedUnauthenticated, http.StatusUnauthorized
	case auth.Forbidden:
		refused.reason, refused.status = refusedForbidden, http.StatusForbidden
	default:
		refused.reason, refused.status, refused.retryAfter = refusedUndecided, http.StatusServiceUnavailable, later
	}
	return refused
}

func errMethod(allowed string) *refusedError {
	return &refusedError{reason: refusedPath, status: http.StatusMethodNotAllowed, allow: allowed, message: "only " + allowed + " is taken here"}
}

func errBusy(message string) *refusedError {
	return &refusedError{reason: refusedBusy, status: http.StatusTooManyRequests, retryAfter: soon, message: message}
}

func errTooLarge() *refusedError {
	return &refusedError{reason: refusedTooLarge, status: http.StatusRequestEntityTooLarge,
		message: fmt.Sprintf("the body has more than %d bytes, uncompressed; what came whole before is stored: send smaller ones", MaxBodyBytes)}
}

// spoolFailure is the answer when a part of a body did not become durable.
func spoolFailure(err error) *refusedError {
	refused := &refusedError{reason: refusedDisk, status: http.StatusServiceUnavailable, retryAfter: later, cause: err,
		message: "the spool's disk fails; send this again"}
	var path *os.PathError
	switch {
	case errors.Is(err, spool.ErrBusy):
		return errBusy("the disk cannot keep up; send this again")
	case errors.Is(err, spool.ErrFull):
		refused.reason, refused.message = refusedFull, "the spool is full; send this again"
	case errors.Is(err, spool.ErrClosed):
		refused.reason, refused.message, refused.retryAfter = refusedBusy, "the server is ending; send this again", soon
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		refused.message = "the spool's disk takes too long; send this again"
	case errors.As(err, &path):
		refused.message += ": " + path.Err.Error()
	}
	return refused
}

// letterFailure is the answer when a bad event could not be put aside: the good
// ones are in the spool, and sending all of them again does no harm.
func letterFailure(err error) *refusedError {
	message := "the dead letters cannot be written; send this again"
	var path *os.PathError
	switch {
	case errors.Is(err, deadletter.ErrFull):
		message = "the dead letters are full; send this again"
	case errors.As(err, &path):
		message += ": " + path.Err.Error()
	}
	return &refusedError{reason: refusedDeadLetter, status: http.StatusServiceUnavailable, retryAfter: later,
		message: message, cause: err}
}

// bodyFailure says why a body could not be read to its end.
func bodyFailure(err error) *refusedError {
	var (
		refused  *refusedError
		sender   *auth.Error
		tooLarge *http.MaxBytesError
		envelope *record.EnvelopeError
		form     *bulkFormError
		encoding *encodingError
		syntax   *record.SyntaxError
		network  net.Error
	)
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &sender):
		return senderRefusal(sender)
	case errors.As(err, &tooLarge):
		return errTooLarge()
	case errors.Is(err, record.ErrTooManyEvents):
		return &refusedError{reason: refusedTooLarge, status: http.StatusRequestEntityTooLarge,
			message: err.Error() + "; those are stored: send fewer at once"}
	case errors.As(err, &envelope):
		return &refusedError{reason: refusedKind, status: http.StatusBadRequest, message: "the body is " + envelope.Error()}
	case errors.As(err, &form):
		return &refusedError{reason: refusedKind, status: http.StatusBadRequest, message: "the body is refused: " + form.Error()}
	case errors.As(err, &network) && network.Timeout():
		return &refusedError{reason: refusedTimeout, status: http.StatusRequestTimeout, cause: err,
			message: "the body arrived too slowly; what came whole is stored"}
	case errors.As(err, &encoding):
		return &refusedError{reason: refusedMalformed, status: http.StatusBadRequest, cause: err,
			message: "the body is refused: " + encoding.Error() + "; what came whole before is stored"}
	case errors.As(err, &syntax) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return &refusedError{reason: refusedMalformed, status: http.StatusBadRequest,
			message: "the body is refused: " + syntax.Error() + "; what came whole before is stored"}
	case errors.As(err, &syntax):
		return &refusedError{reason: refusedTruncated, status: http.StatusBadRequest,
			message: "the body is refused: " + syntax.Error() + "; what came whole before is stored"}
	default:
		return &refusedError{reason: refusedTruncated, status: http.StatusBadRequest, cause: err,
			message: "the body ended before its length; what came whole is stored"}
	}
}

// cut returns at most limit bytes of text, as valid UTF-8.
func cut(text string, limit int) string {
	if len(text) > limit {
		for limit > 0 && !utf8.RuneStart(text[limit]) {
			limit--
		}
		text = text[:limit]
	}
	return string([]rune(text))
}
