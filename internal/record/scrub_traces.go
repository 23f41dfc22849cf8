package record

import (
	"strings"
	"unicode/utf8"
)

// traces are what a first look at a text finds of the forms of secrets.
type traces int

const (
	// noTraces: scrubEachForm would return the text as it is.
	noTraces traces = iota
	// pairsAlone: it would do what scrubPairs does.
	pairsAlone
	// someTraces: it must be asked.
	someTraces
)

// traceStarts are the bytes at which tracesIn looks closer. In text that is not
// ASCII each form is looked for: letters outside of it can have lower case in it.
var traceStarts = traceStartsTable()

func traceStartsTable() (table [256]bool) {
	for _, b := range []byte("=:-eZLgxPbBnNdD") {
		table[b] = true
	}
	for b := utf8.RuneSelf; b < len(table); b++ {
		table[b] = true
	}
	return table
}

// tracesIn looks once at a text, of which nearly every one is harmless, for what
// scrubEachForm looks for in a dozen ways.
func tracesIn(text string) traces {
	found := noTraces
	for i := range len(text) {
		if !traceStarts[text[i]] {
			continue
		}
		switch rest := text[i:]; rest[0] {
		case '=':
			found = pairsAlone
		case ':':
			found = pairsAlone
			if strings.HasPrefix(rest, "://") {
				return someTraces
			}
		case '-':
			if i == 0 || strings.IndexByte(" \t\n\r\f", text[i-1]) >= 0 {
				return someTraces
			}
		default:
			if rest[0] >= utf8.RuneSelf || startsSecret(rest) {
				return someTraces
			}
		}
	}
	return found
}

// startsSecret tells whether text begins as one of the forms does that have a
// fixed beginning.
func startsSecret(text string) bool {
	const shortest = 3
	if len(text) < shortest {
		return false
	}
	switch text[:shortest] {
	case "eyJ", "ZXl", "LS0", "ghp", "gho", "ghu", "ghs", "ghr", "git", "glp", "xox", "PRI":
		return true
	}
	switch text[0] | ' ' { // lower case, of letters
	case 'b':
		return strings.EqualFold(text[:shortest], "bea") || strings.EqualFold(text[:shortest], "bas")
	case 'n':
		return strings.EqualFold(text[:shortest], "neg")
	case 'd':
		return strings.EqualFold(text[:shortest], "dig")
	default:
		return false
	}
}
