package timeexpr

import "fmt"

// MaxNumber is the largest number in an offset or a duration. It is enough to
// cross the whole range of results in seconds.
const MaxNumber = 999_999_999_999

// kind is the kind of a token.
type kind int

const (
	kindEnd    kind = iota
	kindWord        // a run of ASCII letters
	kindNumber      // a run of ASCII digits
	kindSign        // '+' or '-'
	kindSlash       // '/'
)

// token is one piece of a relative expression or a duration.
type token struct {
	kind kind
	text string
	pos  int
	// spaced is set when a space, which may have been a '+', precedes it.
	spaced bool
}

// String names the token for use in a message.
func (t token) String() string {
	if t.kind == kindEnd {
		return "the end of the text"
	}
	return fmt.Sprintf("%q", t.text)
}

// lexer cuts a text into tokens, one at a time, so that the leftmost fault is
// the one reported.
type lexer struct {
	text string
	pos  int
}

// next gives the next token. At the end of the text it gives kindEnd for ever.
func (l *lexer) next() (token, error) {
	start := l.pos
	l.pos = skipSpaces(l.text, l.pos)
	t := token{pos: l.pos}
	for _, c := range []byte(l.text[start:l.pos]) {
		t.spaced = t.spaced || c == ' '
	}
	if l.pos == len(l.text) {
		return t, nil
	}
	switch c := l.text[l.pos]; {
	case isLetter(c):
		t.kind, l.pos = kindWord, skip(l.text, l.pos, isLetter)
	case isDigit(c):
		t.kind, l.pos = kindNumber, skip(l.text, l.pos, isDigit)
	case c == '+' || c == '-':
		t.kind, l.pos = kindSign, l.pos+1
	case c == '/':
		t.kind, l.pos = kindSlash, l.pos+1
	case c == '%':
		return t, failure(l.text, l.pos, "unexpected '%%', the text seems to be URL-encoded twice")
	case c == '.':
		return t, failure(l.text, l.pos, "unexpected '.', numbers are whole")
	default:
		return t, failure(l.text, l.pos, "unexpected %s", describe(l.text, l.pos))
	}
	t.text = l.text[t.pos:l.pos]
	return t, nil
}

// decimal gives the value of a run of digits, or false if it is above most,
// which is small enough for one digit more.
func decimal(digits string, most int64) (value int64, ok bool) {
	for _, digit := range []byte(digits) {
		if value = value*10 + int64(digit-'0'); value > most {
			return 0, false
		}
	}
	return value, true
}

// skip gives the first position from pos on whose byte is not in the class.
func skip(text string, pos int, class func(byte) bool) int {
	for pos < len(text) && class(text[pos]) {
		pos++
	}
	return pos
}

func skipSpaces(text string, pos int) int { return skip(text, pos, isSpace) }

func isSpace(c byte) bool  { return c == ' ' || c == '\t' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
