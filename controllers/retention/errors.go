package retention

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

// maxMessageBytes bounds what one condition, event or error of a run says.
const maxMessageBytes = 1024

// failure is why a pass does not know what holds, for status: what Ready is, a reason,
// and a message without an address.
type failure struct {
	ready           metav1.ConditionStatus
	reason, message string
}

// failureOf is what status says of an error. Of one that is not known only that.
func failureOf(err error) *failure {
	unknown := func(reason, message string) *failure {
		return &failure{metav1.ConditionUnknown, reason, shorten(message)}
	}
	var e *store.Error
	isStore := errors.As(err, &e)
	switch {
	case isStore && e.Reason == store.Unavailable:
		return unknown(v1alpha1.ReasonStoreUnavailable, "The store cannot be asked, so nothing is erased: "+e.Message+".")
	case isStore && e.Reason == store.Timeout:
		return unknown(v1alpha1.ReasonStoreTimeout, "The store did not answer in time, so nothing is erased: "+e.Message+".")
	case isStore:
		return unknown(v1alpha1.ReasonQueryFailed, "The store failed, so nothing is erased: "+e.Message+".")
	case errors.Is(err, errTooMany):
		// These errors are made here, of nothing but numbers.
		return &failure{metav1.ConditionFalse, v1alpha1.ReasonTooManyRules, shorten("Nothing is erased: " + err.Error() + ".")}
	case errors.Is(err, errNotListed):
		return unknown(v1alpha1.ReasonRulesUnknown,
			"Nothing is erased, since the API server does not say which policies and holds there are. The controller's log says more.")
	default:
		return unknown(v1alpha1.ReasonRulesUnknown,
			"Nothing is erased, since what is remembered of policies and holds cannot be read or written. The controller's log says more.")
	}
}

// sentence tells of a failed step: what was to be erased, and why it was not, or why
// that is not known.
func sentence(step retention.Step, err error) string {
	became := "were not erased"
	var doubt doubtError
	if errors.As(err, &doubt) {
		became = "may not all have been erased"
	}
	return shorten(fmt.Sprintf("%s records of %s before %s %s: %s",
		step.Kind, step.Stretch, step.Until.UTC().Format("2006-01-02T15:04:05Z"), became, reason(err)))
}

// reason is an error in words that name no address and no credential. Of a
// *store.Error only its own message is shown, of what is unknown nothing.
func reason(err error) string {
	var failure *store.Error
	var invalid *query.Error
	var held *LeaseHeldError
	switch {
	case errors.As(err, &failure):
		return "the store: " + failure.Message
	case errors.As(err, &invalid):
		return "the question cannot be asked: " + invalid.Error()
	case errors.As(err, &held):
		return held.Error()
	case errors.Is(err, ErrLeaseLost):
		return ErrLeaseLost.Error()
	case errors.Is(err, errLate):
		return errLate.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "it took longer than a batch may"
	case errors.Is(err, context.Canceled):
		return "the controller was stopped"
	default:
		return "it failed in an unexpected way; the controller's log says more"
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
