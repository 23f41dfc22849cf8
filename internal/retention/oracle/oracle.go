// Package oracle decides about one record at a time whether it may be erased, from
// the rules of retention and the whole history of what was observed. It is slow and
// plain on purpose: tests compare plans, and what stores hold after them, with it.
//
// It shares with the planner the types and what an Age is, nothing else.
package oracle

import (
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// Oracle remembers everything that it was told. The zero Oracle was told nothing, and
// to it no record is due.
type Oracle struct {
	sights []sight
	// sets are the policies that were in force one after the other; the first is
	// that of nothing.
	sets []set
}

// sight is what the API said once.
type sight struct {
	at       time.Time
	policies map[string]retention.Policy
	holds    map[string]retention.Hold
}

// set is the policies that count, by name, since a moment.
type set struct {
	since    time.Time
	policies map[string]retention.Policy
}

// Observe tells what the API says at a moment. A moment before the last one counts as
// that.
func (o *Oracle) Observe(policies []retention.Policy, holds []retention.Hold, now time.Time) {
	next := sight{at: o.at(now), policies: map[string]retention.Policy{}, holds: map[string]retention.Hold{}}
	for _, p := range policies {
		p.Rule.Invalid = senseless(p.Rule)
		next.policies[p.Name] = p
	}
	for _, h := range holds {
		next.holds[h.Name] = h
	}
	if len(o.sets) == 0 {
		o.sets = []set{{}}
	}
	// What is created or changed at the moment of a deletion counts before it.
	created := set{next.at, map[string]retention.Policy{}}
	left := set{next.at, map[string]retention.Policy{}}
	for name, p := range next.policies {
		if !o.wasDeleting(p) {
			created.policies[name] = p
		}
		if !p.Deleting {
			left.policies[name] = p
		}
	}
	o.sights = append(o.sights, next)
	o.sets = append(o.sets, created, left)
}

// at is a moment, or the last that anything was observed at, if that is later.
func (o *Oracle) at(now time.Time) time.Time {
	if n := len(o.sights); n > 0 && o.sights[n-1].at.After(now) {
		return o.sights[n-1].at
	}
	return now
}

// wasDeleting tells whether a policy was being deleted when it was last observed.
func (o *Oracle) wasDeleting(p retention.Policy) bool {
	if len(o.sights) == 0 {
		return false
	}
	was, ok := o.sights[len(o.sights)-1].policies[p.Name]
	return ok && was.Deleting && p.Deleting && was.UID == p.UID
}

// Due tells whether a record may be erased at a moment.
func (o *Oracle) Due(r record.Record, now time.Time) bool {
	if len(o.sets) == 0 || len(o.Missing()) > 0 || o.Held(r, now) {
		return false
	}
	if !dueUnder(o.sets[len(o.sets)-1].policies, r, now) {
		return false
	}
	for i := 1; i < len(o.sets); i++ {
		if o.protects(i, now) && !dueUnder(o.sets[i-1].policies, r, now) {
			return false
		}
	}
	return true
}

// Kept tells whether a change that has not settled, or the set in force, keeps a
// record, holds apart.
func (o *Oracle) Kept(r record.Record, now time.Time) bool {
	for i := 1; i < len(o.sets); i++ {
		if o.protects(i, now) && !dueUnder(o.sets[i-1].policies, r, now) {
			return true
		}
	}
	return len(o.sets) == 0 || !dueUnder(o.sets[len(o.sets)-1].policies, r, now)
}

// protects tells whether a change to set i has not settled, so that the set before
// it still protects.
func (o *Oracle) protects(i int, now time.Time) bool {
	before, after := o.sets[i-1].policies, o.sets[i].policies
	for name, old := range before {
		changed, there := after[name]
		delay := old.Rule.ChangeDelay
		if there {
			delay = max(delay, changed.Rule.ChangeDelay)
		}
		if (!there || !same(old.Rule, changed.Rule)) && o.sets[i].since.Add(delay).After(o.at(now)) {
			return true
		}
	}
	for name, created := range after {
		if _, there := before[name]; !there && o.sets[i].since.Add(created.Rule.ChangeDelay).After(o.at(now)) {
			return true
		}
	}
	return false
}

// same tells whether two rules say the same. The order of lists does not matter.
func same(a, b retention.Rule) bool {
	return sameList(a.Kinds, b.Kinds) && sameList(a.OrgIDs, b.OrgIDs) && a.Keep == b.Keep &&
		a.MinKeep == b.MinKeep && a.MaxKeep == b.MaxKeep && a.Mode == b.Mode &&
		a.ChangeDelay == b.ChangeDelay && a.Invalid == b.Invalid
}

func sameList[T comparable](a, b []T) bool {
	in := func(list []T) func(T) bool { return func(v T) bool { return slices.Contains(list, v) } }
	return !slices.ContainsFunc(a, func(v T) bool { return !in(b)(v) }) &&
		!slices.ContainsFunc(b, func(v T) bool { return !in(a)(v) })
}

// senseless tells whether a rule did not parse or contradicts itself.
func senseless(r retention.Rule) bool {
	return r.Invalid || len(r.Kinds) == 0 || r.Keep.IsZero() ||
		(r.Mode != retention.Enforce && r.Mode != retention.DryRun) ||
		(!r.MinKeep.IsZero() && !r.Keep.Covers(r.MinKeep)) ||
		(!r.MaxKeep.IsZero() && !r.MaxKeep.Covers(r.Keep))
}
