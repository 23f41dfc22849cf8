package query_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditquery.dev/auditquery/internal/query"
)

const kind query.Kind = "Thing"

// schema is a small record model: text is cut at 8 bytes.
type schema struct{ attributes bool }

func (schema) fields() map[string]query.FieldType {
	return map[string]query.FieldType{
		"user": query.Keyword, "org": query.Keyword, "ip": query.IP, "code": query.Integer, "time": query.Time,
	}
}

func (schema) Kind() query.Kind { return kind }

func (s schema) FieldType(name string) (query.FieldType, bool) {
	t, ok := s.fields()[name]
	return t, ok
}

func (s schema) FieldNames() []string { return slices.Sorted(maps.Keys(s.fields())) }

func (s schema) HasAttributes() bool { return s.attributes }

func (s schema) Canonical(name, value string) (string, error) {
	switch s.fields()[name] {
	case query.IP:
		address, err := netip.ParseAddr(value)
		if err != nil {
			return "", fmt.Errorf("%q is not an IP address", value)
		}
		return address.Unmap().String(), nil
	case query.Integer:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%q is not a whole number", value)
		}
		return strconv.FormatInt(n, 10), nil
	case query.Time:
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return "", fmt.Errorf("%q is not a time", value)
		}
		return t.UTC().Format("2006-01-02T15:04:05.000000Z"), nil
	default:
		return s.CanonicalText(value), nil
	}
}

func (schema) CanonicalText(value string) string { return value[:min(len(value), 8)] }

func (schema) Words(text string) []string { return strings.Fields(strings.ToLower(text)) }

// valid makes a query that passes, with changes.
func valid(changes ...func(*query.Query)) query.Query {
	q := query.Query{Kind: kind, Scope: query.All(), Limit: 10}
	for _, change := range changes {
		change(&q)
	}
	return q
}

func filtered(f query.Filter) query.Query {
	return valid(func(q *query.Query) { q.Filter = f })
}
