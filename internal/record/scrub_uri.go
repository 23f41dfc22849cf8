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
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i] = scrubEscaped(segment, url.PathUnescape, url.PathEscape, depth)
	}
	return strings.Join(segments, "/")
}

// scrubParameters scrubs what follows the path, delimiters included. Servers
// disagree on which of them separate, so all of them do.
func scrubParameters(query string, depth int) string {
	var out strings.Builder
	commands := 0
	for query != "" {
		end := strings.IndexAny(query[1:], "?&;#") + 1
		if end == 0 {
			end = len(query)
		}
		out.WriteByte(query[0])
		out.WriteString(scrubParameter(query[1:end], &commands, depth))
		query = query[end:]
	}
	return out.String()
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
		return name + "=" + scrubEscaped(value, url.QueryUnescape, url.QueryEscape, depth)
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
