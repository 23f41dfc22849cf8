package sender

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

// DefaultInterval is how far apart in time events are when a source names nothing
// else: a thousand in a second.
const DefaultInterval = time.Millisecond

// Source makes events of the numbers 0 and up. The same number gives the same event
// each time.
type Source interface {
	// Path is where they are sent, below the receiver's address.
	Path() string
	// ContentType is that of Body.
	ContentType() string
	// Body appends a request's body with the events first to first+count-1 to b.
	Body(b []byte, first, count int) []byte
	// Records are what must be stored of an event, normalised, without the time of
	// their ingest. An id that is zero is whatever the receiver gives.
	Records(n int) ([]record.Record, error)
	// Number tells of which event a stored record is; false: of none that this
	// source makes.
	Number(r record.Record) (n int, ok bool)
}

// traceID names event n of a run so that a record leads back to it. It has the form
// of a UUID.
func traceID(run string, n int) string { return fmt.Sprintf("%s-%012x", tracePrefix(run), n) }

func tracePrefix(run string) string {
	const digits = 8
	return strings.Repeat("0", max(digits-len(run), 0)) + run + "-0000-4000-8000"
}

func numberOf(run string, r record.Record) (int, bool) {
	rest, ok := strings.CutPrefix(r.Base().TraceID, tracePrefix(run)+"-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(rest, 16, 48)
	return int(n), err == nil && len(rest) == 12
}

// at is when event n happened.
func at(start time.Time, interval time.Duration, n int) time.Time {
	if interval <= 0 {
		interval = DefaultInterval
	}
	return start.UTC().Truncate(time.Microsecond).Add(time.Duration(n) * interval)
}
