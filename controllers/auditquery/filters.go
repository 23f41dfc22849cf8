package auditquery

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// FieldError is a filter of a spec that cannot be run.
type FieldError struct {
	// Path is the field's place in the object, such as "spec.audits.sourceIP".
	Path string
	// Message says what is wrong and what is accepted.
	Message string
}

func (e *FieldError) Error() string { return e.Path + ": " + e.Message }

// question is a spec's kind of record and filter.
type question struct {
	kind   record.Kind
	filter query.Filter
}

// translate turns a spec's filters into a filter tree; a nil filter means every
// record. The error is a *FieldError.
func translate(spec *v1alpha1.AuditQuerySpec, schemas map[record.Kind]*record.Schema) (question, error) {
	var q question
	var err error
	switch {
	case (spec.Audits != nil) == (spec.AuthAudits != nil):
		return q, &FieldError{Path: "spec", Message: "give exactly one of audits and authAudits"}
	case spec.Audits != nil:
		q.kind = record.KindAudit
		q.filter, err = translateFilters("spec.audits", reflect.ValueOf(*spec.Audits), schemas[q.kind])
	default:
		q.kind = record.KindAuthAudit
		q.filter, err = translateFilters("spec.authAudits", reflect.ValueOf(*spec.AuthAudits), schemas[q.kind])
	}
	return q, err
}

// translateFilters walks the fields of a filters struct, so that a field that is
// added to the API either has a meaning here or is an error, and is never ignored.
func translateFilters(path string, filters reflect.Value, schema *record.Schema) (query.Filter, error) {
	t := translator{schema: schema, fields: storedNames(schema.Kind())}
	for i := range filters.NumField() {
		name, _, _ := strings.Cut(filters.Type().Field(i).Tag.Get("json"), ",")
		if err := t.add(path+"."+name, name, filters.Field(i).Interface()); err != nil {
			return nil, err
		}
	}
	if t.hasAttribute {
		t.filters = append(t.filters, t.attribute)
	}
	switch len(t.filters) {
	case 0:
		return nil, nil
	case 1:
		return t.filters[0], nil
	default:
		return t.filters, nil
	}
}

// storedNames maps the camelCase name of each filterable field to its stored one.
// The original API calls the field session `session_id` where it filters on it.
func storedNames(kind record.Kind) map[string]string {
	names := map[string]string{}
	for _, f := range record.Fields(kind) {
		if f.Filterable() {
			names[f.CamelName] = f.Name
		}
	}
	names["sessionID"] = names["session"]
	delete(names, "session")
	return names
}

type translator struct {
	schema       *record.Schema
	fields       map[string]string
	filters      query.And
	attribute    query.Attribute
	hasAttribute bool
}

func (t *translator) add(path, name string, value any) error {
	switch value := value.(type) {
	case v1alpha1.Values:
		if value.IsZero() {
			return nil
		}
		return t.values(path, name, value.Strings())
	case []string:
		if len(value) == 0 {
			return nil
		}
		if name != "excludeActorTypes" {
			return unknown(path)
		}
		return t.leaf(path, query.Not{Filter: query.AnyOf{Field: "actor_type", Values: value}})
	case string:
		if value == "" {
			return nil
		}
		if name != "text" {
			return unknown(path)
		}
		return t.leaf(path, query.Text{Words: []string{value}})
	default:
		return unknown(path)
	}
}

func unknown(path string) error {
	return &FieldError{Path: path, Message: "this version cannot run this filter"}
}

func (t *translator) values(path, name string, values []string) error {
	switch name {
	case "attributeType":
		return t.attributePart(path, &t.attribute.Type, query.Attribute{Type: values}, values)
	case "attributeID":
		return t.attributePart(path, &t.attribute.ID, query.Attribute{ID: values}, values)
	case "attributeOrgID":
		return t.attributePart(path, &t.attribute.OrgID, query.Attribute{OrgID: values}, values)
	case "attributeName":
		return t.attributePart(path, &t.attribute.Name, query.Attribute{Name: values}, values)
	}
	field, ok := t.fields[name]
	if !ok {
		return unknown(path)
	}
	if kind, _ := t.schema.FieldType(field); kind == query.IP {
		filter, err := addresses(field, values)
		if err != nil {
			return &FieldError{Path: path, Message: err.Error()}
		}
		return t.leaf(path, filter)
	}
	return t.leaf(path, query.AnyOf{Field: field, Values: values})
}

// leaf checks one filter by itself, so that what is wrong with it is told under
// its own path.
func (t *translator) leaf(path string, filter query.Filter) error {
	canonical, err := t.validate(path, filter)
	if err != nil {
		return err
	}
	t.filters = append(t.filters, canonical)
	return nil
}

func (t *translator) validate(path string, filter query.Filter) (query.Filter, error) {
	q, err := query.Validate(query.Query{Kind: t.schema.Kind(), Scope: query.All(), Limit: 1, Filter: filter}, t.schema)
	if err != nil {
		return nil, &FieldError{Path: path, Message: queryMessage(err)}
	}
	return q.Filter, nil
}

// attributePart keeps a part of the one attribute that all attribute filters are
// about.
func (t *translator) attributePart(path string, part *[]string, alone query.Attribute, values []string) error {
	if len(values) == 0 {
		return &FieldError{Path: path, Message: "a list of values must hold at least one"}
	}
	if _, err := t.validate(path, alone); err != nil {
		return err
	}
	*part = values
	t.hasAttribute = true
	return nil
}

// addresses is any of the given addresses and CIDR blocks.
func addresses(field string, values []string) (query.Filter, error) {
	var single []string
	var blocks query.Or
	for _, v := range values {
		if !strings.Contains(v, "/") {
			if _, err := netip.ParseAddr(v); err != nil {
				return nil, fmt.Errorf("%q is neither an IP address nor a CIDR block such as 10.0.0.0/8", shorten(v))
			}
			single = append(single, v)
			continue
		}
		block, err := netip.ParsePrefix(v)
		if err != nil {
			return nil, fmt.Errorf("%q is not a CIDR block; write it as 10.0.0.0/8 or 2001:db8::/32", shorten(v))
		}
		blocks = append(blocks, query.CIDR{Field: field, Net: block})
	}
	if len(single) > 0 {
		blocks = append(blocks, query.AnyOf{Field: field, Values: single})
	}
	switch len(blocks) {
	case 0:
		return query.AnyOf{Field: field}, nil
	case 1:
		return blocks[0], nil
	default:
		return blocks, nil
	}
}

// queryMessage is what a query.Error says without its path, which names stored
// fields and not those of the spec.
func queryMessage(err error) string {
	var e *query.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}
