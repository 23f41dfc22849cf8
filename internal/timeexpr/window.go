package timeexpr

import (
	"errors"
	"fmt"
	"time"
)

// Window is a span of time: From inclusive, To exclusive, both in UTC. The
// zero time is an open end.
type Window struct {
	From, To time.Time
}

// ParseWindow resolves both ends of a window against the clock reading now. An
// empty text is an open end; a text of spaces is an error, as is a window that
// ends before or where it starts. Every error is an [*Error] with its Field set
// to "from" or "to".
func ParseWindow(from, to string, now time.Time) (Window, error) {
	start, err := parseEnd("from", from, now)
	if err != nil {
		return Window{}, err
	}
	end, err := parseEnd("to", to, now)
	if err != nil {
		return Window{}, err
	}
	if !start.IsZero() && !end.IsZero() && !start.Before(end) {
		return Window{}, &Error{
			Field: "from",
			Input: from,
			Message: fmt.Sprintf("%q (%s) is not before to %q (%s)",
				from, start.Format(time.RFC3339Nano), to, end.Format(time.RFC3339Nano)),
			order: true,
		}
	}
	return Window{From: start, To: end}, nil
}

// parseEnd resolves one end and names it in the error.
func parseEnd(field, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := Parse(text, now)
	if refused, ok := errors.AsType[*Error](err); ok {
		refused.Field = field
	}
	return t, err
}
