package importer

import (
	"bytes"
	"errors"
	"fmt"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/record"
)

// decodedLine is what a line holds.
type decodedLine struct {
	// records lack what Normalize does, and those of our own an id.
	records []record.Record
	// skipped counts events that give no record by rule.
	skipped int
	bad     []badItem
}

// badItem is a line, or an event of a line, that gives no record by mistake.
type badItem struct {
	cause  deadletter.Cause
	reason string
	raw    []byte
}

func (d *decodedLine) refuse(err error, reason string, raw []byte) {
	d.bad = append(d.bad, badItem{cause: causeOf(err), reason: reason, raw: bytes.Clone(raw)})
}

// decodeLine never fails: what cannot be used is among the bad.
func decodeLine(data []byte, options record.KubernetesOptions) decodedLine {
	var found decodedLine
	document, err := record.Sniff(data)
	if err != nil {
		found.refuse(err, err.Error(), data)
		return found
	}
	switch document {
	case record.DocumentEvent:
		event, err := record.DecodeEvent(data, record.DecodeLimits{})
		found.event(record.DecodedEvent{Event: event, Raw: data, Err: err}, options, "")
	case record.DocumentEventList:
		err = record.DecodeEvents(bytes.NewReader(data), record.DecodeLimits{}, func(event record.DecodedEvent) error {
			found.event(event, options, fmt.Sprintf("event %d of the list: ", event.Index+1))
			return nil
		})
		if err != nil {
			found.refuse(err, err.Error(), data)
		}
	default:
		r, err := record.DecodeOwn(data)
		if err != nil {
			found.refuse(err, err.Error(), data)
			return found
		}
		found.records = append(found.records, r)
	}
	return found
}

func (d *decodedLine) event(event record.DecodedEvent, options record.KubernetesOptions, place string) {
	records, skip, err := recordsOf(event, options)
	switch {
	case err != nil:
		d.refuse(err, place+err.Error(), event.Raw)
	case skip != record.SkipNone:
		d.skipped++
	default:
		d.records = append(d.records, records...)
	}
}

// recordsOf maps an event, and takes a panic for what is wrong with that event:
// its neighbours go on.
func recordsOf(event record.DecodedEvent, options record.KubernetesOptions) (records []record.Record, skip record.Skip, err error) {
	if event.Err != nil {
		return nil, record.SkipNone, event.Err
	}
	defer func() {
		if cause := recover(); cause != nil {
			records, err = nil, fmt.Errorf("internal error of type %T", cause)
		}
	}()
	return record.KubernetesRecords(event.Event, options)
}

func causeOf(err error) deadletter.Cause {
	if errors.Is(err, record.ErrEventTooLarge) {
		return deadletter.TooLarge
	}
	return deadletter.Malformed
}
