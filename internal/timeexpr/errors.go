package timeexpr

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// AcceptedForms names the accepted forms in brief. It ends the text of every
// error about a single expression.
const AcceptedForms = "now-1day+2h/d (or today, yesterday, tomorrow; units s m h d w M y or their names), " +
	"2h30m (before now), 2026-11-01, 2026-11-01 10:00, 2026-11-01T10:00:00+02:00, " +
	"seconds (9-10 digits) or milliseconds (12-13 digits) since 1970"

// lostPlus is added to a message where the text looks as if a '+' became a
// space on its way through a URL.
const lostPlus = "; if this was a '+' in a URL, write it as %2B, a plain '+' arrives as a space"

// The excerpt in an error's text shows at most this many bytes on either side
// of the offending one.
const (
	excerptBefore = 32
	excerptAfter  = 16
)

// Error says why a time expression, or a pair of them, was refused.
type Error struct {
	// Field is the end of the window the text was given for, "from" or "to".
	// It is empty in errors of [Parse]. Callers whose parameter has another
	// name may replace it before they print the error.
	Field string
	// Input is the text as given, cut to about MaxLength bytes.
	Input string
	// Offset is the byte in Input that was wrong, from 0 to len(Input); the
	// latter means that something was missing at the end.
	Offset int
	// Message says what was wrong there.
	Message string

	// order is set when both texts were good but the window was not.
	order bool
}

// Error gives one line: the field, an excerpt in which '^' stands before the
// offending character, its offset, the message and the accepted forms.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	if e.order {
		b.WriteString(e.Message)
		return b.String()
	}
	fmt.Fprintf(&b, "invalid time %s at offset %d: %s; accepted: %s", e.excerpt(), e.Offset, e.Message, AcceptedForms)
	return b.String()
}

// excerpt quotes the surroundings of the offending byte with a caret in front
// of it. Quoting keeps line breaks and broken UTF-8 out of the message.
func (e *Error) excerpt() string {
	offset := min(max(e.Offset, 0), len(e.Input))
	start, end := max(offset-excerptBefore, 0), min(offset+excerptAfter, len(e.Input))
	for start > 0 && start < offset && !utf8.RuneStart(e.Input[start]) {
		start++
	}
	for end < len(e.Input) && end > offset && !utf8.RuneStart(e.Input[end]) {
		end--
	}
	text := e.Input[start:offset] + "^" + e.Input[offset:end]
	if start > 0 {
		text = "..." + text
	}
	if end < len(e.Input) {
		text += "..."
	}
	return strconv.Quote(text)
}

// failure makes the error for the byte of text at offset.
func failure(text string, offset int, format string, args ...any) *Error {
	return &Error{Input: text, Offset: offset, Message: fmt.Sprintf(format, args...)}
}

// describe names the character of text at offset for use in a message.
func describe(text string, offset int) string {
	if offset >= len(text) {
		return "the end of the text"
	}
	r, size := utf8.DecodeRuneInString(text[offset:])
	if r == utf8.RuneError && size <= 1 {
		return fmt.Sprintf("byte 0x%02x", text[offset])
	}
	return strconv.QuoteRune(r)
}
