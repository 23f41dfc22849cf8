package record

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxExcerptBytes bounds an excerpt of something that could not be used.
	MaxExcerptBytes = 64 << 10
	// maxExcerptMember bounds one member in it.
	maxExcerptMember = 8 << 10
)

// Excerpt returns what may be kept of an event, or of the beginning of one,
// that could not be used: a JSON object of its members as far as they can be
// read, scrubbed, without bodies, in at most MaxExcerptBytes. What is no object
// becomes the member "value".
func Excerpt(raw []byte) []byte {
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if dec.PeekKind() != '{' {
		return joinDetails([]member{{name: "value", value: excerptText(raw)}})
	}
	if _, err := dec.ReadToken(); err != nil {
		return []byte(`{}`)
	}
	var members []member
	size := 0
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			break
		}
		m := member{name: clip(name.String())}
		value, err := dec.ReadValue()
		if err != nil {
			break
		}
		m.value = excerptMember(m.name, value)
		if size += m.size(); size > MaxExcerptBytes-len(`{}`) {
			break
		}
		members = append(members, m)
	}
	return joinDetails(members)
}

func excerptMember(name string, value jsontext.Value) jsontext.Value {
	if name == "requestObject" || name == "responseObject" || len(value) > maxExcerptMember {
		return quote("left out")
	}
	if value.Kind() == '"' {
		if text, err := jsontext.AppendUnquote(nil, value); err == nil {
			if name == "requestURI" {
				return quote(ScrubURI(string(text)))
			}
			return quote(scrubNamed(name, string(text), true))
		}
	}
	scrubbed, err := ScrubJSON(value, true)
	if err != nil {
		return quote("left out")
	}
	return scrubbed
}

func excerptText(raw []byte) jsontext.Value {
	if scrubbed, err := ScrubJSON(cutBytes(raw, maxExcerptMember), true); err == nil {
		return scrubbed
	}
	text, _ := cutKeyword(ScrubText(string(cutBytes(raw, maxExcerptMember))))
	return quote(text)
}
