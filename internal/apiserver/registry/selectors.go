package registry

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/selection"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/timeexpr"
)

// The field labels that are no fields of a record.
const (
	labelName      = "metadata.name"
	labelNamespace = "metadata.namespace"
	labelFrom      = "from"
	labelTo        = "to"
	labelText      = "text"
)

// fieldSet is what a field selector of a kind can name.
type fieldSet struct {
	// stored maps a served name to the field.
	stored map[string]record.Field
	// known lists every label, sorted.
	known []string
}

func newFieldSet(kind record.Kind) fieldSet {
	set := fieldSet{
		stored: map[string]record.Field{},
		known:  []string{labelName, labelNamespace, labelFrom, labelTo, labelText},
	}
	for _, f := range record.Fields(kind) {
		if f.Filterable() {
			set.stored[f.CamelName] = f
			set.known = append(set.known, f.CamelName)
		}
	}
	slices.Sort(set.known)
	return set
}

// FieldLabels lists what a field selector on a kind can name, sorted.
func FieldLabels(kind record.Kind) []string { return newFieldSet(kind).known }

// selected is what the selectors of a list ask for.
type selected struct {
	from, to time.Time
	// namespace is what metadata.namespace asks for; hasNamespace tells whether
	// it was asked.
	namespace    string
	hasNamespace bool
	filters      query.And
}

func (s *selected) filter() query.Filter {
	switch len(s.filters) {
	case 0:
		return nil
	case 1:
		return s.filters[0]
	default:
		return s.filters
	}
}

// selectFields reads a field selector; now is what its time expressions are
// resolved against. Errors name the field and are for the client.
func (s *storage) selectFields(selector fields.Selector, now time.Time) (*selected, error) {
	out := &selected{}
	if selector == nil {
		return out, nil
	}
	ends := map[string]string{}
	for _, r := range selector.Requirements() {
		var err error
		switch r.Field {
		case labelFrom, labelTo:
			err = windowEnd(ends, r)
		case labelNamespace:
			err = out.inNamespace(r)
		default:
			err = s.selectRecords(out, r)
		}
		if err != nil {
			return nil, badRequest("field selector: " + err.Error())
		}
	}
	window, err := timeexpr.ParseWindow(ends[labelFrom], ends[labelTo], now)
	if err != nil {
		return nil, badRequest("field selector: " + err.Error())
	}
	out.from, out.to = window.From, window.To
	return out, nil
}

func windowEnd(ends map[string]string, r fields.Requirement) error {
	if r.Operator != selection.Equals {
		return fmt.Errorf("%s is one end of the time window and takes = only", r.Field)
	}
	if _, twice := ends[r.Field]; twice {
		return fmt.Errorf("%s is given twice", r.Field)
	}
	if r.Value == "" {
		return fmt.Errorf("%s is empty; accepted: %s", r.Field, timeexpr.AcceptedForms)
	}
	ends[r.Field] = r.Value
	return nil
}

// inNamespace narrows a list of all namespaces. Its complement would be computed
// from who owns what now, and go stale while the list is read.
func (s *selected) inNamespace(r fields.Requirement) error {
	switch {
	case r.Operator != selection.Equals:
		return fmt.Errorf("%s takes = only", r.Field)
	case r.Value == "":
		return fmt.Errorf("%s is empty; every record is in a namespace", r.Field)
	case s.hasNamespace && s.namespace != r.Value:
		s.filters = append(s.filters, query.Or{}) // in two namespaces at once: nothing
		return nil
	}
	s.namespace, s.hasNamespace = r.Value, true
	return nil
}

// selectRecords adds what is asked of the records themselves.
func (s *storage) selectRecords(out *selected, r fields.Requirement) error {
	filter, err := s.filterOf(r)
	if err != nil {
		return err
	}
	canonical, err := s.canonical(filter)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Field, err)
	}
	if r.Operator == selection.NotEquals {
		canonical = query.Not{Filter: canonical}
	}
	out.filters = append(out.filters, canonical)
	return nil
}

// filterOf is what a requirement says if its operator is =.
func (s *storage) filterOf(r fields.Requirement) (query.Filter, error) {
	switch r.Field {
	case labelName:
		return named(r.Value), nil
	case labelText:
		return query.Text{Words: []string{r.Value}}, nil
	}
	f, ok := s.fields.stored[r.Field]
	switch {
	case !ok:
		return nil, unknownField(r.Field, s.fields.known)
	case r.Value == "":
		return query.Not{Filter: query.Exists{Field: f.Name}}, nil
	case f.Type == query.IP:
		return addressFilter(f, r.Value)
	default:
		return query.Equal{Field: f.Name, Value: r.Value}, nil
	}
}

// named is the record of a name. A name that no record can have is no error: no
// record has it.
func named(name string) query.Filter {
	if !isName(name) {
		return query.Or{}
	}
	return query.Equal{Field: "id", Value: name}
}

// isName tells whether a record can have a name.
func isName(name string) bool {
	id, err := record.ParseID(name)
	return err == nil && id.String() == name
}

func addressFilter(f record.Field, value string) (query.Filter, error) {
	if strings.Contains(value, "/") {
		block, err := netip.ParsePrefix(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a CIDR block; write it as 10.0.0.0/8 or 2001:db8::/32", f.CamelName, clip(value))
		}
		return query.CIDR{Field: f.Name, Net: block}, nil
	}
	if _, err := netip.ParseAddr(value); err != nil {
		return nil, fmt.Errorf("%s: %q is neither an IP address nor a CIDR block such as 10.0.0.0/8", f.CamelName, clip(value))
	}
	return query.Equal{Field: f.Name, Value: value}, nil
}

// unknownField names what there is, so that a typing error costs one look.
func unknownField(field string, known []string) error {
	return fmt.Errorf("%q is not a field label; there are %s", clip(field), strings.Join(known, ", "))
}

// FieldLabel checks one term of a field selector, as a scheme's conversion of field
// labels does. The label is known or the error lists those that are.
func FieldLabel(known []string) func(label, value string) (string, string, error) {
	return func(label, value string) (string, string, error) {
		if _, ok := slices.BinarySearch(known, label); !ok {
			return "", "", unknownField(label, known)
		}
		return label, value, nil
	}
}

// canonical checks one filter by itself, so that an error is told under the name
// that the client used.
func (s *storage) canonical(filter query.Filter) (query.Filter, error) {
	q, err := query.Validate(query.Query{Kind: s.shape.kind, Scope: query.All(), Limit: 1, Filter: filter}, s.schema)
	var refused *query.Error
	if errors.As(err, &refused) {
		return nil, errors.New(refused.Message)
	}
	return q.Filter, err
}

// clip bounds what an error repeats of a request.
func clip(text string) string {
	const most = 64
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}
