package retention

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// memoryVersion is the form of a Memory's JSON.
const memoryVersion = 1

// memoryDocument is a Memory as JSON. Former sets are written as what they have
// that the set in force has not: mostly one rule.
type memoryDocument struct {
	Version  int              `json:"version"`
	Seen     time.Time        `json:"seen,omitzero"`
	Paused   time.Time        `json:"paused,omitzero"`
	Policies []knownPolicy    `json:"policies,omitempty"`
	Versions []ruleDocument   `json:"versions,omitempty"`
	Former   []formerDocument `json:"former,omitempty"`
	Holds    []knownHold      `json:"holds,omitempty"`
}

// ruleDocument is a rule that the set in force has not.
type ruleDocument struct {
	Name string `json:"name"`
	Rule Rule   `json:"rule"`
}

// formerDocument is a former set: the set in force with some versions, numbered in
// the document, and without some names.
type formerDocument struct {
	Until   time.Time `json:"until"`
	With    []int     `json:"with,omitempty"`
	Without []string  `json:"without,omitempty"`
}

func (m Memory) document() memoryDocument {
	d := memoryDocument{
		Version: memoryVersion, Seen: m.seen, Paused: m.paused, Policies: m.policies, Holds: m.holds,
	}
	v := m.versions()
	for _, r := range v.list {
		d.Versions = append(d.Versions, ruleDocument{r.name, r.rule})
	}
	for i, f := range m.former {
		d.Former = append(d.Former, formerDocument{Until: f.until, With: v.with[i], Without: v.without[i]})
	}
	return d
}

// MarshalJSON writes everything that m remembers.
func (m Memory) MarshalJSON() ([]byte, error) { return json.Marshal(m.document()) }

// UnmarshalJSON reads what MarshalJSON wrote. What can't be such is an error: a
// Memory that was lost in part would protect less.
func (m *Memory) UnmarshalJSON(data []byte) error {
	var d memoryDocument
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return fmt.Errorf("what retention remembers does not parse: %w", err)
	}
	read, err := d.memory()
	if err != nil {
		return fmt.Errorf("what retention remembers makes no sense: %w", err)
	}
	*m = read
	return nil
}

func (d memoryDocument) memory() (Memory, error) {
	if d.Version != memoryVersion {
		return Memory{}, fmt.Errorf("its version is %d, this program knows %d", d.Version, memoryVersion)
	}
	m := Memory{seen: plain(d.Seen), paused: plain(d.Paused), policies: d.Policies, holds: d.Holds}
	s := newSpans()
	for i := range m.policies {
		p := &m.policies[i]
		p.Rule = p.Rule.normal(s)
		if !p.Deleting {
			m.rules = append(m.rules, namedRule{p.Name, p.Rule})
		}
	}
	for i := range m.holds {
		m.holds[i].normalise()
	}
	for i := range d.Versions {
		d.Versions[i].Rule = d.Versions[i].Rule.normal(s)
	}
	for _, f := range d.Former {
		set, err := d.set(f, m.rules)
		if err != nil {
			return Memory{}, err
		}
		m.former = append(m.former, set)
	}
	slices.SortStableFunc(m.former, func(a, b formerSet) int { return a.until.Compare(b.until) })
	return m, m.check()
}

func (h *knownHold) normalise() {
	h.Spec = h.Spec.normal()
	h.Since, h.Active, h.Releasing = plain(h.Since), plain(h.Active), plain(h.Releasing)
	for i, f := range h.Former {
		h.Former[i] = formerSpec{Until: plain(f.Until), Spec: f.Spec.normal()}
	}
	h.Former = sortedFormer(h.Former)
}

// set makes a former set of the set in force.
func (d memoryDocument) set(f formerDocument, rules []namedRule) (formerSet, error) {
	changed := map[string]*Rule{}
	for _, name := range f.Without {
		changed[name] = nil
	}
	for _, i := range f.With {
		if i < 0 || i >= len(d.Versions) {
			return formerSet{}, fmt.Errorf("there is no version %d", i)
		}
		changed[d.Versions[i].Name] = &d.Versions[i].Rule
	}
	var set []namedRule
	for _, r := range rules {
		if _, ok := changed[r.name]; !ok {
			set = append(set, r)
		}
	}
	for name, rule := range changed {
		if rule != nil {
			set = append(set, namedRule{name, *rule})
		}
	}
	slices.SortFunc(set, func(a, b namedRule) int { return strings.Compare(a.name, b.name) })
	return formerSet{until: plain(f.Until), rules: set}, nil
}

// check looks at what everything else relies on: names are in order, and all
// moments can be written again.
func (m Memory) check() error {
	for i, p := range m.policies {
		if i > 0 && m.policies[i-1].Name >= p.Name {
			return fmt.Errorf("policy %q is out of order", clipped(p.Name))
		}
	}
	moments := []time.Time{m.seen, m.paused}
	for i, h := range m.holds {
		if i > 0 && m.holds[i-1].Name >= h.Name {
			return fmt.Errorf("hold %q is out of order", clipped(h.Name))
		}
		moments = append(moments, h.Since, h.Active, h.Releasing)
		for _, f := range h.Former {
			moments = append(moments, f.Until)
		}
	}
	for _, f := range m.former {
		moments = append(moments, f.until)
	}
	const lastYear = 9999
	if slices.ContainsFunc(moments, func(t time.Time) bool { return t.Year() < 1 || t.Year() > lastYear }) {
		return errors.New("a moment is out of bounds")
	}
	return nil
}
