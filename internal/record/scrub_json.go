package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxScrubDepth is how deep JSON may nest to be scrubbed.
const maxScrubDepth = 200

// ErrTooDeep: a JSON value nests deeper than maxScrubDepth.
var ErrTooDeep = errors.New("JSON nests too deep")

// ScrubJSON replaces secrets in a JSON value: all of a Secret's data, members
// with a secret's name, last-applied annotations, environment variables and
// flags with a secret's name, and what ScrubText finds in any text. secret says
// that the value is, or is about, a Secret even where it does not say so itself,
// as in a patch. The answer is compact; its members keep their order. The error
// means that data is not one JSON value, or nests too deep.
func ScrubJSON(data []byte, secret bool) ([]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	root, err := readNode(dec, 0)
	if err != nil {
		return nil, fmt.Errorf("scrub JSON: %w", err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("scrub JSON: there is more than one value")
	}
	root.scrub(secret, 0)
	return root.append(make([]byte, 0, len(data))), nil
}

// node is a JSON value whose members keep their order.
type node struct {
	kind    jsontext.Kind
	text    string // a string's value, or a number's or literal's own text
	names   []string
	members []*node
}

func readNode(dec *jsontext.Decoder, depth int) (*node, error) {
	if depth > maxScrubDepth {
		return nil, ErrTooDeep
	}
	token, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	n := &node{kind: token.Kind()}
	if n.kind != '{' && n.kind != '[' {
		n.text = token.String()
		return n, nil
	}
	for dec.PeekKind() != '}' && dec.PeekKind() != ']' {
		if n.kind == '{' {
			name, err := dec.ReadToken()
			if err != nil {
				return nil, err
			}
			n.names = append(n.names, name.String())
		}
		member, err := readNode(dec, depth+1)
		if err != nil {
			return nil, err
		}
		n.members = append(n.members, member)
	}
	_, err = dec.ReadToken()
	return n, err
}

// scrub changes n in place. secret says that n is in a Secret; layers counts
// the JSON texts inside JSON texts.
func (n *node) scrub(secret bool, layers int) {
	switch n.kind {
	case '"':
		n.text = scrubEmbedded(n.text, secret, layers)
	case '[':
		n.scrubArray(secret, layers)
	case '{':
		n.scrubObject(secret, layers)
	}
}

func (n *node) scrubObject(secret bool, layers int) {
	kind := n.member("kind")
	secret = secret || kind == "Secret" || kind == "SecretList"
	// What value is the value of: a variable's name, or a JSON patch's path.
	of := n.member("name") + n.member("path")
	for i, member := range n.members {
		name := n.names[i]
		switch {
		case secret && (name == "data" || name == "stringData" || name == "value"):
			member.redact()
		case name == lastApplied, name == "value" && isSecretName(of):
			member.redact()
		case isSecretName(name):
			member.redactScalars(secret, layers)
		default:
			member.scrub(secret, layers)
		}
	}
}

// scrubArray also redacts the argument after a flag such as --password.
func (n *node) scrubArray(secret bool, layers int) {
	for i, member := range n.members {
		if i > 0 && member.kind == '"' && n.members[i-1].kind == '"' {
			flag := n.members[i-1].text
			if strings.HasPrefix(flag, "-") && !strings.ContainsAny(flag, "=: ") && isSecretName(flag) {
				member.redact()
				continue
			}
		}
		member.scrub(secret, layers)
	}
}

// redact replaces every text and number of n.
func (n *node) redact() {
	switch n.kind {
	case '"', '0':
		n.kind, n.text = '"', Redacted
	case '{', '[':
		for _, member := range n.members {
			member.redact()
		}
	}
}

// redactScalars redacts n unless it is an object: `secret: {secretName: x}`
// names a secret and holds none.
func (n *node) redactScalars(secret bool, layers int) {
	switch n.kind {
	case '{':
		n.scrub(secret, layers)
	case '[':
		for _, member := range n.members {
			member.redactScalars(secret, layers)
		}
	case '"':
		if n.text != "" {
			n.text = Redacted
		}
	default:
		n.redact()
	}
}

// scrubEmbedded scrubs text, as JSON if it is a JSON object or array.
func scrubEmbedded(text string, secret bool, layers int) string {
	trimmed := strings.TrimSpace(text)
	if layers < maxURINesting && (strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[")) {
		dec := jsontext.NewDecoder(strings.NewReader(trimmed), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		if inner, err := readNode(dec, 0); err == nil && dec.InputOffset() == int64(len(trimmed)) {
			before := string(inner.append(nil))
			inner.scrub(secret, layers+1)
			if after := string(inner.append(nil)); after != before {
				return after
			}
			return text
		}
	}
	return ScrubText(text)
}

// member returns the text of a member, empty when n has no such text.
func (n *node) member(name string) string {
	if i := slices.Index(n.names, name); i >= 0 && n.members[i].kind == '"' {
		return n.members[i].text
	}
	return ""
}

func (n *node) append(out []byte) []byte {
	switch n.kind {
	case '"':
		return append(out, quote(n.text)...)
	case '{', '[':
		out = append(out, byte(n.kind))
		for i, member := range n.members {
			if i > 0 {
				out = append(out, ',')
			}
			if n.kind == '{' {
				out = append(append(out, quote(n.names[i])...), ':')
			}
			out = member.append(out)
		}
		return append(out, byte(n.kind)+2) // in ASCII, } is two after {, ] two after [
	default:
		return append(out, n.text...)
	}
}
