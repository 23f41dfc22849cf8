package record

import (
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxScanned is the most that a scanner is given: the texts that it returns are
// parts of the one that it reads, and keep all of it in memory.
const maxScanned = 64 << 10

// scanner reads the JSON that nearly every sender writes, several times as fast as
// a decoder: what it returns is cut out of its text, and nothing is reflected.
//
// It has no errors. What it doesn't take, be it wrong or only unusual, it leaves
// to jsontext and json, which judge it and say what is wrong; its methods then
// return false, and it is not to be used any further. What it takes is valid JSON,
// and means to them what it means here; tests compare the two.
type scanner struct {
	text string
	at   int
	// canonical takes only what is compact, with strings written as we write
	// them.
	canonical bool
}

// letters are the bytes that stand for themselves in a JSON string of ASCII.
var letters = lettersTable()

func lettersTable() (table [256]bool) {
	for b := ' '; b < utf8.RuneSelf; b++ {
		table[b] = b != '"' && b != '\\'
	}
	return table
}

func (s *scanner) space() {
	for !s.canonical && s.at < len(s.text) && isSpace(s.text[s.at]) {
		s.at++
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\t' || b == '\r' }

// peek returns the first byte that is no space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.at == len(s.text) {
		return 0
	}
	return s.text[s.at]
}

// take passes over a byte and the space before it.
func (s *scanner) take(want byte) bool {
	if s.peek() != want {
		return false
	}
	s.at++
	return true
}

// ended tells whether only space is left.
func (s *scanner) ended() bool { return s.peek() == 0 && s.at == len(s.text) }

// rawString passes over a string and returns it with its quotes, and whether
// what is between them stands for itself.
func (s *scanner) rawString() (raw string, plain, ok bool) {
	if !s.take('"') {
		return "", false, false
	}
	start, escaped, ascii := s.at-1, false, true
	for i := s.at; ; i++ {
		for i < len(s.text) && letters[s.text[i]] {
			i++
		}
		switch {
		case i >= len(s.text) || s.text[i] < ' ':
			return "", false, false
		case s.text[i] == '"':
			raw = s.text[start : i+1]
			s.at = i + 1
			return raw, !escaped, ascii || utf8.ValidString(raw)
		case s.text[i] == '\\':
			escaped = true
			i++
		default:
			ascii = false
		}
	}
}

// string returns the value of a string.
func (s *scanner) string() (string, bool) {
	raw, plain, ok := s.rawString()
	if !ok || plain {
		return unquoted(raw), ok
	}
	if s.canonical && !escapesAsWeDo(raw) {
		return "", false
	}
	var room [256]byte
	text, err := jsontext.AppendUnquote(room[:0], raw)
	return string(text), err == nil
}

// unquoted cuts the quotes off a string without escapes.
func unquoted(raw string) string {
	if len(raw) < len(`""`) {
		return ""
	}
	return raw[1 : len(raw)-1]
}

// set stores a string, for members of objects.
func (s *scanner) set(at *string) bool {
	text, ok := s.string()
	*at = text
	return ok
}

// object calls member for each member of an object, which must read its value.
// Two of the same name are left to others, which have their own views on them.
func (s *scanner) object(member func(name string) bool) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	var names nameSet
	for {
		name, ok := s.string()
		if !ok || !names.add(name) || !s.take(':') || !member(name) {
			return false
		}
		if !s.take(',') {
			return s.take('}')
		}
	}
}

// array calls item for each item of an array, which must read it.
func (s *scanner) array(item func() bool) bool {
	if !s.take('[') {
		return false
	}
	if s.take(']') {
		return true
	}
	for {
		if !item() {
			return false
		}
		if !s.take(',') {
			return s.take(']')
		}
	}
}

// value passes over any value and returns its JSON. Objects and arrays may nest
// depth deep in it.
func (s *scanner) value(depth int) (string, bool) {
	s.space()
	start := s.at
	ok := s.skip(depth)
	return s.text[start:s.at], ok
}

func (s *scanner) skip(depth int) bool {
	switch s.peek() {
	case '"':
		raw, plain, ok := s.rawString()
		if s.canonical {
			return ok && (plain || escapesAsWeDo(raw))
		}
		return ok && (plain || isQuoted(raw))
	case '{':
		return depth > 0 && s.object(func(string) bool { return s.skip(depth - 1) })
	case '[':
		return depth > 0 && s.array(func() bool { return s.skip(depth - 1) })
	default:
		return s.scalar()
	}
}

// isQuoted tells whether the escapes of a string are right.
func isQuoted(raw string) bool {
	var room [256]byte
	_, err := jsontext.AppendUnquote(room[:0], raw)
	return err == nil
}

// escapesAsWeDo tells whether each escape is one that appendQuoted writes, of
// those that are frequent.
func escapesAsWeDo(raw string) bool {
	for i := strings.IndexByte(raw, '\\'); i >= 0; i = strings.IndexByte(raw, '\\') {
		if i+1 == len(raw) || strings.IndexByte(`"\nt`, raw[i+1]) < 0 {
			return false
		}
		raw = raw[i+2:]
	}
	return true
}

// scalar passes over a number, true, false or null.
func (s *scanner) scalar() bool {
	start := s.at
	for s.at < len(s.text) && !endsScalar(s.text[s.at]) {
		s.at++
	}
	switch text := s.text[start:s.at]; text {
	case "true", "false", "null":
		return true
	default:
		return isNumber(text)
	}
}

func endsScalar(b byte) bool { return b == ',' || b == '}' || b == ']' || isSpace(b) }

// isNumber tells whether text is a number as JSON writes it.
func isNumber(text string) bool {
	if text != "" && text[0] == '-' {
		text = text[1:]
	}
	whole := digits(text)
	if whole == 0 || (whole > 1 && text[0] == '0') {
		return false
	}
	text = text[whole:]
	if text != "" && text[0] == '.' {
		fraction := digits(text[1:])
		if fraction == 0 {
			return false
		}
		text = text[1+fraction:]
	}
	if text == "" {
		return true
	}
	if text[0] != 'e' && text[0] != 'E' {
		return false
	}
	text = text[1:]
	if text != "" && (text[0] == '+' || text[0] == '-') {
		text = text[1:]
	}
	return text != "" && digits(text) == len(text)
}

// digits counts the digits that text begins with.
func digits(text string) int {
	n := 0
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	return n
}

// nameSet finds out whether a name occurs twice among a few.
type nameSet struct {
	names [32]string
	count int
	// seen has a bit for each name, which few share.
	seen uint64
}

// add returns false for a name that is there already, and when there are too
// many.
func (n *nameSet) add(name string) bool {
	if n.count == len(n.names) {
		return false
	}
	bit := uint64(1) << (nameHash(name) % 64)
	if n.seen&bit != 0 {
		for _, other := range n.names[:n.count] {
			if other == name {
				return false
			}
		}
	}
	n.seen |= bit
	n.names[n.count] = name
	n.count++
	return true
}

func nameHash(name string) int {
	if name == "" {
		return 0
	}
	return len(name)*7 + int(name[0])*31 + int(name[len(name)-1])*17 + int(name[len(name)/2])
}
