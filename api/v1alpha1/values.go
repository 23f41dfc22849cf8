package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// ErrNotValues means that a JSON value is neither a string nor a list of
// strings.
var ErrNotValues = errors.New("want a string or a list of strings")

// Values is a filter's value in YAML and JSON: one string, or a list of
// strings of which any may match. It is written back in the form in which it
// was given, so that a client that updates an object never changes its spec.
//
// A schema in OpenAPI cannot say "string or list" in one type, so the CRD
// leaves the type open and hack/crdvalues adds the rules that bound it: 1 to
// 8191 characters, 1 to 100 entries, no empty string.
//
// +kubebuilder:validation:Type=""
// +kubebuilder:pruning:PreserveUnknownFields
type Values struct {
	// Items are the values; the API server lets in at most 100. Numbers occur
	// only where a field's schema lets them in (responseCode).
	Items []intstr.IntOrString `json:"-"`
	// List is true when a list was given, even one of a single entry.
	List bool `json:"-"`
}

// Value returns a filter on one value, written as a string.
func Value(v string) Values {
	return Values{Items: []intstr.IntOrString{intstr.FromString(v)}}
}

// AnyOf returns a filter that any of vs satisfies, written as a list.
func AnyOf(vs ...string) Values {
	items := make([]intstr.IntOrString, 0, len(vs))
	for _, v := range vs {
		items = append(items, intstr.FromString(v))
	}
	return Values{Items: items, List: true}
}

// IsZero reports whether no value was given, so that no filter applies.
func (v Values) IsZero() bool { return len(v.Items) == 0 && !v.List }

// Strings returns the values as text, in the order in which they were given.
func (v Values) Strings() []string {
	out := make([]string, 0, len(v.Items))
	for i := range v.Items {
		out = append(out, v.Items[i].String())
	}
	return out
}

// MarshalJSON writes the form in which the values were given; null when there
// are none.
func (v Values) MarshalJSON() ([]byte, error) {
	switch {
	case v.List && v.Items == nil:
		return []byte("[]"), nil
	case v.List:
		return json.Marshal(v.Items)
	case len(v.Items) == 0:
		return []byte("null"), nil
	case len(v.Items) == 1:
		return json.Marshal(v.Items[0])
	default:
		return nil, fmt.Errorf("%d values that are not a list: %w", len(v.Items), ErrNotValues)
	}
}

// UnmarshalJSON reads a string, a whole number, a list of these, or null.
// Anything else is ErrNotValues.
func (v *Values) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return ErrNotValues
	}
	switch data[0] {
	case 'n':
		*v = Values{}
		return nil
	case '[':
		return v.unmarshalList(data)
	default:
		item, err := unmarshalItem(data)
		if err != nil {
			return err
		}
		*v = Values{Items: []intstr.IntOrString{item}}
		return nil
	}
}

func (v *Values) unmarshalList(data []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return fmt.Errorf("%w: %w", ErrNotValues, err)
	}
	items := make([]intstr.IntOrString, 0, len(raw))
	for i := range raw {
		item, err := unmarshalItem(raw[i])
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		items = append(items, item)
	}
	*v = Values{Items: items, List: true}
	return nil
}

func unmarshalItem(data []byte) (intstr.IntOrString, error) {
	var item intstr.IntOrString
	if string(data) == "null" {
		return item, ErrNotValues
	}
	if err := json.Unmarshal(data, &item); err != nil {
		return item, fmt.Errorf("%w: %w", ErrNotValues, err)
	}
	return item, nil
}
