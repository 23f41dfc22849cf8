package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// DecodeLimits bound what DecodeEvents takes from a sender. Zero means the
// default.
type DecodeLimits struct {
	// EventBytes is the size of one event; the default is 3 MiB, twice what
	// etcd takes of one object.
	EventBytes int
	// Depth is how deep an event may nest; the default is 100.
	Depth int
	// Events is how many events a list may have; the default is 100,000.
	Events int
}

func (l DecodeLimits) withDefaults() DecodeLimits {
	if l.EventBytes <= 0 {
		l.EventBytes = 3 << 20
	}
	if l.Depth <= 0 {
		l.Depth = 100
	}
	if l.Events <= 0 {
		l.Events = 100_000
	}
	return l
}

// DecodedEvent is one item of an EventList.
type DecodedEvent struct {
	// Index is the item's position, from 0.
	Index int
	// Event is nil when Err is not.
	Event *auditv1.Event
	// Raw is the item's JSON, or the beginning of it when it was too large.
	// It holds secrets (see Excerpt), and is valid during the call only.
	Raw []byte
	// Err says what is wrong with this item alone.
	Err error
}

var (
	// ErrEventTooLarge: one event has more than DecodeLimits.EventBytes.
	ErrEventTooLarge = errors.New("audit event is too large")
	// ErrEventTooDeep: one event nests deeper than DecodeLimits.Depth.
	ErrEventTooDeep = errors.New("audit event nests too deep")
	// ErrTooManyEvents: a list has more than DecodeLimits.Events.
	ErrTooManyEvents = errors.New("too many events in one list")
)

// SyntaxError: the body is not JSON from Offset on, or ends there.
type SyntaxError struct {
	// Offset is the number of bytes before the error.
	Offset int64
	Err    error
}

func (e *SyntaxError) Error() string {
	if errors.Is(e.Err, io.ErrUnexpectedEOF) || errors.Is(e.Err, io.EOF) {
		return fmt.Sprintf("JSON ends too early, after %d bytes", e.Offset)
	}
	// The decoder's own text quotes the input.
	return fmt.Sprintf("invalid JSON after %d bytes", e.Offset)
}

func (e *SyntaxError) Unwrap() error { return e.Err }

// EnvelopeError: the body is JSON, but no EventList of audit.k8s.io/v1.
type EnvelopeError struct{ Problem string }

func (e *EnvelopeError) Error() string { return "not an EventList of audit.k8s.io/v1: " + e.Problem }

// DecodeEvents reads one EventList and calls each for every item as it comes,
// holding one item at a time. An item that is not an event has an Err and
// leaves the others whole. The error is that of each, which ends the reading, a
// *SyntaxError, an *EnvelopeError, ErrTooManyEvents, or the reader's own; what
// came before it has been given to each.
func DecodeEvents(r io.Reader, limits DecodeLimits, each func(DecodedEvent) error) error {
	bounded := &boundedReader{reader: r}
	d := &eventDecoder{
		limits: limits.withDefaults(),
		reader: bounded,
		dec:    jsontext.NewDecoder(bounded, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
		each:   each,
	}
	return d.list()
}

type eventDecoder struct {
	limits DecodeLimits
	reader *boundedReader
	dec    *jsontext.Decoder
	each   func(DecodedEvent) error
	count  int

	kind, apiVersion string
}

func (d *eventDecoder) list() error {
	d.reader.allow(d.dec.InputOffset(), d.limits.EventBytes)
	if kind := d.dec.PeekKind(); kind != '{' && kind != 0 {
		return &EnvelopeError{Problem: "it is no object"}
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return d.failure(err)
	}
	for d.dec.PeekKind() != '}' {
		d.reader.allow(d.dec.InputOffset(), d.limits.EventBytes)
		name, err := d.dec.ReadToken()
		if err != nil {
			return d.failure(err)
		}
		if err := d.member(name.String()); err != nil {
			return err
		}
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return d.failure(err)
	}
	if err := d.checkHeader(); err != nil {
		return err
	}
	if _, err := d.dec.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("text after the list")
		}
		return d.failure(err)
	}
	return nil
}

func (d *eventDecoder) member(name string) error {
	switch name {
	case "kind", "apiVersion":
		token, err := d.dec.ReadToken()
		if err != nil {
			return d.failure(err)
		}
		if token.Kind() != '"' {
			return &EnvelopeError{Problem: name + " is no string"}
		}
		if name == "kind" {
			d.kind = token.String()
		} else {
			d.apiVersion = token.String()
		}
		return nil
	case "items":
		// Told at once where it can be: what follows may be long.
		if d.kind != "" && d.apiVersion != "" {
			if err := d.checkHeader(); err != nil {
				return err
			}
		}
		return d.items()
	default:
		d.reader.allow(d.dec.InputOffset(), d.limits.EventBytes)
		if err := d.dec.SkipValue(); err != nil {
			return d.failure(err)
		}
		return nil
	}
}

func (d *eventDecoder) checkHeader() error {
	if d.kind != "EventList" {
		return &EnvelopeError{Problem: fmt.Sprintf("kind is %q", clip(d.kind))}
	}
	if d.apiVersion != auditv1.SchemeGroupVersion.String() {
		return &EnvelopeError{Problem: fmt.Sprintf("apiVersion is %q", clip(d.apiVersion))}
	}
	return nil
}

func (d *eventDecoder) items() error {
	token, err := d.dec.ReadToken()
	switch {
	case err != nil:
		return d.failure(err)
	case token.Kind() == 'n':
		return nil
	case token.Kind() != '[':
		return &EnvelopeError{Problem: "items is no array"}
	}
	for {
		d.reader.allow(d.dec.InputOffset(), d.limits.EventBytes)
		if d.dec.PeekKind() == ']' {
			break
		}
		if d.count == d.limits.Events {
			return fmt.Errorf("%w: at most %d", ErrTooManyEvents, d.limits.Events)
		}
		if err := d.item(); err != nil {
			return err
		}
		d.count++
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return d.failure(err)
	}
	return nil
}

func (d *eventDecoder) item() error {
	item := DecodedEvent{Index: d.count}
	raw, err := d.dec.ReadValue()
	switch {
	case errors.Is(err, errBound):
		// The decoder has not moved, so that the rest can be passed over
		// without being held, and the next item read.
		item.Raw = bytes.Clone(cutBytes(d.dec.UnreadBuffer(), MaxExcerptBytes))
		item.Err = fmt.Errorf("%w: more than %d bytes", ErrEventTooLarge, d.limits.EventBytes)
		d.reader.unbound()
		if err := d.dec.SkipValue(); err != nil {
			return d.failure(err)
		}
	case err != nil:
		return d.failure(err)
	case len(raw) > d.limits.EventBytes:
		item.Raw = cutBytes(raw, MaxExcerptBytes)
		item.Err = fmt.Errorf("%w: %d bytes, at most %d", ErrEventTooLarge, len(raw), d.limits.EventBytes)
	default:
		item.Raw = raw
		item.Event, item.Err = decodeEvent(raw, d.limits.Depth)
	}
	return d.each(item)
}

// failure turns the decoder's error into a *SyntaxError, unless it is the
// reader's own, such as the bound on a request's body.
func (d *eventDecoder) failure(err error) error {
	if own := d.reader.err; own != nil && errors.Is(err, own) && !errors.Is(own, io.EOF) {
		return fmt.Errorf("read events: %w", own)
	}
	if errors.Is(err, errBound) {
		return &EnvelopeError{Problem: "a member beside items is too large"}
	}
	offset := d.dec.InputOffset()
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		offset = syntactic.ByteOffset
	}
	return &SyntaxError{Offset: offset, Err: err}
}

// DecodeEvent reads one audit.k8s.io/v1 Event, such as a line of an audit log.
func DecodeEvent(data []byte, limits DecodeLimits) (*auditv1.Event, error) {
	limits = limits.withDefaults()
	if len(data) > limits.EventBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrEventTooLarge, len(data), limits.EventBytes)
	}
	return decodeEvent(data, limits.Depth)
}

func decodeEvent(data []byte, depth int) (*auditv1.Event, error) {
	if event, ok := scanEvent(data, depth); ok {
		return event, nil
	}
	return decodeAnyEvent(data, depth)
}

// decodeAnyEvent decodes an event that need not look like a kube-apiserver's, and
// says what is wrong with what is none.
func decodeAnyEvent(data []byte, depth int) (*auditv1.Event, error) {
	if !shallow(data, depth) {
		return nil, fmt.Errorf("%w: more than %d levels", ErrEventTooDeep, depth)
	}
	if kind := jsontext.Value(data).Kind(); kind != '{' {
		return nil, &MalformedEventError{Field: "the event", Problem: "is no object"}
	}
	event := &auditv1.Event{}
	err := json.Unmarshal(data, event, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err == nil {
		return event, nil
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		return nil, &MalformedEventError{Field: fieldOf(semantic.JSONPointer), Problem: "is of the wrong type"}
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return nil, &SyntaxError{Offset: syntactic.ByteOffset, Err: err}
	}
	return nil, &MalformedEventError{Field: "the event", Problem: "cannot be decoded"}
}
