package ingest

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"auditquery.dev/auditquery/internal/record"
)

// listReader reads a body that is one object with a list among its members, an
// element at a time.
type listReader struct {
	*splitter
	// list is the member that holds the elements, at most limit of them.
	list  string
	limit int
	// element gets each; raw is the beginning of one that is too large.
	element func(index int, raw []byte, tooLarge bool) error
	// before is called when the list begins, other with each other member.
	before func() error
	other  func(name string, value jsontext.Value) error
	// form makes the error of a body that is JSON of another form.
	form func(problem string) error

	seen bool
}

// read reads the body to its end. The error is that of one of the functions, a
// *record.SyntaxError, record.ErrTooManyEvents, or the reader's own.
func (l *listReader) read() error {
	c, err := l.peek()
	if err != nil {
		return l.failure(err)
	}
	if c != '{' {
		if !strings.ContainsRune(`["-0123456789tfn`, rune(c)) {
			return l.failure(errNoJSON)
		}
		return l.form("it is no object")
	}
	l.at++
	if err := l.each('}', l.member); err != nil {
		return err
	}
	if c, err = l.peek(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = fmt.Errorf("%q after the end", c)
		}
		return l.failure(err)
	}
	return nil
}

func (l *listReader) member() error {
	name, err := l.memberName()
	if err != nil {
		return err
	}
	if name == l.list {
		return l.elements()
	}
	value, tooLarge, err := l.value()
	switch {
	case err != nil:
		return err
	case tooLarge:
		return l.form("a member beside " + l.list + " is too large")
	case !jsontext.Value(value).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)):
		return l.failure(errNoJSON)
	}
	return l.other(name, value)
}

func (l *listReader) elements() error {
	if l.seen {
		return l.form(l.list + " occurs twice")
	}
	l.seen = true
	c, err := l.peek()
	if err != nil {
		return l.failure(err)
	}
	if c == 'n' { // null
		_, _, err := l.value()
		return err
	}
	if c != '[' {
		return l.form(l.list + " is no list")
	}
	if err := l.before(); err != nil {
		return err
	}
	l.at++
	index := 0
	return l.each(']', func() error {
		if index == l.limit {
			return fmt.Errorf("%w: at most %d", record.ErrTooManyEvents, l.limit)
		}
		raw, tooLarge, err := l.value()
		if err != nil {
			return err
		}
		index++
		return l.element(index-1, raw, tooLarge)
	})
}

// eventsHeader is what an EventList says of itself.
type eventsHeader struct{ kind, apiVersion *string }

// rawEvent is an item of an EventList as it came. raw is the beginning of one that
// is too large.
type rawEvent struct {
	index    int
	raw      []byte
	tooLarge bool
}

func (e rawEvent) decode() record.DecodedEvent {
	event := record.DecodedEvent{Index: e.index, Raw: e.raw}
	if e.tooLarge {
		event.Err = fmt.Errorf("%w: more than %d bytes", record.ErrEventTooLarge, maxElementBytes)
		return event
	}
	event.Event, event.Err = record.DecodeEvent(e.raw, record.DecodeLimits{EventBytes: maxElementBytes})
	return event
}

// maxGroup is how many events are given out together.
const maxGroup = 128

// readEvents reads an EventList of audit.k8s.io/v1 and calls group for the items
// as they come: for those together that are in memory at the same time, which is
// some 32 KiB of them, 128 KiB once charge has agreed, or one that is larger. They
// are valid during the call. It
// differs from record.DecodeEvents in what one item can spoil: nothing but itself,
// unless its brackets are not paired. The error is that of group, which ends the
// reading, a *record.EnvelopeError, a *record.SyntaxError,
// record.ErrTooManyEvents, or the reader's own; what came before it has been given
// to group.
func readEvents(body io.Reader, charge func() bool, group func([]rawEvent) error) error {
	var header eventsHeader
	var events []rawEvent
	give := func() error {
		all := events
		events = events[:0]
		if len(all) == 0 {
			return nil
		}
		return group(all)
	}
	l := &listReader{
		splitter: newSplitter(body), list: "items", limit: maxListEvents,
		form:  func(problem string) error { return &record.EnvelopeError{Problem: problem} },
		other: header.member,
		before: func() error {
			// Told at once where it can be: what follows may be long.
			if header.kind == nil || header.apiVersion == nil {
				return nil
			}
			return header.check()
		},
		element: func(index int, raw []byte, tooLarge bool) error {
			events = append(events, rawEvent{index: index, raw: raw, tooLarge: tooLarge})
			if len(events) < maxGroup {
				return nil
			}
			return give()
		},
	}
	l.moving, l.charge = give, charge
	err := l.read()
	if given := give(); err == nil {
		err = given
	}
	if err != nil {
		return err
	}
	return header.check()
}

// readEachEvent is readEvents, decoding one event after the other.
func readEachEvent(body io.Reader, each func(record.DecodedEvent) error) error {
	return readEvents(body, nil, func(group []rawEvent) error {
		for _, raw := range group {
			if err := each(raw.decode()); err != nil {
				return err
			}
		}
		return nil
	})
}

func (h *eventsHeader) member(name string, value jsontext.Value) error {
	if name != "kind" && name != "apiVersion" {
		return nil
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil || value.Kind() != '"' {
		return &record.EnvelopeError{Problem: name + " is no string"}
	}
	said := string(text)
	if name == "kind" {
		h.kind = &said
	} else {
		h.apiVersion = &said
	}
	return nil
}

func (h *eventsHeader) check() error {
	for _, part := range []struct {
		name, want string
		said       *string
	}{{"kind", "EventList", h.kind}, {"apiVersion", auditv1.SchemeGroupVersion.String(), h.apiVersion}} {
		said := ""
		if part.said != nil {
			said = *part.said
		}
		if said != part.want {
			return &record.EnvelopeError{Problem: fmt.Sprintf("%s is %q", part.name, cut(said, 100))}
		}
	}
	return nil
}
