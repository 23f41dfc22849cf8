package elasticsearch

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

var errTruncated = errors.New("the answer ends too early")
var errMalformed = errors.New("the answer is not the JSON that was expected")

// scanner walks JSON without decoding it. A page is half a megabyte and decoding
// it would take longer than the search did; the documents in it are only handed
// on. It checks that everything it passes is closed, not each number and escape.
type scanner struct {
	data []byte
	pos  int
}

// peek returns the next byte that is not white space, 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\n', '\t', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) take(want byte) error {
	switch s.peek() {
	case want:
		s.pos++
		return nil
	case 0:
		return errTruncated
	default:
		return errMalformed
	}
}

// object calls member for each name, unquoted but with its escapes; member must
// consume the value.
func (s *scanner) object(member func(name []byte) error) error {
	if err := s.take('{'); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		name, err := s.text()
		if err != nil {
			return err
		}
		if err := s.take(':'); err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
		if s.peek() == '}' {
			s.pos++
			return nil
		}
		if err := s.take(','); err != nil {
			return err
		}
	}
}

// array calls element for each element; element must consume it.
func (s *scanner) array(element func() error) error {
	if err := s.take('['); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if s.peek() == ']' {
			s.pos++
			return nil
		}
		if err := s.take(','); err != nil {
			return err
		}
	}
}

// text returns what is between the quotes, escapes and all.
func (s *scanner) text() ([]byte, error) {
	if err := s.take('"'); err != nil {
		return nil, err
	}
	start := s.pos
	end := endOfText(s.data, start)
	if end < 0 {
		return nil, errTruncated
	}
	s.pos = end + 1
	return s.data[start:end], nil
}

// Words of eight equal bytes, and the lowest and highest bits of each.
const (
	lows    = 0x0101010101010101
	highs   = 0x8080808080808080
	quotes  = lows * '"'
	escapes = lows * '\\'
)

// endOfText returns where the string whose content begins at start has its
// closing quote, -1 if nowhere. Most strings are too short for IndexByte to pay:
// it looks at eight bytes at a time for a quote or a backslash. The lowest bit
// set is that of the first one; bits above it may be wrong.
func endOfText(data []byte, start int) int {
	i := start
	for i+8 <= len(data) {
		word := binary.LittleEndian.Uint64(data[i:])
		q, e := word^quotes, word^escapes
		found := ((q - lows) &^ q & highs) | ((e - lows) &^ e & highs)
		if found == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(found) / 8
		if data[i] == '"' {
			return i
		}
		i += 2 // the backslash and what it escapes
	}
	for ; i < len(data); i++ {
		switch data[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return -1
}

// value consumes any value and returns its bytes.
func (s *scanner) value() ([]byte, error) {
	switch s.peek() {
	case 0:
		return nil, errTruncated
	case '{', '[':
		return s.container()
	case '"':
		start := s.pos
		_, err := s.text()
		return s.data[start:s.pos], err
	default:
		return s.literal()
	}
}

// container consumes an object or array.
func (s *scanner) container() ([]byte, error) {
	data, start, depth := s.data, s.pos, 0
	for i := start; i < len(data); i++ {
		c := data[i]
		if c == '"' {
			if i = endOfText(data, i+1); i < 0 {
				return nil, errTruncated
			}
			continue
		}
		// The brackets are [ ] { }, which differ in two bits; nothing else
		// outside of strings has the others.
		if c&0xD9 != '['&0xD9 {
			continue
		}
		if c&0x06 == '['&0x06 {
			depth++
			continue
		}
		depth--
		if depth == 0 {
			s.pos = i + 1
			return data[start:s.pos], nil
		}
	}
	return nil, errTruncated
}

// literal consumes a number, true, false or null.
func (s *scanner) literal() ([]byte, error) {
	start := s.pos
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c == '-', c == '+', c == '.', c == 'E':
			s.pos++
			continue
		}
		break
	}
	if s.pos == start {
		return nil, errMalformed
	}
	if s.pos == len(s.data) {
		return nil, errTruncated
	}
	return s.data[start:s.pos], nil
}

// end demands that nothing but white space follows.
func (s *scanner) end() error {
	if s.peek() != 0 || s.pos < len(s.data) {
		return errMalformed
	}
	return nil
}
