package record

import (
	"net/url"
	"strings"
)

// commandParameter is how exec carries its command line: one parameter a word.
const commandParameter = "command"

// ScrubURI replaces secrets in a URI, absolute or not: in its user info, its
// path, its query and its fragment, escaped or not, and in URIs inside it. Of an
// exec command only the program is kept, since any argument may be a password.
// What is harmless comes back byte by byte.
func ScrubURI(uri string) string {
	return settle(uri, func(uri string) string { return scrubURIOnce(uri, 0) })
}

// maxURINesting is how many layers of escaping are looked through.
const maxURINesting = 3

func scrubURIOnce(uri string, depth int) string {
	path, query := uri, ""
	if i := strings.IndexAny(uri, "?#"); i >= 0 {
		path, query = uri[:i], uri[i:]
	}
	if strings.Contains(path, "://") {
		path = replaceParts(userInfoPattern, path, scrubUserInfo)
	}
	return scrubPath(path, depth) + scrubParameters(query, depth)
}

func scrubPath(path string, depth int) string {
	var out replacer
	for start := 0; start <= len(path); {
		end := start + indexOrEnd(path[start:], "/")
		out.replace(path, start, end, scrubEscaped(path[start:end], url.PathUnescape, url.PathEscape, depth))
		start = end + 1
	}
	return out.rest(path)
}

// scrubParameters scrubs what follows the path, delimiters included. Servers
// disagree on which of them separate, so all of them do.
func scrubParameters(query string, depth int) string {
	var out replacer
	commands := 0
	for start := 0; start < len(query); {
		start++ // the delimiter
		end := len(query)
		if length := strings.IndexAny(query[start:], "?&;#"); length >= 0 {
			end = start + length
		}
		out.replace(query, start, end, scrubParameter(query[start:end], &commands, depth))
		start = end
	}
	return out.rest(query)
}

// replacer replaces parts of a text, in order, and copies nothing until one of
// them differs.
type replacer struct {
	out    strings.Builder
	copied int
}

func (r *replacer) replace(text string, start, end int, with string) {
	if text[start:end] == with {
		return
	}
	r.out.WriteString(text[r.copied:start])
	r.out.WriteString(with)
	r.copied = end
}

// rest returns the text with what was replaced.
func (r *replacer) rest(text string) string {
	if r.copied == 0 {
		return text
	}
	r.out.WriteString(text[r.copied:])
	return r.out.String()
}

func scrubParameter(parameter string, commands *int, depth int) string {
	name, value, found := strings.Cut(parameter, "=")
	if !found {
		return scrubEscaped(parameter, url.QueryUnescape, url.QueryEscape, depth)
	}
	switch plain := unescapeAll(name); {
	case strings.EqualFold(plain, commandParameter):
		*commands++
		if *commands > 1 {
			return name + "=" + Redacted
		}
		return name + "=" + scrubProgram(value)
	case isSecretName(plain):
		if value == "" {
			return parameter
		}
		return name + "=" + Redacted
	default:
		scrubbed := scrubEscaped(value, url.QueryUnescape, url.QueryEscape, depth)
		if scrubbed == value {
			return parameter
		}
		return name + "=" + scrubbed
	}
}

// scrubProgram keeps the first word of a command.
func scrubProgram(value string) string {
	plain, err := url.QueryUnescape(value)
	if err != nil {
		return Redacted
	}
	program, arguments, _ := strings.Cut(strings.TrimSpace(plain), " ")
	scrubbed := ScrubText(program)
	switch {
	case arguments != "" && arguments != Redacted:
		return url.QueryEscape(scrubbed + " " + Redacted)
	case scrubbed != program:
		return url.QueryEscape(scrubbed)
	default:
		return value
	}
}

// scrubEscaped scrubs the text that part stands for, and returns part itself if
// that was harmless.
func scrubEscaped(part string, unescape func(string) (string, error), escape func(string) string, depth int) string {
	plain, err := unescape(part)
	if err != nil {
		return ScrubText(part)
	}
	scrubbed := ScrubText(plain)
	if depth < maxURINesting && plain != part && strings.ContainsAny(plain, "%?&=#") {
		scrubbed = scrubURIOnce(scrubbed, depth+1)
	}
	if scrubbed == plain {
		return part
	}
	return escape(scrubbed)
}

// unescapeAll removes every layer of escaping from a parameter's name.
func unescapeAll(name string) string {
	for range maxURINesting {
		plain, err := url.QueryUnescape(name)
		if err != nil || plain == name {
			return name
		}
		name = plain
	}
	return name
}
