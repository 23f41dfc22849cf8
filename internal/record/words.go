package record

import (
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
func Words(r Record) []string {
	var texts []string
	switch r := r.(type) {
	case *Audit:
		texts = append(texts, r.Description, r.TargetResourceName)
		for _, a := range r.Attributes {
			texts = append(texts, a.Name)
		}
	case *AuthAudit:
		texts = append(texts, r.EventName, r.ApplicationName, r.OrgName, r.LoginOrgName)
	}
	var words []string
	seen := map[string]bool{}
	for _, text := range texts {
		for _, w := range splitWords(text) {
			if seen[w] {
				continue
			}
			if len(words) == MaxWords {
				return words
			}
			seen[w] = true
			words = append(words, w)
		}
	}
	return words
}

// splitWords cuts text into runs of letters and digits, in simple lower case,
// each at most MaxWordBytes long. Nothing is folded: é is not e.
func splitWords(text string) []string {
	var words []string
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		words = append(words, cutAt(strings.Map(unicode.ToLower, word), MaxWordBytes))
	}
	return words
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
