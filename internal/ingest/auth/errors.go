package auth

import (
	"context"
	"errors"
	"net"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Reason is the class of an Error.
type Reason int

const (
	// Unauthenticated: it is not known who sends. 401.
	Unauthenticated Reason = iota + 1
	// Forbidden: the sender may not do this. 403.
	Forbidden
	// Unavailable: it cannot be decided now; the sender should try again. 503.
	Unavailable
)

// Error says why something may not be sent.
type Error struct {
	Reason Reason
	// Message is for the sender. It holds nothing of the cause.
	Message string
	// Err is the cause of Unavailable, for the log.
	Err error
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// IsForbidden tells whether err says that the sender may not do this.
func IsForbidden(err error) bool {
	var failure *Error
	return errors.As(err, &failure) && failure.Reason == Forbidden
}

func unauthenticated(message string) error {
	return &Error{Reason: Unauthenticated, Message: message}
}

func forbidden(message string) error { return &Error{Reason: Forbidden, Message: message} }

func unavailable(message string, cause error) error {
	return &Error{Reason: Unavailable, Message: message, Err: cause}
}

// isOutage tells a review that failed from one that says no. The authenticator
// returns an error for both: what the reviewer says of a bad token is plain text,
// a failed call has one of these types.
func isOutage(err error) bool {
	var (
		status  apierrors.APIStatus
		network net.Error // *url.Error is one, whatever it wraps
	)
	return errors.As(err, &status) || errors.As(err, &network) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// cut bounds a name that the sender chose.
func cut(text string) string {
	if len(text) > maxNamed {
		end := maxNamed
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
