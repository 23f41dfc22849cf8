package retention

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"auditquery.dev/auditquery/internal/query"
)

// maxHeldFilters is how many filters the holds of one step may make: a query has
// room for 1,024.
const maxHeldFilters = 800

// Doomed is the filter of what the step erases within [From, Until) of its stretch:
// the records of its orgs that none of the holds holds. It is never nil.
//
// The holds are those of the plan, or all that hold by now. Those that can't match are
// left out and those that can be are joined, so that the filter is one that stores
// take. Should there be hundreds that can't be joined, some are widened: then records
// that are due stay for as long.
func (s Step) Doomed(holds []HoldSpec) query.Filter {
	parts := query.And{}
	if len(s.Orgs) > 0 || !s.Except {
		selected := oneOf(fieldOrg, s.Orgs)
		if s.Except {
			selected = query.Not{Filter: selected}
		}
		parts = append(parts, selected)
	}
	var held query.Or
	for _, h := range s.within(holds) {
		filter, ok := h.Filter(s.Kind)
		if !ok {
			continue
		}
		if filter == nil {
			return query.Or{}
		}
		held = append(held, filter)
	}
	if len(held) > 0 {
		parts = append(parts, query.Not{Filter: held})
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return parts
}

// within returns holds that hold the same of what the step selects, as few as can be.
func (s Step) within(holds []HoldSpec) []HoldSpec {
	var matching []HoldSpec
	for _, h := range holds {
		if h, ok := s.narrow(h); ok {
			matching = append(matching, h)
		}
	}
	matching = joined(matching)
	for filters(matching) > maxHeldFilters {
		var fewer []HoldSpec
		for pair := range slices.Chunk(matching, 2) {
			fewer = append(fewer, hull(pair[0], pair[len(pair)-1], query.MaxValues))
		}
		matching = joined(fewer)
	}
	return matching
}

// narrow leaves out of a hold what does not matter for the step; false when it holds
// nothing of it.
func (s Step) narrow(h HoldSpec) (HoldSpec, bool) {
	span := period{s.From, s.Until}
	if !h.about(s.Kind) || !h.period().overlaps(span) {
		return HoldSpec{}, false
	}
	h = h.normal()
	h.Kinds, h.ReleaseDelay = nil, 0
	if !h.From.After(s.From) {
		h.From = time.Time{}
	}
	if !h.To.Before(s.Until) {
		h.To = time.Time{}
	}
	return s.narrowOrgs(h)
}

func (s Step) narrowOrgs(h HoldSpec) (HoldSpec, bool) {
	if len(h.OrgIDs) == 0 {
		return h, true
	}
	var orgs []string
	for _, org := range h.OrgIDs {
		if _, listed := slices.BinarySearch(s.Orgs, org); listed != s.Except {
			orgs = append(orgs, org)
		}
	}
	if len(orgs) == 0 {
		return HoldSpec{}, false
	}
	if !s.Except && len(orgs) == len(s.Orgs) {
		orgs = nil
	}
	h.OrgIDs = orgs
	return h, true
}

// joined puts holds together that differ in one list only.
func joined(holds []HoldSpec) []HoldSpec {
	for _, list := range []func(*HoldSpec) *[]string{
		func(h *HoldSpec) *[]string { return &h.UserIDs },
		func(h *HoldSpec) *[]string { return &h.TargetIDs },
		func(h *HoldSpec) *[]string { return &h.OrgIDs },
	} {
		holds = joinedBy(holds, list)
	}
	return holds
}

func joinedBy(holds []HoldSpec, list func(*HoldSpec) *[]string) []HoldSpec {
	place := map[string]int{}
	var out []HoldSpec
	for _, h := range holds {
		rest := h
		*list(&rest) = nil
		key := rest.key()
		i, ok := place[key]
		if !ok {
			place[key] = len(out)
			out = append(out, h)
			continue
		}
		*list(&out[i]) = union(*list(&out[i]), *list(&h), len(*list(&out[i]))+len(*list(&h)))
	}
	return out
}

// key tells holds of different content apart.
func (h HoldSpec) key() string {
	var b strings.Builder
	for _, list := range [][]string{h.OrgIDs, h.UserIDs, h.TargetIDs} {
		for _, value := range list {
			b.WriteString(strconv.Quote(value))
		}
		b.WriteByte(';')
	}
	b.WriteString(h.From.String() + ";" + h.To.String())
	return b.String()
}

// filters counts the filters that holds make, about.
func filters(holds []HoldSpec) int {
	n := 0
	for _, h := range holds {
		n += 2
		for _, list := range [][]string{h.OrgIDs, h.UserIDs, h.TargetIDs} {
			n += (len(list) + query.MaxValues - 1) / query.MaxValues
		}
	}
	return n
}
