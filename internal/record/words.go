package record

import (
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of free text.
const (
	// MaxWords is how many distinct words of a record can be searched.
	MaxWords = 64
	// MaxWordBytes is the length at which a word is cut.
	MaxWordBytes = 64
)

// Words returns the distinct words by which a text filter finds r, at most
// MaxWords: for an Audit those of its description, its target's name and its
// attributes' names; for an AuthAudit those of the names that it holds of
// organisations, application and event.
func Words(r Record) []string { return AppendWords(nil, r) }

// AppendWords is Words for callers that ask about many records: it writes over
// the list that it is given.
func AppendWords(words []string, r Record) []string {
	c := collector{words: words[:0]}
	switch r := r.(type) {
	case *Audit:
		c.add(r.Description)
		c.add(r.TargetResourceName)
		for _, a := range r.Attributes {
			c.add(a.Name)
		}
	case *AuthAudit:
		for _, text := range []string{r.EventName, r.ApplicationName, r.OrgName, r.LoginOrgName} {
			c.add(text)
		}
	}
	return c.words
}

// collector keeps the first MaxWords distinct words.
type collector struct{ words []string }

func (c *collector) add(text string) {
	if isASCII(text) { // nearly always
		c.addASCII(text)
		return
	}
	for word := range eachWord(text) {
		if !c.keep(word) {
			return
		}
	}
}

// keep adds a word that is not there yet; false means that there is no room.
func (c *collector) keep(word string) bool {
	if len(c.words) == MaxWords {
		return false
	}
	// There are few: a search is cheaper than a set.
	if !slices.Contains(c.words, word) {
		c.words = append(c.words, word)
	}
	return true
}

// wordBytes are the ASCII letters and digits, as separates has it.
var wordBytes = wordTable()

const (
	plainByte = 1
	upperByte = 2
)

func wordTable() (table [256]byte) {
	for b := range rune(utf8.RuneSelf) {
		switch {
		case separates(b):
		case b >= 'A' && b <= 'Z':
			table[b] = upperByte
		default:
			table[b] = plainByte
		}
	}
	return table
}

// addASCII adds what eachWord gives, byte by byte.
func (c *collector) addASCII(text string) {
	for at := 0; at < len(text); {
		start, upper := at, false
		for at < len(text) && wordBytes[text[at]] != 0 {
			upper = upper || wordBytes[text[at]] == upperByte
			at++
		}
		word := text[start:min(at, start+MaxWordBytes)]
		at++
		if upper {
			word = strings.ToLower(word)
		}
		if word != "" && !c.keep(word) {
			return
		}
	}
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// splitWords returns all the words of text, in order.
func splitWords(text string) []string { return slices.Collect(eachWord(text)) }

// eachWord cuts text into runs of letters and digits, in simple lower case, each
// at most MaxWordBytes long. Nothing is folded: é is not e.
func eachWord(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for word := range strings.FieldsFuncSeq(text, separates) {
			if !yield(cutAt(lower(word), MaxWordBytes)) {
				return
			}
		}
	}
}

func lower(word string) string {
	for i := range len(word) {
		if c := word[i]; c >= utf8.RuneSelf || (c >= 'A' && c <= 'Z') {
			return strings.Map(unicode.ToLower, word)
		}
	}
	return word // nearly always
}

func separates(r rune) bool {
	if r < utf8.RuneSelf { // nearly always
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && (r < 'A' || r > 'Z')
	}
	return !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// cutAt returns at most limit bytes of text, whole runes only.
func cutAt(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// clip shortens text that goes into an error message.
func clip(text string) string {
	const most = 64
	if len(text) <= most {
		return text
	}
	return cutAt(text, most) + "…"
}
