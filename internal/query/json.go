package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// wire is the JSON form of one node: exactly one member is set. Cursors carry
// it, so members are short and never change their meaning.
type wire struct {
	And       *[]wire        `json:"and,omitempty"`
	Or        *[]wire        `json:"or,omitempty"`
	Not       *wire          `json:"not,omitempty"`
	Equal     []string       `json:"eq,omitempty"`
	AnyOf     *wireAnyOf     `json:"in,omitempty"`
	Prefix    []string       `json:"pre,omitempty"`
	Exists    *string        `json:"has,omitempty"`
	Range     []string       `json:"rng,omitempty"`
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

// UnmarshalFilter reads what MarshalFilter wrote. Anything else is an error, so
// that a part which another version wrote is never passed over: that would widen
// the query. What it returns has not been validated.
func UnmarshalFilter(data []byte) (Filter, error) {
	if string(data) == "null" {
		return nil, nil
	}
	var w wire
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&w); err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("filter: something follows it")
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
		return wire{Equal: []string{f.Field, f.Value}}, nil
	case AnyOf:
		return wire{AnyOf: &wireAnyOf{Field: f.Field, Values: f.Values}}, nil
	case Prefix:
		return wire{Prefix: []string{f.Field, f.Value}}, nil
	case Exists:
		return wire{Exists: &f.Field}, nil
	case Range:
		return wire{Range: []string{f.Field, f.Min, f.Max}}, nil
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

// checked tells whether a node names exactly one filter, with all its parts.
func (w wire) checked() bool {
	n := 0
	for _, set := range []bool{
		w.And != nil, w.Or != nil, w.Not != nil, w.Equal != nil, w.AnyOf != nil, w.Prefix != nil,
		w.Exists != nil, w.Range != nil, w.CIDR != nil, w.Text != nil, w.Attribute != nil,
	} {
		if set {
			n++
		}
	}
	parts := func(list []string, want int) bool { return list == nil || len(list) == want }
	return n == 1 && parts(w.Equal, 2) && parts(w.Prefix, 2) && parts(w.Range, 3)
}

func fromWire(w wire) (Filter, error) {
	if !w.checked() {
		return nil, errors.New("filter: a node does not name exactly one known filter")
	}
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
	default:
		a := w.Attribute
		return Attribute{Type: a.Type, ID: a.ID, OrgID: a.OrgID, Name: a.Name}, nil
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
