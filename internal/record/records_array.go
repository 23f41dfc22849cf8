package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// arrayDecoder reads a body that is one array.
type arrayDecoder struct {
	*recordDecoder
	reader *boundedReader
	dec    *jsontext.Decoder
	// base is where the array begins in the body.
	base int64
}

func (a *arrayDecoder) items() error {
	if _, err := a.dec.ReadToken(); err != nil {
		return a.failure(err)
	}
	for {
		a.reader.allow(a.dec.InputOffset(), a.limits.EventBytes)
		if a.dec.PeekKind() == ']' {
			break
		}
		if err := a.full(); err != nil {
			return err
		}
		if err := a.item(); err != nil {
			return err
		}
	}
	if _, err := a.dec.ReadToken(); err != nil {
		return a.failure(err)
	}
	if _, err := a.dec.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("text after the array")
		}
		return a.failure(err)
	}
	return nil
}

func (a *arrayDecoder) item() error {
	raw, err := a.dec.ReadValue()
	switch {
	case errors.Is(err, errBound):
		// The decoder has not moved: the rest is passed over, not held.
		item := DecodedRecord{Raw: bytes.Clone(cutBytes(a.dec.UnreadBuffer(), MaxExcerptBytes))}
		item.Err = fmt.Errorf("%w: more than %d bytes", ErrEventTooLarge, a.limits.EventBytes)
		a.reader.unbound()
		if err := a.dec.SkipValue(); err != nil {
			return a.failure(err)
		}
		return a.give(item)
	case err != nil:
		return a.failure(err)
	}
	item, list := DecodeDocument(raw, a.limits)
	if list {
		return a.list(raw)
	}
	return a.give(item)
}

// failure turns the decoder's error into a *SyntaxError, unless it is the
// reader's own.
func (a *arrayDecoder) failure(err error) error {
	if own := a.reader.err; own != nil && errors.Is(err, own) && !errors.Is(own, io.EOF) {
		return fmt.Errorf("read records: %w", own)
	}
	syntax := syntaxError(a.dec, err)
	syntax.Offset += a.base
	return syntax
}
