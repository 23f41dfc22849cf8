package auditquery

import (
	"errors"
	"time"
	"unicode/utf8"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy"
)

// class says what follows from a failed step.
type class int

const (
	// stalled: only a change of the spec can help; nothing is retried.
	stalled class = iota + 1
	// waiting: another party says when to come back; after tells how soon.
	waiting
	// transient: retried with a growing, bounded, jittered pause.
	transient
)

// maxMessageBytes bounds what one condition or event says.
const maxMessageBytes = 1024

// failure is why a step could not be done. Its message is for the user: it holds
// no address, no credential, and nothing that differs from one retry to the next.
type failure struct {
	class   class
	reason  string
	message string
	// after is the shortest pause of a waiting failure.
	after time.Duration
	// cause is for errors.Is; its text is shown to nobody.
	cause error
}

func (f *failure) Error() string { return f.reason + ": " + f.message }

func (f *failure) Unwrap() error { return f.cause }

func stall(reason, message string) *failure {
	return &failure{class: stalled, reason: reason, message: shorten(message)}
}

func await(reason, message string, after time.Duration, cause error) *failure {
	return &failure{class: waiting, reason: reason, message: shorten(message), after: after, cause: cause}
}

func retry(reason, message string, cause error) *failure {
	return &failure{class: transient, reason: reason, message: shorten(message), cause: cause}
}

// scopeFailure is a scope that cannot be resolved: not yet, or not at all while so
// much is claimed.
func scopeFailure(err error) *failure {
	var tooMany *tenancy.TooManyClaimsError
	if errors.As(err, &tooMany) {
		return await(v1alpha1.ReasonScopeUnknown, "What this namespace may see cannot be told: "+tooMany.Error()+".", maxPause/2, err)
	}
	return await(v1alpha1.ReasonScopeUnknown,
		"It is not known yet which records this namespace may see, so nothing is run.", 0, err)
}

// storeFailure classifies an error of the store. Of a *store.Error only its own
// message is shown, of any other error nothing: causes name addresses.
func storeFailure(err error) *failure {
	var e *store.Error
	if !errors.As(err, &e) {
		return retry(v1alpha1.ReasonQueryFailed, "The store failed in an unexpected way.", err)
	}
	switch e.Reason {
	case store.Unavailable:
		return await(v1alpha1.ReasonStoreUnavailable, "The store cannot be asked: "+e.Message, e.RetryAfter, err)
	case store.Timeout:
		return retry(v1alpha1.ReasonStoreTimeout, "The store did not answer in time: "+e.Message, err)
	case store.Invalid:
		return &failure{class: stalled, reason: v1alpha1.ReasonInvalidFilter, message: shorten("The store refuses the query: " + e.Message), cause: err}
	default:
		return retry(v1alpha1.ReasonQueryFailed, "The store failed: "+e.Message, err)
	}
}

// shorten cuts text to maxMessageBytes on a rune boundary.
func shorten(text string) string {
	if len(text) <= maxMessageBytes {
		return text
	}
	const ellipsis = "…"
	end := maxMessageBytes - len(ellipsis)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}
