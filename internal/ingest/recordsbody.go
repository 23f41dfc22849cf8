package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"auditquery.dev/auditquery/internal/record"
)

// readRecords reads a body of records and events and calls each for every one as
// it comes, holding one value at a time. It is record.DecodeRecords, but for a
// body that is an array: there, too, an item spoils nothing but itself, unless its
// brackets are not paired.
func readRecords(body io.Reader, each func(record.DecodedRecord) error) error {
	a := &arrayReader{splitter: newSplitter(body), each: each}
	if first, err := a.peek(); err != nil || first != '[' {
		return record.DecodeRecords(io.MultiReader(bytes.NewReader(a.buffer[a.at:]), body), record.DecodeLimits{}, each)
	}
	a.at++
	if err := a.splitter.each(']', a.item); err != nil {
		return err
	}
	if c, err := a.peek(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = fmt.Errorf("%q after the end", c)
		}
		return a.failure(err)
	}
	return nil
}

type arrayReader struct {
	*splitter
	each  func(record.DecodedRecord) error
	count int
}

func (a *arrayReader) item() error {
	raw, tooLarge, err := a.value()
	switch {
	case err != nil:
		return err
	case tooLarge:
		return a.give(record.DecodedRecord{Raw: raw, Err: fmt.Errorf("%w: more than %d bytes", record.ErrEventTooLarge, maxElementBytes)})
	}
	item, list := record.DecodeDocument(raw, record.DecodeLimits{EventBytes: maxElementBytes})
	if list {
		return a.list(raw)
	}
	return a.give(item)
}

// list gives the events of an EventList; what is wrong with the rest of it is an
// item of its own.
func (a *arrayReader) list(raw []byte) error {
	var stopped error
	err := readEachEvent(bytes.NewReader(raw), func(event record.DecodedEvent) error {
		stopped = a.give(record.DecodedRecord{Event: event.Event, Raw: event.Raw, Err: event.Err})
		return stopped
	})
	if err == nil || stopped != nil {
		return stopped
	}
	return a.give(record.DecodedRecord{Raw: raw[:min(len(raw), keptOfLarge)], Err: err})
}

func (a *arrayReader) give(item record.DecodedRecord) error {
	if a.count == maxListEvents {
		return fmt.Errorf("%w: at most %d", record.ErrTooManyEvents, maxListEvents)
	}
	item.Index = a.count
	a.count++
	return a.each(item)
}
