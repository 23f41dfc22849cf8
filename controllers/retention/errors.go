package retention

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

// maxMessageBytes bounds what one condition, event or error of a run says.
const maxMessageBytes = 1024

// failure is why the store could not be asked, for status: a reason of a condition,
// and a message without an address.
type failure struct{ reason, message string }

// storeFailure is nil for an error that is not the store's.
func storeFailure(err error) *failure {
	var e *store.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Reason {
	case store.Unavailable:
		return &failure{v1alpha1.ReasonStoreUnavailable, shorten("The store cannot be asked, so nothing is erased: " + e.Message + ".")}
	case store.Timeout:
		return &failure{v1alpha1.ReasonStoreTimeout, shorten("The store did not answer in time, so nothing is erased: " + e.Message + ".")}
	default:
		return &failure{v1alpha1.ReasonQueryFailed, shorten("The store failed, so nothing is erased: " + e.Message + ".")}
	}
}

// sentence tells of a failed step: what was to be erased, and why it was not.
func sentence(step retention.Step, err error) string {
	return shorten(fmt.Sprintf("%s records of %s before %s were not erased: %s",
		step.Kind, step.Stretch, step.Until.UTC().Format("2006-01-02T15:04:05Z"), reason(err)))
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
