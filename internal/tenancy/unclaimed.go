package tenancy

import (
	"cmp"
	"slices"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// blockStarts is how many different creation times one block of the unclaimed
// scope holds.
const blockStarts = 16

// systemScope is the scope of SystemNamespace: whatever no other namespace claims.
// That is its own claims and what nobody claims, both at once and exactly.
//
// The org ids bound elsewhere are one list, which both stores answer by looking a
// record's org id up. The claims that namespaces have by their names are harder:
// each begins at a time of its own, so in general one condition is needed for each
// time, and thousands of conditions are slow in SQLite, which tries one after the
// other, and too many for Elasticsearch. So:
//
//   - Namespaces that were made in the same second share a condition.
//   - Conditions are sorted by time and lie in blocks of blockStarts. A block
//     begins with a list of its names and its first time, so that a record of
//     another name or of before it costs one look-up for the block.
//   - Where a query has a window, Narrow replaces all that began before it by one
//     list of names, and drops all that begins after it. Slices cuts windows in
//     which too many conditions would remain.
//
// So what a query costs follows from the number of org ids, and hardly from the
// number of namespaces, which are mostly older than the window.
func (x *Index) systemScope() (query.Scope, error) {
	if n := x.claims.total(); n > MaxClaims {
		return query.Scope{}, &TooManyClaimsError{Claims: n}
	}
	elsewhere := make([]string, 0, x.claims.Elsewhere)
	named := make([]Namespace, 0, x.claims.ByName)
	for name, v := range x.namespaces {
		if name == SystemNamespace {
			continue
		}
		elsewhere = append(elsewhere, v.orgs...)
		if x.own(v) {
			named = append(named, v.Namespace)
		}
	}
	slices.Sort(elsewhere)
	var claimed query.Or
	if len(elsewhere) > 0 {
		claimed = append(claimed, oneOf(elsewhere))
	}
	if len(named) > 0 {
		claimed = append(claimed, query.And{
			query.Equal{Field: fieldSource, Value: record.SourceKubernetes}, blocks(groups(named)),
		})
	}
	return query.Scope{Name: ScopeName(SystemNamespace), Restrict: query.Not{Filter: append(query.Or{}, claimed...)}}, nil
}

// group is the namespaces whose claims begin at the same time.
type group struct {
	start record.Timestamp
	names []string
}

// groups sorts namespaces by the start of their claims, and by name.
func groups(named []Namespace) []group {
	slices.SortFunc(named, func(a, b Namespace) int {
		return cmp.Or(cmp.Compare(a.start(), b.start()), cmp.Compare(a.Name, b.Name))
	})
	var all []group
	for _, ns := range named {
		if n := len(all); n > 0 && all[n-1].start == ns.start() {
			all[n-1].names = append(all[n-1].names, ns.Name)
			continue
		}
		all = append(all, group{start: ns.start(), names: []string{ns.Name}})
	}
	return all
}

func blocks(all []group) query.Filter {
	var or query.Or
	for block := range slices.Chunk(all, blockStarts) {
		or = append(or, blockOf(block))
	}
	return or
}

func blockOf(block []group) query.Filter {
	if len(block) == 1 {
		return since(block[0])
	}
	var names []string
	var members query.Or
	for _, g := range block {
		names = append(names, g.names...)
		members = append(members, since(g))
	}
	slices.Sort(names)
	return query.And{oneOf(names), query.Range{Field: fieldTime, Min: block[0].start.String()}, members}
}

func since(g group) query.Filter {
	return query.And{oneOf(g.names), query.Range{Field: fieldTime, Min: g.start.String()}}
}
