package query

import (
	"encoding/json"
	"fmt"
	"net/netip"
)

// wire is the JSON form of one node: exactly one member is set. Cursors carry
// it, so members are short and never change their meaning.
type wire struct {
	And       *[]wire        `json:"and,omitempty"`
	Or        *[]wire        `json:"or,omitempty"`
	Not       *wire          `json:"not,omitempty"`
	Equal     *[2]string     `json:"eq,omitempty"`
	AnyOf     *wireAnyOf     `json:"in,omitempty"`
	Prefix    *[2]string     `json:"pre,omitempty"`
	Exists    *string        `json:"has,omitempty"`
	Range     *[3]string     `json:"rng,omitempty"`
	CIDR      *wireCIDR      `json:"net,omitempty"`
	Text      *[]string      `json:"txt,omitempty"`
	Attribute *wireAttribute `json:"att,omitempty"`
}

type wireAnyOf struct {
	Field  string   `json:"f"`
	Values []string `json:"v"`
}

type wireCIDR struct {
	Field string       `json:"f"`
	Net   netip.Prefix `json:"n"`
}

type wireAttribute struct {
	Type  []string `json:"t,omitempty"`
	ID    []string `json:"i,omitempty"`
	OrgID []string `json:"o,omitempty"`
	Name  []string `json:"n,omitempty"`
}

// MarshalFilter writes a filter tree as JSON; nil is "null".
func MarshalFilter(f Filter) ([]byte, error) {
	if f == nil {
		return []byte("null"), nil
	}
	w, err := toWire(f)
	if err != nil {
		return nil, err
	}
	return json.Marshal(w)
}

// UnmarshalFilter reads what MarshalFilter wrote. What it returns has not been
// validated.
func UnmarshalFilter(data []byte) (Filter, error) {
	if string(data) == "null" {
		return nil, nil
	}
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	return fromWire(w)
}

func toWire(f Filter) (wire, error) {
	switch f := f.(type) {
	case And:
		children, err := toWires(f)
		return wire{And: &children}, err
	case Or:
		children, err := toWires(f)
		return wire{Or: &children}, err
	case Not:
		inner, err := toWire(f.Filter)
		return wire{Not: &inner}, err
	case Equal:
		return wire{Equal: &[2]string{f.Field, f.Value}}, nil
	case AnyOf:
		return wire{AnyOf: &wireAnyOf{Field: f.Field, Values: f.Values}}, nil
	case Prefix:
		return wire{Prefix: &[2]string{f.Field, f.Value}}, nil
	case Exists:
		return wire{Exists: &f.Field}, nil
	case Range:
		return wire{Range: &[3]string{f.Field, f.Min, f.Max}}, nil
	case CIDR:
		return wire{CIDR: &wireCIDR{Field: f.Field, Net: f.Net}}, nil
	case Text:
		return wire{Text: &f.Words}, nil
	case Attribute:
		return wire{Attribute: &wireAttribute{Type: f.Type, ID: f.ID, OrgID: f.OrgID, Name: f.Name}}, nil
	default:
		return wire{}, fmt.Errorf("filter: %T cannot be written", f)
	}
}

func toWires(filters []Filter) ([]wire, error) {
	out := make([]wire, 0, len(filters))
	for _, f := range filters {
		w, err := toWire(f)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

func fromWire(w wire) (Filter, error) {
	switch {
	case w.And != nil:
		children, err := fromWires(*w.And)
		return And(children), err
	case w.Or != nil:
		children, err := fromWires(*w.Or)
		return Or(children), err
	case w.Not != nil:
		inner, err := fromWire(*w.Not)
		return Not{Filter: inner}, err
	case w.Equal != nil:
		return Equal{Field: w.Equal[0], Value: w.Equal[1]}, nil
	case w.AnyOf != nil:
		return AnyOf{Field: w.AnyOf.Field, Values: w.AnyOf.Values}, nil
	case w.Prefix != nil:
		return Prefix{Field: w.Prefix[0], Value: w.Prefix[1]}, nil
	case w.Exists != nil:
		return Exists{Field: *w.Exists}, nil
	case w.Range != nil:
		return Range{Field: w.Range[0], Min: w.Range[1], Max: w.Range[2]}, nil
	case w.CIDR != nil:
		return CIDR{Field: w.CIDR.Field, Net: w.CIDR.Net}, nil
	case w.Text != nil:
		return Text{Words: *w.Text}, nil
	case w.Attribute != nil:
		a := w.Attribute
		return Attribute{Type: a.Type, ID: a.ID, OrgID: a.OrgID, Name: a.Name}, nil
	default:
		return nil, fmt.Errorf("filter: a node names no known filter")
	}
}

func fromWires(wires []wire) ([]Filter, error) {
	out := make([]Filter, 0, len(wires))
	for _, w := range wires {
		f, err := fromWire(w)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}
