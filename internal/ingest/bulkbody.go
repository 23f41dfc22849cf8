package ingest

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"auditquery.dev/auditquery/internal/record"
)

const (
	// MaxBulkEvents is how many events one body may have: the answer names each.
	MaxBulkEvents = 10_000
	// MaxUniqueID bounds a unique_id, in bytes.
	MaxUniqueID = 256
)

// bulkFormError: the body is JSON, but not of the form of the bulk call.
type bulkFormError struct{ problem string }

func (e *bulkFormError) Error() string {
	return `it is no {"events": [{"unique_id", "create_time", "event"}]}: ` + e.problem
}

// bulkEvent is one element of events.
type bulkEvent struct {
	// index is its position, from 0.
	index int
	// uniqueID is empty when it has none that can be used.
	uniqueID string
	created  time.Time
	// record is nil when err is not. It has no identity yet.
	record record.Record
	// raw is the member event as it came, if it did, valid during the call only.
	raw jsontext.Value
	err error
}

// readBulk reads the body of a bulk call and calls each for every event as it
// comes, holding one at a time. The error is that of each, which ends the reading,
// a *bulkFormError, a *record.SyntaxError, record.ErrTooManyEvents, or the
// reader's own.
func readBulk(body io.Reader, each func(bulkEvent) error) error {
	l := &listReader{
		splitter: newSplitter(body), list: "events", limit: MaxBulkEvents,
		form:   func(problem string) error { return &bulkFormError{problem: problem} },
		before: func() error { return nil },
		other: func(name string, value jsontext.Value) error {
			if name == "always_respond_with_events" && value[0] != 't' && value[0] != 'f' && value[0] != 'n' {
				return &bulkFormError{problem: name + " is neither true nor false"}
			}
			return nil
		},
		element: func(index int, raw []byte, tooLarge bool) error {
			event := decodeBulkEvent(raw, tooLarge)
			event.index = index
			return each(event)
		},
	}
	if err := l.read(); err != nil {
		return err
	}
	if !l.seen {
		return &bulkFormError{problem: `it has no member "events"`}
	}
	return nil
}

// decodeBulkEvent never fails: what is wrong is in the event.
func decodeBulkEvent(raw []byte, tooLarge bool) bulkEvent {
	members, err := bulkMembers(raw)
	e := bulkEvent{uniqueID: uniqueIDOf(members["unique_id"]), raw: members["event"]}
	switch {
	case tooLarge:
		e.err = fmt.Errorf("%w: more than %d bytes", record.ErrEventTooLarge, maxElementBytes)
	case err != nil:
		e.err = err
	case e.uniqueID == "":
		e.err = &record.FieldError{Field: "unique_id",
			Problem: fmt.Sprintf("must be a string of letters, digits, '-', '.' and '_', at most %d", MaxUniqueID)}
	default:
		if e.created, e.err = createTimeOf(members["create_time"]); e.err == nil {
			e.record, e.err = bulkRecord(members["event"])
		}
	}
	return e
}

// bulkMembers returns the members of an element that count, as they came. Others
// may be there: the call of the original API lets them. After an error it returns
// those before it.
func bulkMembers(raw []byte) (map[string]jsontext.Value, error) {
	members := map[string]jsontext.Value{}
	if len(raw) == 0 || raw[0] != '{' {
		return members, errors.New("it is no object")
	}
	s := newSplitterOf(raw)
	s.at++
	err := s.each('}', func() error {
		name, err := s.memberName()
		if err != nil {
			return err
		}
		value, _, err := s.value()
		if err != nil {
			return err
		}
		switch name {
		case "unique_id", "create_time", "event":
			if _, twice := members[name]; twice {
				return &record.FieldError{Field: name, Problem: "occurs twice"}
			}
			members[name] = value
		}
		return nil
	})
	return members, err
}

// uniqueIDOf returns an id of the form that the original API demands, or nothing.
func uniqueIDOf(value jsontext.Value) string {
	if value.Kind() != '"' {
		return ""
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil || len(text) == 0 || len(text) > MaxUniqueID {
		return ""
	}
	for _, c := range text {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return ""
		}
	}
	return string(text)
}

func createTimeOf(value jsontext.Value) (time.Time, error) {
	if len(value) == 0 {
		return time.Time{}, &record.FieldError{Field: "create_time", Problem: "is missing"}
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil || value.Kind() != '"' {
		return time.Time{}, &record.FieldError{Field: "create_time", Problem: "must be a string"}
	}
	var at record.Timestamp
	if err := at.UnmarshalText(text); err != nil {
		return time.Time{}, &record.FieldError{Field: "create_time", Problem: "is wrong: " + err.Error()}
	}
	return at.Time(), nil
}

func bulkRecord(value jsontext.Value) (record.Record, error) {
	if len(value) == 0 {
		return nil, &record.FieldError{Field: "event", Problem: "is missing"}
	}
	r, err := record.DecodeOwn(value)
	if err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	r.Base().SourceType = record.SourceBulk
	return r, nil
}
