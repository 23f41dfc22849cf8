package store

import (
	"errors"
	"fmt"
	"time"
)

// Reason classifies a store's failure by what its caller can do.
type Reason int

// The reasons of a failure.
const (
	// NotFound: there is no such record in the scope.
	NotFound Reason = iota + 1
	// Invalid: the question can never be answered as it is.
	Invalid
	// Expired: the cursor is too old; begin anew.
	Expired
	// Unavailable: the store can't answer now; ask again after RetryAfter.
	Unavailable
	// Timeout: the answer took longer than the caller or the store allows.
	Timeout
	// Conflict: the store holds something that contradicts the request, such
	// as an index of a layout that we did not make.
	Conflict
)

func (r Reason) String() string {
	switch r {
	case NotFound:
		return "not found"
	case Invalid:
		return "invalid"
	case Expired:
		return "expired"
	case Unavailable:
		return "unavailable"
	case Timeout:
		return "timeout"
	case Conflict:
		return "conflict"
	default:
		return "unknown"
	}
}

// Error is a store's failure. Its text names the operation and what to do, and
// never the store's address or credentials.
type Error struct {
	Reason Reason
	// Op is what was tried, such as "list Audit".
	Op string
	// Message says what went wrong, for an operator.
	Message string
	// RetryAfter is how long to wait, for Unavailable.
	RetryAfter time.Duration
	// Offset is the position in a cursor or query text, for Invalid; -1 or 0
	// when there is none.
	Offset int
	// Err is the cause. Its text is not part of the message, since causes
	// from a network client name addresses.
	Err error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Op, e.Reason, e.Message)
}

func (e *Error) Unwrap() error { return e.Err }

// ReasonOf returns the reason of the first *Error in err's chain, 0 if none.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return 0
}

// IsNotFound tells whether err means that there is no such record in scope.
func IsNotFound(err error) bool { return ReasonOf(err) == NotFound }

// IsUnavailable tells whether asking again later may succeed.
func IsUnavailable(err error) bool { return ReasonOf(err) == Unavailable }

// IsTimeout tells whether the answer took too long.
func IsTimeout(err error) bool { return ReasonOf(err) == Timeout }

// IsInvalid tells whether the question can never be answered as it is.
func IsInvalid(err error) bool { return ReasonOf(err) == Invalid }

// IsExpired tells whether a cursor was too old.
func IsExpired(err error) bool { return ReasonOf(err) == Expired }

// IsConflict tells whether the store holds something that contradicts us.
func IsConflict(err error) bool { return ReasonOf(err) == Conflict }
