package ingest

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"auditquery.dev/auditquery/internal/ingest/budget"
	"auditquery.dev/auditquery/internal/record"
)

const (
	// maxElementBytes bounds one element of a body, as package record bounds an
	// event.
	maxElementBytes = 3 << 20
	// maxListEvents is how many events a list may have.
	maxListEvents = 100_000
	// keptOfLarge is how much of a larger one is kept, to tell which it was.
	keptOfLarge = 64 << 10
	// A splitter begins with a small buffer, and takes a larger one for a sender
	// that fills it: each read of HTTP/2 gives back a part of its window, which is
	// a write to the network. One whose memory was charged for is larger still:
	// what is cut out of it together is worked on together.
	splitBuffer      = 4 << 10
	fastSplitBuffer  = budget.Free
	groupSplitBuffer = 128 << 10
)

var errNoJSON = errors.New("not JSON")

// splitter cuts a stream of JSON into values without looking into them: it knows
// strings and brackets, no more. So an element that is malformed, nests without
// end or is too large spoils itself alone, and is never in memory beyond its
// bound. Whoever uses a value decodes it, and finds what is wrong with it.
type splitter struct {
	reader io.Reader
	buffer []byte
	at     int   // the next byte of buffer
	passed int64 // bytes before buffer
	err    error // of reader
	// filled says that the last read gave as much as there was room for.
	filled bool
	// moving, if there is one, is called before values that were given out are
	// written over. Its error becomes the reader's.
	moving func() error
	// charge, if there is one, is asked for the memory of a buffer larger than
	// fastSplitBuffer.
	charge func() bool
}

func newSplitter(reader io.Reader) *splitter {
	return &splitter{reader: reader, buffer: make([]byte, 0, splitBuffer)}
}

// newSplitterOf cuts what is in memory already. Its values share that memory.
func newSplitterOf(data []byte) *splitter { return &splitter{buffer: data, err: io.EOF} }

// offset is the number of bytes before the next one.
func (s *splitter) offset() int64 { return s.passed + int64(s.at) }

// failure is the error for what comes next.
func (s *splitter) failure(err error) error {
	if s.err != nil && !errors.Is(s.err, io.EOF) {
		return s.err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &record.SyntaxError{Offset: s.offset(), Err: err}
}

// drop forgets the first bytes of buffer, and returns how many it forgot.
func (s *splitter) drop(bytes int) int {
	if bytes == 0 || errors.Is(s.err, io.EOF) {
		return 0 // nothing will come that needs the room
	}
	if s.moving != nil {
		if err := s.moving(); err != nil && s.err == nil {
			s.err = err
			return 0
		}
	}
	n := copy(s.buffer, s.buffer[bytes:])
	s.buffer = s.buffer[:n]
	s.at -= bytes
	s.passed += int64(bytes)
	return bytes
}

// fill reads more. It returns false when no more can be had.
func (s *splitter) fill() bool {
	if s.err != nil {
		return false
	}
	if len(s.buffer) == cap(s.buffer) || s.filled && s.mayGrow() {
		larger := make([]byte, len(s.buffer), 2*cap(s.buffer))
		copy(larger, s.buffer)
		s.buffer = larger
	}
	for range 100 { // a reader that gives nothing for ever is broken
		n, err := s.reader.Read(s.buffer[len(s.buffer):cap(s.buffer)])
		s.buffer = s.buffer[:len(s.buffer)+n]
		s.filled = len(s.buffer) == cap(s.buffer)
		s.err = err
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// mayGrow tells whether a buffer that was filled may be larger.
func (s *splitter) mayGrow() bool {
	if cap(s.buffer) < fastSplitBuffer {
		return true
	}
	return s.charge != nil && cap(s.buffer) < groupSplitBuffer && s.charge()
}

// peek returns the next byte that is not space. The error at the end is io.EOF.
func (s *splitter) peek() (byte, error) {
	for {
		for s.at < len(s.buffer) {
			switch c := s.buffer[s.at]; c {
			case ' ', '\t', '\r', '\n':
				s.at++
			default:
				return c, nil
			}
		}
		s.drop(s.at)
		if !s.fill() {
			return 0, s.err
		}
	}
}

// accept passes over one byte that must come next.
func (s *splitter) accept(want byte) error {
	c, err := s.peek()
	if err == nil && c != want {
		err = errNoJSON
	}
	if err != nil {
		return s.failure(err)
	}
	s.at++
	return nil
}

// value returns the next value, valid until moving is called or, without it, until
// the next call. Of one that is larger
// than maxElementBytes it returns the beginning.
func (s *splitter) value() (raw []byte, tooLarge bool, err error) {
	if _, err := s.peek(); err != nil {
		return nil, false, s.failure(err)
	}
	start := s.at // of the value in buffer
	var scan scanner
	var kept []byte // the beginning of a value that is too large
	for {
		n, done := scan.scan(s.buffer[s.at:])
		s.at += n
		if kept == nil && s.at-start > maxElementBytes {
			kept = bytes.Clone(s.buffer[start : start+keptOfLarge])
		}
		if kept != nil {
			start = s.at
		}
		if !done {
			start -= s.drop(start)
			if s.fill() {
				continue
			}
			if kept != nil || !errors.Is(s.err, io.EOF) || !scan.wholeAtEnd() {
				return nil, false, s.failure(s.err)
			}
		}
		switch {
		case kept != nil:
			return kept, true, nil
		case s.at == start:
			return nil, false, s.failure(errNoJSON)
		default:
			return s.buffer[start:s.at], false, nil
		}
	}
}

// each calls element for each of a list or object, up to the closing bracket,
// which it passes.
func (s *splitter) each(end byte, element func() error) error {
	for first := true; ; first = false {
		c, err := s.peek()
		switch {
		case err != nil:
			return s.failure(err)
		case c == end:
			s.at++
			return nil
		case !first:
			if err := s.accept(','); err != nil {
				return err
			}
		}
		if err := element(); err != nil {
			return err
		}
	}
}

// memberName reads the name of a member and the colon after it.
func (s *splitter) memberName() (string, error) {
	raw, tooLarge, err := s.value()
	if err != nil {
		return "", err
	}
	if tooLarge || raw[0] != '"' {
		return "", s.failure(errNoJSON)
	}
	name, err := jsontext.AppendUnquote(nil, raw)
	if err != nil && len(name) == 0 { // invalid UTF-8 was replaced
		return "", s.failure(errNoJSON)
	}
	return string(name), s.accept(':')
}

// scanner finds the end of a value.
type scanner struct {
	begun, text, escaped bool
	depth                int
}

// scan reads on and returns how much of data belongs to the value, and whether it
// ends there.
func (s *scanner) scan(data []byte) (n int, done bool) {
	for i := 0; i < len(data); {
		if s.text {
			i += s.scanText(data[i:])
			if !s.text && s.depth == 0 {
				return i, true
			}
			continue
		}
		switch data[i] {
		case '"':
			if s.begun && s.depth == 0 {
				return i, true
			}
			s.text = true
		case '{', '[':
			if s.begun && s.depth == 0 {
				return i, true
			}
			s.depth++
		case '}', ']':
			if s.depth == 0 {
				return i, true
			}
			if s.depth--; s.depth == 0 {
				return i + 1, true
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if s.depth == 0 {
				return i, true
			}
		}
		s.begun = true
		i++
	}
	return len(data), false
}

// scanText passes over the rest of a string, and the quotation mark at its end if
// that is in data. Each byte is looked at twice at most: the next mark is looked
// for anew only once it was passed.
func (s *scanner) scanText(data []byte) (n int) {
	mark := -1
	if s.escaped {
		s.escaped, n = false, 1
	}
	for {
		if mark < n {
			if mark = bytes.IndexByte(data[n:], '"'); mark < 0 {
				mark = len(data)
			} else {
				mark += n
			}
		}
		escape := bytes.IndexByte(data[n:mark], '\\')
		switch {
		case escape < 0 && mark == len(data):
			return mark
		case escape < 0:
			s.text = false
			return mark + 1
		}
		if n += escape + 2; n > len(data) {
			s.escaped = true
			return len(data)
		}
	}
}

// wholeAtEnd tells whether the end of the input ends the value: a number or a
// word has no end of its own.
func (s *scanner) wholeAtEnd() bool { return s.begun && !s.text && s.depth == 0 }
