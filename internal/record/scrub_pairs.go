package record

import (
	"strings"
	"unicode"
)

// scrubPairs redacts the values of secret names in name=value, name: value and
// "name":"value", escaped quotes included. It looks at each separator once: a
// pattern would try every way of nesting pairs, which takes a sender of
// "a=a=a=…" far.
func scrubPairs(text string) string {
	var out strings.Builder
	last := 0
	for i := 0; i < len(text); i++ {
		if text[i] != '=' && text[i] != ':' {
			continue
		}
		name := nameBefore(text[last:i])
		if !isSecretName(name) {
			continue
		}
		v := valueAfter(text, i)
		if !v.isSecret(name, text[i]) {
			continue
		}
		out.WriteString(text[last:v.start])
		out.WriteString(Redacted)
		last = v.end
		i = last - 1
	}
	if last == 0 {
		return text
	}
	out.WriteString(text[last:])
	return out.String()
}

// nameBefore returns the name that ends before a separator, without its quotes.
func nameBefore(text string) string {
	end := len(text)
	for end > 0 && isSpace(text[end-1]) {
		end--
	}
	for end > 0 && (text[end-1] == '\\' || text[end-1] == '"' || text[end-1] == '\'') {
		end--
	}
	start := end
	for start > 0 && isNameByte(text[start-1]) {
		start--
	}
	return text[start:end]
}

func isNameByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '.' || b == '-'
}

// pairValue is where the value of a pair lies, without its quotes.
type pairValue struct {
	text       string
	start, end int
	quoted     bool
	spaced     bool
}

func valueAfter(text string, separator int) pairValue {
	v := pairValue{start: separator + 1}
	for v.start < len(text) && strings.IndexByte(" \t\r\n", text[v.start]) >= 0 {
		v.start++
		v.spaced = true
	}
	rest := text[v.start:]
	switch {
	case strings.HasPrefix(rest, `\"`):
		v.quoted = true
		v.start += 2
		v.end = v.start + indexOrEnd(text[v.start:], `\"`)
	case strings.HasPrefix(rest, `"`), strings.HasPrefix(rest, `'`):
		v.quoted = true
		v.start++
		v.end = v.start + closingQuote(text[v.start:], rest[0])
	default:
		stop := `"'&`
		if text[separator] == ':' {
			stop = `"'&,;{}[]`
		}
		v.end = v.start + len(rest)
		if end := strings.IndexFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(stop, r) }); end >= 0 {
			v.end = v.start + end
		}
	}
	v.text = text[v.start:v.end]
	return v
}

func indexOrEnd(text, what string) int {
	if i := strings.Index(text, what); i >= 0 {
		return i
	}
	return len(text)
}

func closingQuote(text string, quote byte) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case quote:
			return i
		}
	}
	return len(text)
}

// isSecret tells whether the value of a secret name is one. After a colon it may
// be prose ("token: expired") or part of a name ("secret:reader"), unless it is
// quoted or looks like a secret.
func (v pairValue) isSecret(name string, separator byte) bool {
	switch {
	case v.text == "" || v.text == Redacted || isScheme(v.text):
		return false
	case separator == '=' || v.quoted || isPasswordName(name):
		return true
	case v.spaced:
		return looksSecret(v.text)
	default:
		const long = 16
		return len(v.text) >= long && looksSecret(v.text)
	}
}

// isScheme tells whether the value of an Authorization header is its scheme, so
// that what follows is the secret and was handled as such.
func isScheme(value string) bool {
	switch strings.ToLower(value) {
	case "bearer", "basic", "negotiate", "digest":
		return true
	default:
		return false
	}
}
