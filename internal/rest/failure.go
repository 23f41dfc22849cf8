package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/internal/store"
)

// failure is an error as it is told to a client: a Status of Kubernetes. The
// errors of authentication, of authorization and of the kube-apiserver have this
// form already, so that a client sees one form on every way in.
type failure struct {
	code   int
	reason metav1.StatusReason
	// parameter is the one that is to blame, "" for none.
	parameter string
	message   string
	// retryAfter is in seconds; 0 tells nothing.
	retryAfter int
	// cause is logged and never told.
	cause error
}

func (f *failure) Error() string {
	if f.parameter == "" {
		return f.message
	}
	return f.parameter + ": " + f.message
}

func (f *failure) Unwrap() error { return f.cause }

// retrySoon is how many seconds a client waits before it asks again. More
// makes kubectl and others hang for ten times as long.
const retrySoon = 1

func badRequest(parameter, format string, args ...any) *failure {
	return &failure{
		code: http.StatusBadRequest, reason: metav1.StatusReasonBadRequest,
		parameter: parameter, message: fmt.Sprintf(format, args...),
	}
}

func tooLong() *failure {
	return &failure{
		code: http.StatusRequestURITooLong, reason: metav1.StatusReasonBadRequest,
		message: fmt.Sprintf("the query string is longer than %d bytes", MaxQueryBytes),
	}
}

func notFound() *failure {
	return &failure{
		code: http.StatusNotFound, reason: metav1.StatusReasonNotFound,
		message: "there is nothing at this path; the lists are audits and auth_audits",
	}
}

func methodNotAllowed() *failure {
	return &failure{
		code: http.StatusMethodNotAllowed, reason: metav1.StatusReasonMethodNotAllowed,
		message: "records are read only: GET and HEAD are allowed",
	}
}

func forbidden(namespace string) *failure {
	return &failure{
		code: http.StatusForbidden, reason: metav1.StatusReasonForbidden, parameter: "org_id",
		message: fmt.Sprintf("the organisation is not one of the namespace %q", namespace),
	}
}

func unavailable(message string, cause error) *failure {
	return &failure{
		code: http.StatusServiceUnavailable, reason: metav1.StatusReasonServiceUnavailable,
		message: message, retryAfter: retrySoon, cause: cause,
	}
}

func timedOut(message string, cause error) *failure {
	return &failure{
		code: http.StatusGatewayTimeout, reason: metav1.StatusReasonTimeout, message: message, cause: cause,
	}
}

func internal(cause error) *failure {
	return &failure{
		code: http.StatusInternalServerError, reason: metav1.StatusReasonInternalError,
		message: "the server failed in an unexpected way; its log says more", cause: cause,
	}
}

// failureOf says what a client is told of an error. Of a *store.Error that is its
// own message, of any other error that is not ours nothing.
func failureOf(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	e, ok := errors.AsType[*store.Error](err)
	if !ok {
		return internal(err)
	}
	switch e.Reason {
	case store.NotFound:
		return &failure{code: http.StatusNotFound, reason: metav1.StatusReasonNotFound, message: e.Message, cause: err}
	case store.Invalid:
		return &failure{code: http.StatusBadRequest, reason: metav1.StatusReasonBadRequest, message: e.Message, cause: err}
	case store.Expired:
		return &failure{code: http.StatusGone, reason: metav1.StatusReasonExpired, message: e.Message, cause: err}
	case store.Unavailable:
		return unavailable("the store cannot be asked: "+e.Message, err)
	case store.Timeout:
		return timedOut("the store did not answer in time: "+e.Message, err)
	case store.Conflict:
		// The request is good and the server works, so it is neither 4xx nor
		// 500. Only an operator can mend it: asking again soon is no use.
		f := unavailable("the store holds something that this server did not make: "+e.Message, err)
		f.retryAfter = 0
		return f
	default:
		return internal(err)
	}
}

// tokenFailure is failureOf for a page token that was refused.
func tokenFailure(err error) *failure {
	f := failureOf(err)
	f.parameter = "page_token"
	return f
}

// write sends the failure.
func (f *failure) write(w http.ResponseWriter, head bool) {
	body := f.body()
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if f.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	if f.code == http.StatusMethodNotAllowed {
		header.Set("Allow", "GET, HEAD")
	}
	w.WriteHeader(f.code)
	if !head {
		_, _ = w.Write(body) // a client that went away can't be told
	}
}

func (f *failure) body() []byte {
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Message: f.Error(), Reason: f.reason, Code: int32(f.code),
	}
	if f.retryAfter > 0 {
		status.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(f.retryAfter)}
	}
	if f.parameter != "" {
		status.Details = &metav1.StatusDetails{Causes: []metav1.StatusCause{{
			Type: metav1.CauseTypeFieldValueInvalid, Field: f.parameter, Message: f.message,
		}}}
	}
	body, err := json.Marshal(status)
	if err != nil {
		// Strings and numbers always marshal.
		body = []byte(`{"kind":"Status","apiVersion":"v1","status":"Failure"}`)
	}
	return append(body, '\n')
}
