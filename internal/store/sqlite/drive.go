package sqlite

import (
	"cmp"
	"math"
	"slices"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// A plan says which index a statement walks. We choose it, and name it in the
// statement, instead of letting SQLite guess from statistics that a young or
// lopsided table does not have: an index on a field that the query fixes is
// walked in page order and holds only rows that satisfy that condition, so it is
// never worse than the index on time.
type plan struct {
	walk walk
	// field is the field, attribute column or word table that is walked.
	field string
	// values are what it is fixed to; for walkPart and walkWord exactly one.
	values []string
	// condition is the range of a walkGather that is not a list of values.
	condition query.Filter
	// part is the attribute filter that walkPart walks.
	part query.Attribute
	// window bounds time; residual is what else must hold.
	window   window
	residual []query.Filter
}

// walk is a way to reach the rows of a page.
type walk int

const (
	walkTime   walk = iota // the index on time, newest first
	walkField              // one value of an indexed field, newest first
	walkMerge              // a few values, each newest first, merged
	walkGather             // a whole set of index entries, sorted; bounded by a probe
	walkWord               // the records of one word, newest first
	walkPart               // the records of one attribute, newest first
)

// maxMerge is how many values are merged. Preparing a statement of more arms
// costs more than sorting what they find.
const maxMerge = 16

// maxMergeSize bounds the statement of a merge, which repeats the residual
// condition in each arm.
const maxMergeSize = 2048

// window is a half-open range of time in µs, and the position to go on behind:
// after for what walks to older records, past for what walks to newer ones.
type window struct {
	from, to    int64
	after, past *query.Position
}

func windowOf(q query.Query) window {
	w := window{from: math.MinInt64, to: math.MaxInt64, after: q.After}
	if !q.From.IsZero() {
		w.from = q.From.UnixMicro()
	}
	if !q.To.IsZero() {
		w.to = q.To.UnixMicro()
	}
	return w
}

func (w *window) narrow(from, to int64) {
	w.from, w.to = max(w.from, from), min(w.to, to)
}

// makePlan decides how to answer q. Scope and filter are conditions alike.
func makePlan(l *layout, q query.Query) plan {
	p := plan{window: windowOf(q)}
	var conditions []query.Filter
	for _, f := range []query.Filter{q.Scope.Restrict, q.Filter} {
		if f != nil {
			conditions = flatten(conditions, f)
		}
	}
	conditions = slices.DeleteFunc(conditions, func(f query.Filter) bool { return p.window.absorb(l, f) })
	best := candidate{score: math.MaxInt}
	for i, f := range conditions {
		for _, c := range candidates(l, f) {
			c.position = i
			if c.score < best.score {
				best = c
			}
		}
	}
	p.residual = conditions
	if best.score == math.MaxInt {
		return p
	}
	p.walk, p.field, p.values, p.condition, p.part = best.walk, best.field, best.values, best.condition, best.part
	if best.rest != nil {
		p.residual[best.position] = best.rest
	} else if !best.keeps {
		p.residual = slices.Delete(p.residual, best.position, best.position+1)
	}
	if p.walk == walkMerge && len(p.values)*size(query.And(p.residual)) > maxMergeSize {
		p.walk = walkGather
	}
	return p
}

// size is how many values and words of SQL a filter comes to, roughly.
func size(f query.Filter) int {
	switch f := f.(type) {
	case query.And:
		return sizes(f)
	case query.Or:
		return sizes(f)
	case query.Not:
		return 1 + size(f.Filter)
	case query.AnyOf:
		return min(len(f.Values), maxInline)
	case query.Text:
		return len(f.Words)
	case query.Attribute:
		return 4 * maxInline
	default:
		return 1
	}
}

func sizes(filters []query.Filter) int {
	total := 1
	for _, f := range filters {
		total += size(f)
	}
	return total
}

// flatten appends the conditions that f is the conjunction of.
func flatten(into []query.Filter, f query.Filter) []query.Filter {
	and, ok := f.(query.And)
	if !ok {
		return append(into, f)
	}
	for _, child := range and {
		into = flatten(into, child)
	}
	return into
}

// absorb narrows w by a range of time, and tells whether f was one. Two bounds
// on the walked column at once would leave SQLite the choice of the looser.
func (w *window) absorb(l *layout, f query.Filter) bool {
	r, ok := f.(query.Range)
	if !ok || r.Field != "time" {
		return false
	}
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	for text, into := range map[string]*int64{r.Min: &from, r.Max: &to} {
		if text == "" {
			continue
		}
		v, err := bound(l.byName["time"], text)
		if err != nil {
			return false // the compiler reports it
		}
		*into = v.(int64)
	}
	w.narrow(from, to)
	return true
}

// candidate is one condition that could be walked.
type candidate struct {
	walk      walk
	field     string
	values    []string
	condition query.Filter
	part      query.Attribute
	// score orders candidates, least first.
	score int
	// position is the condition's; rest replaces it once it is walked, and
	// keeps says that it stays: it says more than the walk does.
	position int
	rest     query.Filter
	keeps    bool
}

// Scores: how many records usually share a value, and what the walk costs.
const (
	scoreMerge  = 5
	scoreGather = 1000
	scoreWord   = 40
	scorePart   = 25
)

// commonness ranks indexed fields by how many records usually share a value.
func commonness(field string) int {
	switch field {
	case "id":
		return 0
	case "trace_id", "request_id", "session", "token_id":
		return 10
	case "target_id":
		return 20
	case "org_id", "login_org_id":
		return 60
	default:
		return 30
	}
}

func candidates(l *layout, f query.Filter) []candidate {
	switch f := f.(type) {
	case query.Text:
		if len(f.Words) == 0 {
			return nil
		}
		// Longer words are rarer.
		word := slices.MaxFunc(f.Words, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
		c := candidate{walk: walkWord, field: l.words, values: []string{word}, score: scoreWord}
		others := slices.DeleteFunc(slices.Clone(f.Words), func(w string) bool { return w == word })
		if len(others) > 0 {
			c.rest = query.Text{Words: others}
		}
		return []candidate{c}
	case query.Attribute:
		return partCandidates(l, f)
	case query.Prefix:
		return gather(l, f.Field, f)
	case query.CIDR:
		return gather(l, f.Field, f)
	case query.Equal, query.AnyOf:
		return valueCandidates(implied(l, f), false)
	case query.Or:
		return valueCandidates(implied(l, f), true)
	default:
		return nil
	}
}

func gather(l *layout, field string, f query.Filter) []candidate {
	if !l.byName[field].Selective {
		return nil
	}
	return []candidate{{walk: walkGather, field: field, condition: f, score: scoreGather + commonness(field)}}
}

func valueCandidates(sets map[string][]string, keeps bool) []candidate {
	var all []candidate
	for field, values := range sets {
		c := candidate{walk: walkField, field: field, values: values, keeps: keeps, score: 2 * commonness(field)}
		switch {
		case len(values) == 1:
		case field == "id": // at most one record each
			c.walk = walkGather
		case len(values) <= maxMerge:
			c.walk, c.score = walkMerge, c.score+scoreMerge
		default:
			c.walk, c.score = walkGather, c.score+scoreGather
		}
		all = append(all, c)
	}
	// A map has no order, and equal scores must give equal plans.
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(a.field, b.field) })
	return all
}

func partCandidates(l *layout, f query.Attribute) []candidate {
	if l.parts == "" {
		return nil
	}
	for i, values := range [][]string{f.ID, f.Name, f.OrgID} {
		if len(values) == 1 {
			column := [...]string{partColumns[1], partColumns[3], partColumns[2]}[i]
			return []candidate{{walk: walkPart, field: column, values: values, part: f, score: scorePart + i*scorePart}}
		}
	}
	return nil
}

// implied returns, for the indexed fields that f fixes, the values that a record
// must have one of for f to hold.
func implied(l *layout, f query.Filter) map[string][]string {
	switch f := f.(type) {
	case query.Equal:
		return implied(l, query.AnyOf{Field: f.Field, Values: []string{f.Value}})
	case query.AnyOf:
		if field := l.byName[f.Field]; field.Name == "id" || field.Selective {
			return map[string][]string{f.Field: f.Values}
		}
	case query.And:
		all := map[string][]string{}
		for _, child := range f {
			for field, values := range implied(l, child) {
				if have, ok := all[field]; !ok || len(values) < len(have) {
					all[field] = values
				}
			}
		}
		return all
	case query.Or:
		return impliedByAll(l, f)
	}
	return nil
}

func impliedByAll(l *layout, or query.Or) map[string][]string {
	var all map[string][]string
	for i, child := range or {
		sets := implied(l, child)
		if i == 0 {
			all = sets
			continue
		}
		joined := map[string][]string{}
		for field, values := range sets {
			if have, ok := all[field]; ok {
				union := slices.Concat(have, values)
				slices.Sort(union)
				joined[field] = slices.Compact(union)
			}
		}
		all = joined
	}
	return all
}

// indexed is the field that is walked.
func (p plan) indexed(l *layout) record.Field { return l.byName[p.field] }

// throughTime is the same plan on the index on time.
func (p plan) throughTime() plan {
	p.residual = slices.Clone(p.residual)
	switch {
	case p.condition != nil:
		p.residual = append(p.residual, p.condition)
	case p.field != "":
		p.residual = append(p.residual, query.AnyOf{Field: p.field, Values: p.values})
	}
	p.walk, p.field, p.values, p.condition = walkTime, "", nil, nil
	return p
}
