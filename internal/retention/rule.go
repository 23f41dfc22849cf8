package retention

import (
	"fmt"
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

// Mode says whether a policy erases.
type Mode string

// The modes of a policy.
const (
	// Enforce erases what is due.
	Enforce Mode = "Enforce"
	// DryRun erases nothing, and protects with its keep and its minKeep.
	DryRun Mode = "DryRun"
)

// Rule is what a policy says, with all defaults in it.
type Rule struct {
	// Kinds are the kinds of record that it is about; none is invalid.
	Kinds []record.Kind `json:"kinds,omitempty"`
	// OrgIDs are the orgs that it names; empty: it is for all records.
	OrgIDs []string `json:"orgIDs,omitempty"`
	// Keep is how long records are kept at least, unless a maxKeep is shorter.
	Keep Age `json:"keep,omitzero"`
	// MinKeep is below no other policy's duty to erase; that of a profile is
	// in it already. Zero: none.
	MinKeep Age `json:"minKeep,omitzero"`
	// MaxKeep is a duty to erase. Zero: none.
	MaxKeep Age `json:"maxKeep,omitzero"`
	// Mode is Enforce or DryRun; anything else is invalid.
	Mode Mode `json:"mode,omitempty"`
	// ChangeDelay is how long a change of the rule destroys nothing.
	ChangeDelay time.Duration `json:"changeDelay,omitempty"`
	// Invalid rules did not parse or contradict themselves: they erase nothing
	// and keep everything that they match, of all kinds if they name none.
	Invalid bool `json:"invalid,omitempty"`
}

// Policy is what the API says of a policy now.
type Policy struct {
	Name, UID string
	Rule      Rule
	// Deleting tells that somebody asked for its deletion.
	Deleting bool
}

// Contradiction says in a sentence why r can't be followed; empty when it can.
func (r Rule) Contradiction() string { return r.contradiction(newSpans()) }

func (r Rule) contradiction(s spans) string {
	switch {
	case len(r.Kinds) == 0:
		return "it names no kind of record"
	case r.Keep.IsZero():
		return "it has no keep"
	case r.Mode != Enforce && r.Mode != DryRun:
		return fmt.Sprintf("its mode %q is neither Enforce nor DryRun", clipped(string(r.Mode)))
	case !s.covers(r.Keep, r.MinKeep):
		return fmt.Sprintf("keep %s is, or can be, shorter than minKeep %s", r.Keep, r.MinKeep)
	case !r.MaxKeep.IsZero() && !s.covers(r.MaxKeep, r.Keep):
		return fmt.Sprintf("maxKeep %s is, or can be, shorter than keep %s", r.MaxKeep, r.Keep)
	}
	return ""
}

// normal returns r as Memory keeps it: lists sorted, apart from the caller's, and
// marked as invalid when it is.
func (r Rule) normal(s spans) Rule {
	r.Kinds = sorted(r.Kinds)
	r.OrgIDs = sorted(r.OrgIDs)
	r.ChangeDelay = max(r.ChangeDelay, 0)
	r.Invalid = r.Invalid || r.contradiction(s) != ""
	return r
}

// sorted returns a sorted copy without repetitions, nil when there is nothing.
func sorted[T ~string](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Clip(slices.Compact(list))
}

func (r Rule) equal(other Rule) bool {
	return slices.Equal(r.Kinds, other.Kinds) && slices.Equal(r.OrgIDs, other.OrgIDs) &&
		r.Keep == other.Keep && r.MinKeep == other.MinKeep && r.MaxKeep == other.MaxKeep &&
		r.Mode == other.Mode && r.ChangeDelay == other.ChangeDelay && r.Invalid == other.Invalid
}

// about tells whether r matches records of a kind, for a normal r.
func (r Rule) about(kind record.Kind) bool {
	if r.Invalid && len(r.Kinds) == 0 {
		return true
	}
	return slices.Contains(r.Kinds, kind)
}

// overlaps tells whether a record can match both of two normal rules.
func (r Rule) overlaps(other Rule) bool {
	return slices.ContainsFunc(r.Kinds, other.about) &&
		(len(r.OrgIDs) == 0 || len(other.OrgIDs) == 0 || meet(r.OrgIDs, other.OrgIDs))
}

// meet tells whether two sorted lists have something in common.
func meet(a, b []string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return slices.ContainsFunc(a, func(s string) bool {
		_, found := slices.BinarySearch(b, s)
		return found
	})
}
