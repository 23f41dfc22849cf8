package registry

import (
	"fmt"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// selectLabels reads a label selector. Records have two labels, whose values are
// those of fields, so that every selector becomes a filter of the store.
func (s *storage) selectLabels(out *selected, selector labels.Selector) error {
	if selector == nil {
		return nil
	}
	requirements, selectable := selector.Requirements()
	if !selectable {
		out.filters = append(out.filters, query.Or{})
		return nil
	}
	for i := range requirements {
		filter, err := labelFilter(s.shape.kind, &requirements[i])
		if err != nil {
			return badRequest("label selector: " + err.Error())
		}
		canonical, err := s.canonical(filter)
		if err != nil {
			return badRequest(fmt.Sprintf("label selector: %s: %s", requirements[i].Key(), err))
		}
		out.filters = append(out.filters, canonical)
	}
	return nil
}

func labelFilter(kind record.Kind, r *labels.Requirement) (query.Filter, error) {
	var field string
	switch r.Key() {
	case v1alpha1.LabelActorType:
		field = "actor_type"
	case v1alpha1.LabelOutcome:
		field = outcomeField(kind)
	default:
		return nil, fmt.Errorf("records have no label %q; there are %s and %s, and field selectors for all else",
			clip(r.Key()), v1alpha1.LabelActorType, v1alpha1.LabelOutcome)
	}
	values := r.Values().UnsortedList()
	for _, v := range values {
		if v == "" {
			return nil, fmt.Errorf("%s is never empty", r.Key())
		}
	}
	among := query.AnyOf{Field: field, Values: values}
	switch r.Operator() {
	case selection.Equals, selection.DoubleEquals, selection.In:
		return among, nil
	case selection.NotEquals, selection.NotIn:
		return query.Not{Filter: among}, nil
	default:
		// A value that no label can hold makes no label, which a store can't see.
		return nil, fmt.Errorf("%s takes =, !=, in and notin", r.Key())
	}
}
