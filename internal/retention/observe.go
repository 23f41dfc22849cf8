package retention

import (
	"cmp"
	"slices"
	"time"
)

// Bounds of what is remembered of changes that have not settled. Beyond them the
// sets that end first are given up, and nothing is erased until they would have.
const (
	maxFormerSets  = 256
	maxFormerBytes = 1 << 20
)

// Observe returns what is to be remembered once the API said this at a moment. It
// does not change m, and observing the same again changes nothing.
//
// A policy that is not there any more counts as deleted at that moment; a hold that
// is not there and was not released is missing. A moment before one that was
// observed already counts as that one, so that no delay ends early.
func Observe(m Memory, policies []Policy, holds []Hold, now time.Time) Memory {
	m.seen = m.at(now)
	m.former = slices.DeleteFunc(slices.Clone(m.former), func(f formerSet) bool { return !f.until.After(m.seen) })
	if !m.paused.After(m.seen) {
		m.paused = time.Time{}
	}
	if len(m.former) == 0 {
		m.former = nil
	}
	m.observePolicies(policies)
	m.observeHolds(holds)
	return m
}

// observePolicies first takes in what was created and changed, then what is being
// deleted. So a policy that is already being deleted when it, or its last change, is
// seen first protects as any other.
func (m *Memory) observePolicies(policies []Policy) {
	s := newSpans()
	before := make(map[string]knownPolicy, len(m.policies))
	for _, p := range m.policies {
		before[p.Name] = p
	}
	next := make([]knownPolicy, 0, len(policies))
	var present, remaining []namedRule
	for _, p := range byName(policies, func(p Policy) string { return p.Name }) {
		known := knownPolicy{Name: p.Name, UID: p.UID, Rule: p.Rule.normal(s), Deleting: p.Deleting}
		was := before[p.Name]
		if was.Deleting && p.Deleting && was.UID == p.UID {
			known.Rule = was.Rule
			next = append(next, known)
			continue
		}
		rule := namedRule{p.Name, known.Rule}
		present = append(present, rule)
		if !p.Deleting {
			remaining = append(remaining, rule)
		}
		next = append(next, known)
	}
	if len(next) == 0 {
		next = nil
	}
	m.policies = next
	m.change(present)
	m.change(remaining)
}

// byName sorts a copy; of two with one name the last counts.
func byName[T any](list []T, name func(T) string) []T {
	list = slices.Clone(list)
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	return slices.CompactFunc(list, func(a, b T) bool { return name(a) == name(b) })
}

// change puts another set into force. The one before it goes on protecting until
// every change between them has settled.
func (m *Memory) change(rules []namedRule) {
	delay, changed := changeDelay(m.rules, rules)
	if !changed {
		return
	}
	if until := after(m.seen, delay); until.After(m.seen) {
		m.remember(formerSet{until: until, rules: m.rules})
	}
	m.rules = rules
	m.boundFormer()
}

// changeDelay is the longest delay among the changes from one set to another: of
// each the larger of the old rule's and the new one's.
func changeDelay(before, after []namedRule) (delay time.Duration, changed bool) {
	eachPair(before, after, func(_ string, then, now *Rule) {
		if then != nil && now != nil && then.equal(*now) {
			return
		}
		changed = true
		for _, r := range []*Rule{then, now} {
			if r != nil {
				delay = max(delay, r.ChangeDelay)
			}
		}
	})
	return delay, changed
}

// eachPair visits the names of two sorted sets in order, with the rule of each set;
// nil where a set has none.
func eachPair(a, b []namedRule, visit func(name string, a, b *Rule)) {
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || (len(a) > 0 && a[0].name < b[0].name):
			visit(a[0].name, &a[0].rule, nil)
			a = a[1:]
		case len(a) == 0 || b[0].name < a[0].name:
			visit(b[0].name, nil, &b[0].rule)
			b = b[1:]
		default:
			visit(a[0].name, &a[0].rule, &b[0].rule)
			a, b = a[1:], b[1:]
		}
	}
}

// remember adds a former set, or prolongs it: who changes a policy to and fro makes
// no more than two.
func (m *Memory) remember(set formerSet) {
	former := slices.Clone(m.former)
	same := slices.IndexFunc(former, func(f formerSet) bool {
		_, changed := changeDelay(f.rules, set.rules)
		return !changed
	})
	if same >= 0 {
		former[same].until = later(former[same].until, set.until)
	} else {
		former = append(former, set)
	}
	slices.SortStableFunc(former, func(a, b formerSet) int { return a.until.Compare(b.until) })
	m.former = former
}

func (m *Memory) boundFormer() {
	for len(m.former) > maxFormerSets || (len(m.former) > 0 && m.versions().bytes > maxFormerBytes) {
		// A quarter at a time: the versions are counted anew each time.
		drop := max(1, len(m.former)/4)
		if over := len(m.former) - maxFormerSets; over > 0 {
			drop = over
		}
		m.paused = later(m.paused, m.former[drop-1].until)
		m.former = m.former[drop:]
	}
	if len(m.former) == 0 {
		m.former = nil
	}
}

// versions are the rules of former sets that the set in force has not.
type versions struct {
	list []namedRule
	// with and without say for each former set in which versions and in the lack
	// of which names it differs from the set in force.
	with    [][]int
	without [][]string
	bytes   int
}

func (m Memory) versions() versions {
	var v versions
	known := map[string][]int{}
	number := func(name string, r *Rule) int {
		for _, i := range known[name] {
			if v.list[i].rule.equal(*r) {
				return i
			}
		}
		known[name] = append(known[name], len(v.list))
		v.list = append(v.list, namedRule{name, *r})
		v.bytes += len(name) + r.weight()
		return len(v.list) - 1
	}
	for _, f := range m.former {
		var with []int
		var without []string
		eachPair(f.rules, m.rules, func(name string, then, now *Rule) {
			switch {
			case then == nil:
				without = append(without, name)
				v.bytes += len(name)
			case now == nil || !then.equal(*now):
				with = append(with, number(name, then))
			}
		})
		v.with, v.without = append(v.with, with), append(v.without, without)
	}
	return v
}

// weight is about what a rule takes in JSON.
func (r Rule) weight() int {
	const rest, perItem = 150, 3
	n := rest
	for _, id := range r.OrgIDs {
		n += len(id) + perItem
	}
	return n
}
