package elasticsearch

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

const (
	// maxTerms is how many values one terms clause takes.
	maxTerms = 65_536
	// maxIndexedBytes is the longest text that an inverted index compares
	// with; Elasticsearch refuses over 1,000.
	maxIndexedBytes = 900
	// The code points that UTF-8 has not.
	surrogates      = 0xD800
	afterSurrogates = 0xE000

	fieldID         = "id"
	fieldTime       = "time"
	fieldWords      = "words"
	fieldIDHigh     = "id_high"
	fieldIDLow      = "id_low"
	fieldAttributes = "audit_attributes"
)

// translate turns a validated filter into a clause: a pure function.
func translate(schema query.Schema, filter query.Filter) (clause, error) {
	return translator{schema: schema}.filter(filter)
}

type translator struct{ schema query.Schema }

func (t translator) filter(f query.Filter) (clause, error) {
	switch f := f.(type) {
	case query.And:
		return t.and(f)
	case query.Or:
		return t.or(f)
	case query.Not:
		inner, err := t.filter(f.Filter)
		return allOf{noneOf: []clause{inner}}, err
	case query.Equal:
		return t.values(f.Field, []string{f.Value})
	case query.AnyOf:
		return t.values(f.Field, f.Values)
	case query.Prefix:
		if f.Field == fieldID {
			return idPrefix(f.Value)
		}
		return startsWith(f.Field, f.Value), nil
	case query.Exists:
		if f.Field == fieldID {
			return everything{}, nil
		}
		return exists{field: f.Field}, nil
	case query.Range:
		return t.between(f)
	case query.CIDR:
		return cidr(f), nil
	case query.Text:
		return words(f), nil
	case query.Attribute:
		return attribute(f), nil
	default:
		return nil, fmt.Errorf("%T is not a filter that this store knows", f)
	}
}

func (t translator) and(f query.And) (clause, error) {
	if len(f) == 0 {
		return everything{}, nil
	}
	filter, err := t.children(f)
	return allOf{filter: filter}, err
}

func (t translator) or(f query.Or) (clause, error) {
	if len(f) == 0 {
		return nothing{}, nil
	}
	children, err := t.children(f)
	return anyOf(children), err
}

func (t translator) children(filters []query.Filter) ([]clause, error) {
	clauses := make([]clause, 0, len(filters))
	for _, f := range filters {
		c, err := t.filter(f)
		if err != nil {
			return nil, err
		}
		clauses = append(clauses, c)
	}
	return clauses, nil
}

func (t translator) values(field string, values []string) (clause, error) {
	if field == fieldID {
		return ids(values), nil
	}
	fieldType, ok := t.schema.FieldType(field)
	if !ok {
		return nil, fmt.Errorf("there is no field %q", field)
	}
	if fieldType != query.Time {
		return oneOf(field, values), nil
	}
	// A term on a date is a range that rounds; say the range ourselves.
	moments := make([]clause, 0, len(values))
	for _, v := range values {
		moments = append(moments, between{field: field, gte: v, lte: v})
	}
	if len(moments) == 1 {
		return moments[0], nil
	}
	return anyOf(moments), nil
}

// oneOf is equality with one of any number of values.
func oneOf(field string, values []string) clause {
	if len(values) == 1 {
		return term{field: field, value: values[0]}
	}
	var parts []clause
	for ; len(values) > maxTerms; values = values[maxTerms:] {
		parts = append(parts, terms{field: field, values: values[:maxTerms]})
	}
	last := terms{field: field, values: values}
	if len(parts) == 0 {
		return last
	}
	return anyOf(append(parts, last))
}

func (t translator) between(f query.Range) (clause, error) {
	if f.Field != fieldID {
		field := f.Field
		if len(f.Min) > maxIndexedBytes || len(f.Max) > maxIndexedBytes {
			field = ordered(field)
		}
		return between{field: field, gte: f.Min, lt: f.Max}, nil
	}
	var parts []clause
	if f.Min != "" {
		from, err := record.ParseID(f.Min)
		if err != nil {
			return nil, err
		}
		parts = append(parts, idFrom(from))
	}
	if f.Max != "" {
		to, err := record.ParseID(f.Max)
		if err != nil {
			return nil, err
		}
		parts = append(parts, idBelow(to))
	}
	return allOf{filter: parts}, nil
}

// ordered is the form of a keyword that takes bounds of any length.
func ordered(field string) string { return field + "." + subfieldOrder }

// startsWith finds what may start with a long prefix by its beginning, and then
// compares the whole of it.
func startsWith(field, value string) clause {
	if len(value) <= maxIndexedBytes {
		return prefix{field: field, value: value}
	}
	end := maxIndexedBytes
	for !utf8.RuneStart(value[end]) {
		end--
	}
	return allOf{filter: []clause{
		prefix{field: field, value: value[:end]},
		between{field: ordered(field), gte: value, lt: afterPrefix(value)},
	}}
}

// afterPrefix returns the first text behind all that start with prefix; empty if
// there is none. The order of UTF-8 bytes is that of code points.
func afterPrefix(prefix string) string {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch last {
		case utf8.MaxRune:
			continue
		case surrogates - 1:
			return prefix + string(rune(afterSurrogates))
		}
		return prefix + string(last+1)
	}
	return ""
}

// idFrom and idBelow compare ids by their halves, the only form in which they
// are ordered in the index: ids themselves are not a field.
func idFrom(id record.ID) clause {
	high, low := id.Halves()
	return anyOf{
		between{field: fieldIDHigh, gt: integer(high)},
		allOf{filter: []clause{
			term{field: fieldIDHigh, value: integer(high)},
			between{field: fieldIDLow, gte: integer(low)},
		}},
	}
}

func idBelow(id record.ID) clause {
	high, low := id.Halves()
	return anyOf{
		between{field: fieldIDHigh, lt: integer(high)},
		allOf{filter: []clause{
			term{field: fieldIDHigh, value: integer(high)},
			between{field: fieldIDLow, lt: integer(low)},
		}},
	}
}

// idPrefix holds for the ids that begin with some hex digits.
func idPrefix(digits string) (clause, error) {
	missing := 2*len(record.ID{}) - len(digits)
	if missing == 0 {
		return ids{digits}, nil
	}
	if missing < 0 {
		return nothing{}, nil
	}
	first, err := record.ParseID(digits + strings.Repeat("0", missing))
	if err != nil {
		return nil, err
	}
	last, err := record.ParseID(digits + strings.Repeat("f", missing))
	if err != nil {
		return nil, err
	}
	return allOf{filter: []clause{idFrom(first)}, noneOf: []clause{allOf{filter: []clause{idFrom(last)},
		noneOf: []clause{ids{last.String()}}}}}, nil
}

func integer(n int64) string { return strconv.FormatInt(n, 10) }

// cidr never finds IPv4 addresses in an IPv6 network: Elasticsearch keeps them
// as ::ffff:a.b.c.d, but to us they are addresses of another family.
func cidr(f query.CIDR) clause {
	inside := term{field: f.Field, value: f.Net.String()}
	mapped := netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff})
	if f.Net.Addr().Is4() || !f.Net.Contains(mapped) {
		return inside
	}
	return allOf{filter: []clause{inside}, noneOf: []clause{term{field: f.Field, value: "0.0.0.0/0"}}}
}

func words(f query.Text) clause {
	all := make([]clause, 0, len(f.Words))
	for _, word := range f.Words {
		all = append(all, term{field: fieldWords, value: word})
	}
	return allOf{filter: all}
}

func attribute(f query.Attribute) clause {
	var parts []clause
	for _, part := range [...]struct {
		name   string
		values []string
	}{
		{"attribute_type", f.Type}, {"attribute_id", f.ID}, {"attribute_org_id", f.OrgID}, {"attribute_name", f.Name},
	} {
		if len(part.values) > 0 {
			parts = append(parts, oneOf(fieldAttributes+"."+part.name, part.values))
		}
	}
	return nested{path: fieldAttributes, query: allOf{filter: parts}}
}
