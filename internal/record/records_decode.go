package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// DecodedRecord is one value of a body, or one item of an EventList in it: a
// record, an event, or neither and why.
type DecodedRecord struct {
	// Index is its position, from 0. Each item of an EventList counts.
	Index int
	// Record is an *Audit or *AuthAudit as DecodeOwn returns it: without an
	// id, not normalised.
	Record Record
	// Event is an audit.k8s.io/v1 Event.
	Event *auditv1.Event
	// Raw is the JSON of either, or what was there instead of it, or its
	// beginning. It may hold secrets (see Excerpt), and is valid during the
	// call only.
	Raw []byte
	// Err says what is wrong with this one alone: a *SyntaxError, an
	// *UnknownDocumentError, a *FieldError, a *MalformedEventError,
	// an *EnvelopeError, ErrEventTooLarge or ErrEventTooDeep.
	Err error
}

// DecodeRecords reads a body of records and events of the kinds that Sniff
// knows, and calls each for every one as it comes, holding one value at a time.
// The body is an array, or values one after another: JSON lines, with other
// space between them or none. An EventList is each of its events; all of it must
// fit into limits.EventBytes, as any other value. limits.Depth is that of events:
// of our own records Normalize cuts what is too deep. An empty body has no values.
//
// What is wrong with one value leaves the others whole. In an array that needs
// valid JSON: from a syntax error on, the array is lost, and the error is a
// *SyntaxError. Elsewhere a syntax error, or a value that is too large, spoils the
// rest of the line that the value began in, and no other line. The error is
// otherwise that of each, which ends the reading, ErrTooManyEvents, or the
// reader's own; what came before it has been given to each.
func DecodeRecords(r io.Reader, limits DecodeLimits, each func(DecodedRecord) error) error {
	d := &recordDecoder{limits: limits.withDefaults(), each: each, lines: lineBuffer{reader: r}}
	if err := d.lines.skipSpace(); err != nil {
		return d.ended(err)
	}
	if d.lines.unread()[0] == '[' {
		return d.array()
	}
	return d.sequence()
}

type recordDecoder struct {
	limits DecodeLimits
	each   func(DecodedRecord) error
	count  int
	lines  lineBuffer
	// crowded is the offset of the end of a line that holds several values: it
	// is not tried as one for each of them.
	crowded int64
	// suspect is the offset up to which a value was looked for that began on
	// a line that turned out to be malformed. The lines in between are read
	// each for itself: whatever is sent, no byte is looked at for a third
	// time.
	suspect int64
}

// ended turns the end of the body into success.
func (d *recordDecoder) ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("read records: %w", err)
}

// give hands one item over.
func (d *recordDecoder) give(item DecodedRecord) error {
	item.Index = d.count
	d.count++
	return d.each(item)
}

func (d *recordDecoder) full() error {
	if d.count < d.limits.Events {
		return nil
	}
	return fmt.Errorf("%w: at most %d", ErrTooManyEvents, d.limits.Events)
}

// sequence reads values one after another.
func (d *recordDecoder) sequence() error {
	for {
		if err := d.lines.skipSpace(); err != nil {
			return d.ended(err)
		}
		if err := d.full(); err != nil {
			return err
		}
		if err := d.next(); err != nil {
			return err
		}
	}
}

// next reads the next value. Nearly always it is all of a line.
func (d *recordDecoder) next() error {
	line, whole, err := d.lines.line()
	if err != nil && !errors.Is(err, io.EOF) {
		line, whole = nil, false
	}
	if whole && len(line) <= d.limits.EventBytes && d.lines.offset >= d.crowded {
		item, list := DecodeDocument(line, d.limits)
		var syntax *SyntaxError
		if !errors.As(item.Err, &syntax) {
			return d.use(item, list, len(line))
		}
	}
	return d.nextOfMany()
}

// use hands a value over and goes on after it.
func (d *recordDecoder) use(item DecodedRecord, list bool, size int) error {
	defer d.lines.drop(size)
	if list {
		return d.list(item.Raw)
	}
	return d.give(item)
}

// nextOfMany reads a value that shares its line with others, takes several
// lines, or is none. Of a line that is not whole the reader has failed, or it is
// longer than anybody waits for its end.
func (d *recordDecoder) nextOfMany() error {
	feed := &lineFeed{lines: &d.lines, limit: d.limits.EventBytes, atLimit: errBound}
	line, whole, _ := d.lines.line()
	if whole {
		d.crowded = d.lines.offset + int64(len(line))
		if d.lines.offset < d.suspect && len(line) <= feed.limit {
			feed.limit, feed.atLimit = len(line), io.EOF
		}
	}
	dec := jsontext.NewDecoder(feed, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	value, err := dec.ReadValue()
	if err == nil {
		end := int(dec.InputOffset())
		value = d.lines.unread()[end-len(value) : end]
		item, list := DecodeDocument(value, d.limits)
		return d.use(item, list, end)
	}
	if feed.failed != nil {
		return d.ended(feed.failed)
	}
	item := DecodedRecord{}
	if errors.Is(err, errBound) {
		d.suspect = d.lines.offset + int64(d.limits.EventBytes)
		item.Err = fmt.Errorf("%w: more than %d bytes", ErrEventTooLarge, d.limits.EventBytes)
	} else {
		syntax := syntaxError(dec, err)
		syntax.Offset += d.lines.offset
		d.suspect = max(d.suspect, syntax.Offset)
		item.Err = syntax
	}
	return d.spoil(item)
}

// spoil hands over what is wrong, and goes on with the next line.
func (d *recordDecoder) spoil(item DecodedRecord) error {
	line, whole, _ := d.lines.line()
	item.Raw = cutBytes(line, MaxExcerptBytes)
	if err := d.give(item); err != nil {
		return err
	}
	if whole {
		d.lines.drop(len(line))
		return nil
	}
	if err := d.lines.dropLine(); err != nil {
		return d.ended(err)
	}
	return nil
}

// list hands over each event of an EventList, which is valid JSON.
func (d *recordDecoder) list(raw []byte) error {
	limits := d.limits
	limits.Events -= d.count
	var stopped error
	err := DecodeEvents(bytes.NewReader(raw), limits, func(item DecodedEvent) error {
		stopped = d.give(DecodedRecord{Event: item.Event, Raw: item.Raw, Err: item.Err})
		return stopped
	})
	switch {
	case err == nil || stopped != nil:
		return stopped
	case errors.Is(err, ErrTooManyEvents):
		return fmt.Errorf("%w: at most %d", ErrTooManyEvents, d.limits.Events)
	default:
		return d.give(DecodedRecord{Raw: cutBytes(raw, MaxExcerptBytes), Err: err})
	}
}

// array reads the items of one array, which is all of the body.
func (d *recordDecoder) array() error {
	reader := &boundedReader{reader: &d.lines}
	a := &arrayDecoder{
		recordDecoder: d, reader: reader, base: d.lines.offset,
		dec: jsontext.NewDecoder(reader, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
	}
	return a.items()
}

// likelyEvent looks where a kube-apiserver writes what an event is. Whether it is one
// is for others to find out.
func likelyEvent(data []byte) bool {
	const begin = 128
	return bytes.Contains(data[:min(len(data), begin)], []byte(`"audit.k8s.io/v1"`))
}

// DecodeDocument decodes one JSON document of the kinds that Sniff knows, such as
// a line of a file. Of an EventList there is neither a record, an event nor an
// error, but true: DecodeEvents reads it. What is returned does not keep data,
// beside Raw.
func DecodeDocument(data []byte, limits DecodeLimits) (item DecodedRecord, list bool) {
	limits = limits.withDefaults()
	if len(data) > limits.EventBytes {
		return DecodedRecord{Raw: cutBytes(data, MaxExcerptBytes),
			Err: fmt.Errorf("%w: %d bytes, at most %d", ErrEventTooLarge, len(data), limits.EventBytes)}, false
	}
	item.Raw = data
	if likelyEvent(data) {
		event, ok := scanEvent(data, limits.Depth)
		if ok && event.Kind == "Event" && event.APIVersion == auditv1.SchemeGroupVersion.String() {
			item.Event = event
			return item, false
		}
	} else if r, ok := scanOwn(data); ok {
		item.Record = r
		return item, false
	}
	document, err := Sniff(data)
	switch {
	case err != nil:
		item.Err = err
	case document == DocumentEventList:
		return item, true
	case document == DocumentEvent:
		item.Event, item.Err = decodeEvent(data, limits.Depth)
	default:
		item.Record, item.Err = decodeAnyOwn(data)
	}
	return item, false
}
