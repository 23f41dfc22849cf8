package query

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Bounds of one filter tree.
const (
	// MaxDepth is how deep filters may nest.
	MaxDepth = 16
	// MaxNodes is how many filters one tree may hold.
	MaxNodes = 1024
	// MaxValues is how many values one any-of may hold.
	MaxValues = 1024
	// MaxWords is how many words a text filter may ask for: records keep no
	// more than that.
	MaxWords = 64
)

// Error is a query that cannot be asked. Path says where in it.
type Error struct {
	// Path names the place, such as "limit", "user_id" or "not.attribute".
	Path string
	// Message says what is wrong and what is accepted.
	Message string
}

func (e *Error) Error() string { return e.Path + ": " + e.Message }

func invalid(path, format string, args ...any) error {
	return &Error{Path: path, Message: fmt.Sprintf(format, args...)}
}

// Validate checks q against schema and returns its canonical form: bounds
// clamped, values written as stores hold them, single-valued any-of's as Equal,
// and equality with an instant that no store can hold as an empty Or.
// The error is an *Error that names the first thing wrong.
//
// The scope's own filter is canonicalised but not bounded: a namespace may own
// more org ids than a user may list.
func Validate(q Query, schema Schema) (Query, error) {
	if q.Kind != schema.Kind() {
		return Query{}, invalid("kind", "%q is not the kind of this schema, %q", q.Kind, schema.Kind())
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		return Query{}, invalid("limit", "%d is not between 1 and %d", q.Limit, MaxLimit)
	}
	var err error
	if q.From, q.To, err = window(q.From, q.To); err != nil {
		return Query{}, err
	}
	if q.Scope, err = scope(q.Scope, schema); err != nil {
		return Query{}, err
	}
	if q.Filter != nil {
		c := canonicaliser{schema: schema, bounded: true}
		if q.Filter, err = c.filter(q.Filter, "", 1); err != nil {
			return Query{}, err
		}
	}
	return q, nil
}

func scope(s Scope, schema Schema) (Scope, error) {
	switch {
	case s.Name == "":
		return s, invalid("scope", "no scope was resolved for this request")
	case s.Restrict == nil && s.Name != AllScope:
		return s, invalid("scope", "the scope %q restricts nothing", s.Name)
	case s.Restrict == nil:
		return s, nil
	}
	c := canonicaliser{schema: schema}
	restrict, err := c.filter(s.Restrict, "scope", 1)
	s.Restrict = restrict
	return s, err
}

// canonicaliser walks one tree. Unbounded ones still end: a tree is finite.
type canonicaliser struct {
	schema  Schema
	bounded bool
	nodes   int
}

func (c *canonicaliser) filter(f Filter, path string, depth int) (Filter, error) {
	c.nodes++
	if c.bounded && depth > MaxDepth {
		return nil, invalid(at(path, "filter"), "filters nest deeper than %d", MaxDepth)
	}
	if c.bounded && c.nodes > MaxNodes {
		return nil, invalid(at(path, "filter"), "more than %d filters in one query", MaxNodes)
	}
	switch f := f.(type) {
	case And:
		children, err := c.children(f, at(path, "and"), depth)
		return And(children), err
	case Or:
		children, err := c.children(f, at(path, "or"), depth)
		return Or(children), err
	case Not:
		inner, err := c.filter(f.Filter, at(path, "not"), depth+1)
		return Not{Filter: inner}, err
	case nil:
		return nil, invalid(at(path, "filter"), "a filter is missing")
	default:
		return c.leaf(f, path)
	}
}

func (c *canonicaliser) children(filters []Filter, path string, depth int) ([]Filter, error) {
	out := make([]Filter, 0, len(filters))
	for i, f := range filters {
		child, err := c.filter(f, path+"["+strconv.Itoa(i)+"]", depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, child)
	}
	return out, nil
}

func (c *canonicaliser) leaf(f Filter, path string) (Filter, error) {
	switch f := f.(type) {
	case Equal:
		return c.anyOf(AnyOf{Field: f.Field, Values: []string{f.Value}}, at(path, f.Field))
	case AnyOf:
		return c.anyOf(f, at(path, f.Field))
	case Prefix:
		return c.prefix(f, at(path, f.Field))
	case Exists:
		_, err := c.fieldType(f.Field, at(path, f.Field))
		return f, err
	case Range:
		return c.between(f, at(path, f.Field))
	case CIDR:
		return c.cidr(f, at(path, f.Field))
	case Text:
		return c.text(f, at(path, "text"))
	case Attribute:
		return c.attribute(f, at(path, "attribute"))
	default:
		return nil, invalid(at(path, "filter"), "%T is not a filter that stores know", f)
	}
}

func (c *canonicaliser) fieldType(field, path string) (FieldType, error) {
	t, ok := c.schema.FieldType(field)
	if !ok {
		return 0, invalid(path, "%s records have no field %q to filter on; there are %s",
			c.schema.Kind(), field, strings.Join(c.schema.FieldNames(), ", "))
	}
	return t, nil
}

func (c *canonicaliser) value(field, value, path string) (string, error) {
	if _, err := c.fieldType(field, path); err != nil {
		return "", err
	}
	if value == "" {
		return "", invalid(path, "an empty value matches nothing; ask for the absence of the field instead")
	}
	canonical, err := c.schema.Canonical(field, value)
	if err != nil {
		return "", invalid(path, "%s", err)
	}
	return canonical, nil
}

func (c *canonicaliser) anyOf(f AnyOf, path string) (Filter, error) {
	if len(f.Values) == 0 {
		return nil, invalid(path, "a list of values must hold at least one")
	}
	if c.bounded && len(f.Values) > MaxValues {
		return nil, invalid(path, "%d values are more than %d", len(f.Values), MaxValues)
	}
	t, err := c.fieldType(f.Field, path)
	if err != nil {
		return nil, err
	}
	values := make([]string, 0, len(f.Values))
	for _, v := range f.Values {
		value, err := c.value(f.Field, v, path)
		if err != nil {
			return nil, err
		}
		if t == Time && !storable(v) {
			continue
		}
		values = append(values, value)
	}
	slices.Sort(values)
	values = slices.Compact(values)
	if len(values) == 0 {
		return Or{}, nil
	}
	if len(values) == 1 {
		return Equal{Field: f.Field, Value: values[0]}, nil
	}
	return AnyOf{Field: f.Field, Values: values}, nil
}

func (c *canonicaliser) prefix(f Prefix, path string) (Filter, error) {
	t, err := c.fieldType(f.Field, path)
	if err != nil {
		return nil, err
	}
	if t != Keyword {
		return nil, invalid(path, "only text has a prefix; this field is of type %s", t)
	}
	value, err := c.value(f.Field, f.Value, path)
	return Prefix{Field: f.Field, Value: value}, err
}

func (c *canonicaliser) between(f Range, path string) (Filter, error) {
	t, err := c.fieldType(f.Field, path)
	switch {
	case err != nil:
		return nil, err
	case t == IP:
		return nil, invalid(path, "a range of addresses is written as a CIDR such as 10.0.0.0/8")
	case f.Min == "" && f.Max == "":
		return nil, invalid(path, "a range needs a lower or an upper bound")
	}
	out := Range{Field: f.Field}
	if out.Min, err = c.bound(f.Field, f.Min, t, path); err != nil {
		return nil, err
	}
	if out.Max, err = c.bound(f.Field, f.Max, t, path); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *canonicaliser) cidr(f CIDR, path string) (Filter, error) {
	t, err := c.fieldType(f.Field, path)
	switch {
	case err != nil:
		return nil, err
	case t != IP:
		return nil, invalid(path, "only addresses have a CIDR; this field is of type %s", t)
	case !f.Net.IsValid():
		return nil, invalid(path, "the CIDR is not valid; write it as 10.0.0.0/8 or 2001:db8::/32")
	}
	return CIDR{Field: f.Field, Net: unmapped(f.Net).Masked()}, nil
}

// unmapped turns a prefix of IPv4-mapped addresses into the IPv4 prefix that
// records of such addresses are stored under.
func unmapped(p netip.Prefix) netip.Prefix {
	const mappedBits = 96
	if p.Addr().Is4In6() && p.Bits() >= mappedBits {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	return p
}

func (c *canonicaliser) text(f Text, path string) (Filter, error) {
	var words []string
	for _, w := range f.Words {
		words = append(words, c.schema.Words(w)...)
	}
	slices.Sort(words)
	words = slices.Compact(words)
	if len(words) == 0 {
		return nil, invalid(path, "the text holds no letter or digit to look for")
	}
	if len(words) > MaxWords {
		return nil, invalid(path, "%d words are more than %d, the most that a record keeps", len(words), MaxWords)
	}
	return Text{Words: words}, nil
}

func (c *canonicaliser) attribute(f Attribute, path string) (Filter, error) {
	if !c.schema.HasAttributes() {
		return nil, invalid(path, "%s records have no attributes", c.schema.Kind())
	}
	if len(f.Type)+len(f.ID)+len(f.OrgID)+len(f.Name) == 0 {
		return nil, invalid(path, "an attribute filter needs a type, an id, an org id or a name")
	}
	var err error
	canonical := func(part string, in []string) []string {
		out, e := c.attributePart(in, at(path, part))
		err = errors.Join(err, e)
		return out
	}
	out := Attribute{
		Type:  canonical("attribute_type", f.Type),
		ID:    canonical("attribute_id", f.ID),
		OrgID: canonical("attribute_org_id", f.OrgID),
		Name:  canonical("attribute_name", f.Name),
	}
	return out, err
}

func (c *canonicaliser) attributePart(values []string, path string) ([]string, error) {
	if c.bounded && len(values) > MaxValues {
		return nil, invalid(path, "%d values are more than %d", len(values), MaxValues)
	}
	var out []string
	for _, v := range values {
		if v == "" {
			return nil, invalid(path, "an empty value matches nothing")
		}
		out = append(out, c.schema.CanonicalText(v))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func at(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
