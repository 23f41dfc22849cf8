package elasticsearch

import (
	"encoding/json"
	"fmt"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// layoutVersion changes when mappings change such that older code must not write
// to, or can't search, an index.
const layoutVersion = 1

// layoutMark is the _meta of our indices.
type layoutMark struct {
	Layout int         `json:"layout"`
	Kind   record.Kind `json:"kind"`
}

// check says what keeps an index of a kind from being used; nil if nothing.
func (m layoutMark) check(kind record.Kind) error {
	switch {
	case m.Layout == 0:
		return fmt.Errorf("it was not made by this program: its mapping has no _meta.layout")
	case m.Layout != layoutVersion:
		return fmt.Errorf("it has the layout %d, this version writes and reads %d", m.Layout, layoutVersion)
	case m.Kind != kind:
		return fmt.Errorf("it was made for records of the kind %q", m.Kind)
	}
	return nil
}

type indexBody struct {
	Settings indexSettings `json:"settings"`
	Mappings mapping       `json:"mappings"`
}

type templateBody struct {
	Patterns []string `json:"index_patterns"`
	Priority int      `json:"priority"`
	// AllowAutoCreate is false: a bulk request into an index that is gone
	// must fail.
	AllowAutoCreate bool      `json:"allow_auto_create"`
	Template        indexBody `json:"template"`
}

type indexSettings struct {
	Index settings `json:"index"`
}

type settings struct {
	Shards          int      `json:"number_of_shards"`
	Replicas        *int     `json:"number_of_replicas,omitempty"`
	ExpandReplicas  string   `json:"auto_expand_replicas,omitempty"`
	RefreshInterval string   `json:"refresh_interval,omitempty"`
	SortFields      []string `json:"sort.field,omitempty"`
	SortOrders      []string `json:"sort.order,omitempty"`
}

type mapping struct {
	Dynamic    bool             `json:"dynamic"`
	Meta       layoutMark       `json:"_meta"`
	Properties map[string]field `json:"properties"`
}

// field is one entry of a mapping. Keywords have no ignore_above, which would
// hide long values: records hold none over record.MaxKeywordBytes.
type field struct {
	Type       string           `json:"type"`
	Format     string           `json:"format,omitempty"`
	Enabled    *bool            `json:"enabled,omitempty"`
	Index      *bool            `json:"index,omitempty"`
	DocValues  *bool            `json:"doc_values,omitempty"`
	Dynamic    *bool            `json:"dynamic,omitempty"`
	Properties map[string]field `json:"properties,omitempty"`
	Fields     map[string]field `json:"fields,omitempty"`
}

// subfieldOrder is the second form of a keyword. The first is an inverted index
// and finds values; comparing with a bound of over 1,000 bytes is more than it
// can do. The second is a column of values in their order: what compares, sorts
// or aggregates uses it.
const subfieldOrder = "order"

// timeFormat is the only one that times are indexed and asked in. It takes our
// microseconds exactly.
const timeFormat = "strict_date_optional_time_nanos"

// mappingOf derives the mapping of a kind from the field table.
//
// words and the halves of the id stay in _source, at its end, and readers cut
// them off. Leaving them out by _source.excludes would make Elasticsearch write
// each document anew, and that changes numbers and escapes inside details: 1e400
// becomes "Infinity". Records must come back as they were written.
func mappingOf(kind record.Kind) mapping {
	no := false
	m := mapping{Meta: layoutMark{Layout: layoutVersion, Kind: kind}, Properties: map[string]field{
		fieldWords:  {Type: "keyword", DocValues: &no},
		fieldIDHigh: {Type: "long", Index: &no},
		fieldIDLow:  {Type: "long", Index: &no},
	}}
	for _, f := range record.Fields(kind) {
		switch {
		case f.Name == fieldID:
			// It is the document's _id.
		case f.Name == fieldAttributes:
			m.Properties[f.Name] = field{Type: "nested", Dynamic: &no, Properties: map[string]field{
				"attribute_type": {Type: "keyword"}, "attribute_id": {Type: "keyword"},
				"attribute_org_id": {Type: "keyword"}, "attribute_name": {Type: "keyword"},
			}}
		case !f.Filterable():
			m.Properties[f.Name] = field{Type: "object", Enabled: &no}
		default:
			m.Properties[f.Name] = fieldOf(f.Type)
		}
	}
	return m
}

func fieldOf(t query.FieldType) field {
	switch t {
	case query.IP:
		return field{Type: "ip"}
	case query.Integer:
		return field{Type: "long"}
	case query.Time:
		return field{Type: "date_nanos", Format: timeFormat}
	default:
		no := false
		return field{Type: "keyword", DocValues: &no,
			Fields: map[string]field{subfieldOrder: {Type: "keyword", Index: &no}}}
	}
}

func indexOf(kind record.Kind, o Options) indexBody {
	s := settings{
		Shards:          o.Shards,
		Replicas:        o.Replicas,
		RefreshInterval: fmt.Sprintf("%dms", o.RefreshInterval/time.Millisecond),
		SortFields:      []string{fieldTime, fieldIDHigh, fieldIDLow},
		SortOrders:      []string{"desc", "desc", "desc"},
	}
	if o.Replicas == nil {
		s.ExpandReplicas = "0-1"
	}
	return indexBody{Settings: indexSettings{Index: s}, Mappings: mappingOf(kind)}
}

func templateOf(kind record.Kind, n names, o Options) templateBody {
	const priority = 500
	return templateBody{Patterns: []string{n.of(kind) + "*"}, Priority: priority, Template: indexOf(kind, o)}
}

// stateIndexOf is the index of the state document: nothing in it is searched.
func stateIndexOf() indexBody {
	return indexBody{
		Settings: indexSettings{Index: settings{Shards: 1, ExpandReplicas: "0-1"}},
		Mappings: mapping{Meta: layoutMark{Layout: layoutVersion}, Properties: map[string]field{}},
	}
}

// encodeBody writes one of the bodies above, none of which can fail.
func encodeBody(body any) ([]byte, error) { return json.Marshal(body) }
