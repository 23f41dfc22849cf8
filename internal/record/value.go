package record

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"auditquery.dev/auditquery/internal/query"
)

// MaxKeywordBytes is the length at which text that can be filtered is cut, in
// records and in queries alike. Elasticsearch indexes terms of up to 32,766
// bytes; a quarter of that leaves room for every encoding of them.
const MaxKeywordBytes = 8191

// Value returns the canonical text of a filterable field of r; false when the
// field is absent. Zero numbers and empty texts are absent.
func (f Field) Value(r Record) (string, bool) {
	switch p := f.Pointer(r).(type) {
	case *string:
		return *p, *p != ""
	case *int64:
		return strconv.FormatInt(*p, 10), *p != 0
	case *Timestamp:
		return p.String(), true
	case *ID:
		return p.String(), true
	default:
		return "", false
	}
}

// Canonical returns a query's value as stores hold it.
func (s *Schema) Canonical(name, value string) (string, error) {
	f, ok := s.fields[name]
	if !ok {
		return "", fmt.Errorf("there is no field %q", name)
	}
	switch f.Type {
	case query.Integer:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%q is not a whole number", clip(value))
		}
		return strconv.FormatInt(n, 10), nil
	case query.IP:
		addr, ok := parseIP(value)
		if !ok {
			return "", fmt.Errorf("%q is not an IP address", clip(value))
		}
		return addr, nil
	case query.Time:
		var t Timestamp
		if err := t.UnmarshalText([]byte(value)); err != nil {
			return "", err
		}
		return t.String(), nil
	case query.Keyword:
		if name == "id" {
			id, err := ParseID(value)
			return id.String(), err
		}
		cut, _ := cutKeyword(value)
		return cut, nil
	default:
		return "", fmt.Errorf("the field %q cannot be filtered", name)
	}
}

// parseIP returns the shortest form of an address: IPv4-mapped ones as IPv4,
// without a zone, which means something only on the host that wrote it.
func parseIP(text string) (string, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return "", false
	}
	return addr.Unmap().WithZone("").String(), true
}

// cutKeyword makes text valid UTF-8 and cuts it at MaxKeywordBytes; the bool
// tells whether something was cut off.
func cutKeyword(text string) (string, bool) {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	cut := cutAt(text, MaxKeywordBytes)
	return cut, len(cut) < len(text)
}
