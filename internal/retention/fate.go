package retention

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

// fate is what becomes of the records of an org: what is due now, and what is shown
// besides.
type fate struct {
	verdict
	shown []stage
}

// stage is a range of times that is due later, or would be.
type stage struct {
	from, before time.Time
	policy       string
	due          time.Time
}

// fates finds the fate of each org for one kind of record. Most orgs share theirs,
// so they are put into classes: a plan works on a few classes for each stretch, not
// on policies.
type fates struct {
	current  *ruleset
	former   []*ruleset
	until    []time.Time
	promoted *ruleset
	// classes has first the one of orgs that no policy names.
	classes []fate
	byKey   map[string]int
	// named are all orgs that a policy names, with their class once it is known.
	named map[string]int
	// cutoffs are the named orgs, those first whose records are kept longest, and
	// names the same by name; nil as long as nobody asked.
	cutoffs, names []string
}

const (
	others  = 0
	unknown = -1
)

func newFates(m Memory, kind record.Kind, now time.Time) *fates {
	f := &fates{byKey: map[string]int{}, named: map[string]int{}}
	c := newClock(now)
	var sets []*ruleset
	for i, set := range m.inForce(m.at(now)) {
		rules := newRuleset(set.rules, kind, c, false)
		sets = append(sets, rules)
		if i > 0 {
			f.until = append(f.until, set.until)
		}
	}
	f.current, f.former = sets[0], sets[1:]
	f.promoted = newRuleset(m.rules, kind, c, true)
	for _, s := range sets {
		for org := range s.named {
			f.named[org] = unknown
		}
	}
	f.class(f.find("", false), true)
	return f
}

// of returns the class of an org.
func (f *fates) of(org string) int {
	class, named := f.named[org]
	switch {
	case !named:
		return others
	case class == unknown:
		class = f.class(f.find(org, true), false)
		f.named[org] = class
	}
	return class
}

// class numbers a fate. The class of the other orgs is theirs alone, since a step
// names it by all orgs that are not in it.
func (f *fates) class(of fate, alone bool) int {
	key := of.key()
	if class, ok := f.byKey[key]; ok {
		return class
	}
	f.classes = append(f.classes, of)
	class := len(f.classes) - 1
	if !alone {
		f.byKey[key] = class
	}
	return class
}

func (f fate) key() string {
	var b strings.Builder
	add := func(t time.Time, policy string) { fmt.Fprintf(&b, "%d.%d %q ", t.Unix(), t.Nanosecond(), policy) }
	add(f.before, f.policy)
	for _, s := range f.shown {
		add(s.from, s.policy)
		add(s.before, "")
		add(s.due, "")
	}
	return b.String()
}

// find asks every set about an org that some policy names, or about the others. The
// set in force alone says which policy erases; the former ones only protect.
func (f *fates) find(org string, named bool) fate {
	settled := f.current.of(org, named)
	// cuts[i] is the cutoff once the first i former sets have ended.
	cuts := make([]time.Time, len(f.former)+1)
	cuts[len(f.former)] = settled.before
	for i, set := range slices.Backward(f.former) {
		cuts[i] = earlier(cuts[i+1], set.of(org, named).before)
	}
	result := fate{verdict: verdict{before: cuts[0], policy: settled.policy}}
	for i, cut := range cuts[1:] {
		if cut.After(cuts[i]) {
			result.shown = append(result.shown, stage{cuts[i], cut, settled.policy, f.until[i]})
		}
	}
	if would := f.promoted.of(org, named); would.before.After(settled.before) {
		result.shown = append(result.shown, stage{settled.before, would.before, would.policy, time.Time{}})
	}
	return result
}

// latest is the class with the latest cutoff.
func (f *fates) latest() int {
	if named := f.byCutoff(); len(named) > 0 {
		last := f.of(named[len(named)-1])
		if f.classes[last].before.After(f.classes[others].before) {
			return last
		}
	}
	return others
}

// byCutoff lists all named orgs, those first whose records are kept longest.
func (f *fates) byCutoff() []string {
	if f.cutoffs == nil {
		f.cutoffs = slices.Clone(f.byName())
		slices.SortStableFunc(f.cutoffs, func(a, b string) int {
			return f.classes[f.of(a)].before.Compare(f.classes[f.of(b)].before)
		})
	}
	return f.cutoffs
}

// byName lists all named orgs, sorted.
func (f *fates) byName() []string {
	if f.names == nil {
		f.names = slices.Sorted(maps.Keys(f.named))
	}
	return f.names
}

// spared lists the named orgs that may have records before a moment that are not
// due, sorted.
func (f *fates) spared(until time.Time) []string {
	named := f.byCutoff()
	n, _ := slices.BinarySearchFunc(named, until, func(org string, until time.Time) int {
		if f.classes[f.of(org)].before.Before(until) {
			return -1
		}
		return 1
	})
	return sorted(named[:n])
}
