package tenancy

import (
	"iter"
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// How many different times a scope may speak of in one question to a store. Each
// costs a store about a tenth of a millisecond a question, and each question has
// its own price in the org ids that it carries. So a window of few times is asked
// about as a whole, and in a larger one the newest part, in which most pages end,
// is small, and the older ones grow. The greatest stays below the 1,024 conditions
// that every Elasticsearch takes, however small its heap.
const (
	wholeStarts = 64
	firstStarts = 32
	maxStarts   = 256
)

// Slice is a window and the scope that records in it must satisfy.
type Slice struct {
	// From is inclusive, To exclusive; the zero time is an open end.
	From, To time.Time
	Scope    query.Scope
}

// Slices cuts a window into parts, newest first, in each of which the scope needs
// few conditions: see systemScope. Mostly that is one part, the whole window. A
// record of the window is in exactly one part, and in the scope of the part if and
// only if it is in the scope. Scopes are narrowed when their turn comes.
func Slices(scope query.Scope, from, to time.Time) iter.Seq[Slice] {
	inside := starts(scope.Restrict, from, to)
	return func(yield func(Slice) bool) {
		rest, end, size := inside, to, firstStarts
		for len(rest) > max(size, wholeStarts) {
			cut := len(rest) - size - 1
			begin := rest[cut].Time()
			rest, size = rest[:cut], min(2*size, maxStarts)
			if !yield(Slice{From: begin, To: end, Scope: Narrow(scope, begin, end)}) {
				return
			}
			end = begin
		}
		yield(Slice{From: from, To: end, Scope: Narrow(scope, from, end)})
	}
}

// Sliced tells whether Slices would cut the window.
func Sliced(scope query.Scope, from, to time.Time) bool {
	return len(starts(scope.Restrict, from, to)) > wholeStarts
}

// starts lists the times inside a window that a filter speaks of, sorted.
func starts(f query.Filter, from, to time.Time) []record.Timestamp {
	var all []record.Timestamp
	w := windowOf(from, to)
	walk(f, func(r query.Range) {
		for _, text := range []string{r.Min, r.Max} {
			if at, ok := moment(r.Field, text); ok && w.inside(at) {
				all = append(all, at)
			}
		}
	})
	slices.Sort(all)
	return slices.Compact(all)
}

func walk(f query.Filter, visit func(query.Range)) {
	switch f := f.(type) {
	case query.And:
		for _, child := range f {
			walk(child, visit)
		}
	case query.Or:
		for _, child := range f {
			walk(child, visit)
		}
	case query.Not:
		walk(f.Filter, visit)
	case query.Range:
		visit(f)
	}
}

// moment reads a bound on time.
func moment(field, text string) (record.Timestamp, bool) {
	var at record.Timestamp
	if field != fieldTime || text == "" || at.UnmarshalText([]byte(text)) != nil {
		return 0, false
	}
	return at, true
}

// window is a half-open window in which nil is an open end.
type window struct{ from, to *record.Timestamp }

func windowOf(from, to time.Time) window {
	var w window
	if !from.IsZero() {
		at := record.At(from)
		w.from = &at
	}
	if !to.IsZero() {
		at := record.At(to)
		w.to = &at
	}
	return w
}

// inside tells whether records of the window lie on both sides of an instant.
func (w window) inside(at record.Timestamp) bool { return !w.allFrom(at) && !w.allBefore(at) }

// allFrom and allBefore tell whether all records of the window have a time from an
// instant on, or before it.
func (w window) allFrom(at record.Timestamp) bool   { return w.from != nil && *w.from >= at }
func (w window) allBefore(at record.Timestamp) bool { return w.to != nil && *w.to <= at }

// Narrow returns a scope that holds for the same records of a window, and says no
// more than is needed for them. The zero time is an open end.
func Narrow(scope query.Scope, from, to time.Time) query.Scope {
	if scope.Restrict != nil {
		scope.Restrict = windowOf(from, to).narrow(scope.Restrict)
	}
	return scope
}

func (w window) narrow(f query.Filter) query.Filter {
	switch f := f.(type) {
	case query.And:
		return w.narrowAnd(f)
	case query.Or:
		return w.narrowOr(f)
	case query.Not:
		inner := w.narrow(f.Filter)
		switch {
		case always(inner):
			return query.Or{}
		case never(inner):
			return query.And{}
		}
		return query.Not{Filter: inner}
	case query.Range:
		return w.narrowRange(f)
	default:
		return f
	}
}

// always and never recognise the filters that hold for every record and for none.
func always(f query.Filter) bool {
	and, ok := f.(query.And)
	return ok && len(and) == 0
}

func never(f query.Filter) bool {
	or, ok := f.(query.Or)
	return ok && len(or) == 0
}

func (w window) narrowRange(f query.Range) query.Filter {
	least, hasLeast := moment(f.Field, f.Min)
	most, hasMost := moment(f.Field, f.Max)
	if hasLeast != (f.Min != "") || hasMost != (f.Max != "") {
		return f // not about time
	}
	switch {
	case hasLeast && w.allBefore(least), hasMost && w.allFrom(most):
		return query.Or{}
	case (!hasLeast || w.allFrom(least)) && (!hasMost || w.allBefore(most)):
		return query.And{}
	}
	return f
}

func (w window) narrowAnd(and query.And) query.Filter {
	var rest query.And
	for _, child := range and {
		child = w.narrow(child)
		if never(child) {
			return query.Or{}
		}
		if nested, ok := child.(query.And); ok { // also always
			rest = append(rest, nested...)
			continue
		}
		rest = append(rest, child)
	}
	joined := joinOrgs(rest, intersect)
	if len(joined) == 1 {
		return joined[0]
	}
	return query.And(joined)
}

func (w window) narrowOr(or query.Or) query.Filter {
	var rest query.Or
	for _, child := range or {
		child = w.narrow(child)
		if always(child) {
			return query.And{}
		}
		if nested, ok := child.(query.Or); ok { // also never
			rest = append(rest, nested...)
			continue
		}
		rest = append(rest, child)
	}
	joined := joinOrgs(rest, union)
	if len(joined) == 1 {
		return joined[0]
	}
	return query.Or(joined)
}

// joinOrgs replaces the filters that are lists of org ids by one, where the first
// of them was.
func joinOrgs(filters []query.Filter, join func(lists [][]string) []string) []query.Filter {
	var lists [][]string
	rest := make([]query.Filter, 0, len(filters))
	at := -1
	for _, f := range filters {
		orgs, ok := orgsOf(f)
		if !ok {
			rest = append(rest, f)
			continue
		}
		if lists = append(lists, orgs); at < 0 {
			at = len(rest)
			rest = append(rest, f)
		}
	}
	if len(lists) < 2 {
		return rest
	}
	joined := join(lists)
	if len(joined) == 0 {
		return []query.Filter{query.Or{}} // two lists of a conjunction that share nothing
	}
	rest[at] = oneOf(joined)
	return rest
}

func orgsOf(f query.Filter) ([]string, bool) {
	switch f := f.(type) {
	case query.Equal:
		return []string{f.Value}, f.Field == fieldOrg
	case query.AnyOf:
		return f.Values, f.Field == fieldOrg
	default:
		return nil, false
	}
}

func union(lists [][]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

func intersect(lists [][]string) []string {
	common := slices.Clone(lists[0])
	slices.Sort(common)
	for _, list := range lists[1:] {
		if !slices.IsSorted(list) {
			list = slices.Sorted(slices.Values(list))
		}
		common = slices.DeleteFunc(common, func(org string) bool {
			_, found := slices.BinarySearch(list, org)
			return !found
		})
	}
	return slices.Compact(common)
}
