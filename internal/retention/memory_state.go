package retention

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

// Policies lists what is known of the policies that the API had when it was last
// observed, sorted by name.
func (m Memory) Policies() []PolicyState {
	conflicts := m.conflicts()
	settling := m.settling()
	states := make([]PolicyState, 0, len(m.policies))
	for _, p := range m.policies {
		at := settling[p.Name]
		states = append(states, PolicyState{
			Name: p.Name, Rule: p.Rule, Deleting: p.Deleting,
			Settled: at.IsZero(), SettledAt: at, Gone: p.Deleting && at.IsZero(),
			Conflicts: conflicts[p.Name],
		})
	}
	return states
}

// settling says until when a former set protects in which a policy differs from the
// set in force. Names without one are missing.
func (m Memory) settling() map[string]time.Time {
	until := map[string]time.Time{}
	for _, f := range m.former { // sorted: a later one overwrites
		eachPair(f.rules, m.rules, func(name string, then, now *Rule) {
			if then == nil || now == nil || !then.equal(*now) {
				until[name] = f.until
			}
		})
	}
	if !m.paused.IsZero() { // what the sets were that were given up is not known
		for _, p := range m.policies {
			until[p.Name] = later(until[p.Name], m.paused)
		}
	}
	return until
}

// conflicts finds the policies whose maxKeep is below the minKeep of another one
// that can match the same records.
func (m Memory) conflicts() map[string][]string {
	s := newSpans()
	var duties, floors []namedRule
	settling := m.settling()
	for _, p := range m.policies {
		named := namedRule{p.Name, p.Rule}
		_, pending := settling[p.Name]
		if p.Rule.Invalid || (p.Deleting && !pending) {
			continue
		}
		if !p.Rule.MaxKeep.IsZero() && p.Rule.Mode == Enforce && !p.Deleting {
			duties = append(duties, named)
		}
		if !p.Rule.MinKeep.IsZero() {
			floors = append(floors, named)
		}
	}
	found := map[string][]string{}
	add := func(name, other string) {
		if !slices.Contains(found[name], other) {
			found[name] = append(found[name], other)
		}
	}
	for _, d := range duties {
		for _, f := range floors {
			if d.name != f.name && !s.covers(d.rule.MaxKeep, f.rule.MinKeep) && d.rule.overlaps(f.rule) {
				add(d.name, f.name)
				add(f.name, d.name)
			}
		}
	}
	for name, others := range found {
		slices.Sort(others)
		found[name] = others[:min(len(others), MaxConflicts)]
	}
	return found
}

// Holds lists what is known of holds, sorted by name: of those that hold and those
// that the API still had when it was last observed.
func (m Memory) Holds() []HoldState {
	states := make([]HoldState, 0, len(m.holds))
	for _, h := range m.holds {
		states = append(states, HoldState{
			Name: h.Name, Spec: h.Spec, Phase: h.phase(m.seen), Since: h.Since, ActiveAt: h.Active,
			ReleaseAt: h.releaseAt(), FormerUntil: h.formerUntil(), Gone: h.released(m.seen),
		})
	}
	return states
}

func (h knownHold) phase(at time.Time) Phase {
	switch {
	case h.Missing:
		return Missing
	case !h.Releasing.IsZero():
		return Releasing
	case h.Active.After(at):
		return Pending
	default:
		return Active
	}
}

// MissingHolds names the holds that the API lost before they were released, sorted.
// While there is one, nothing is erased.
func (m Memory) MissingHolds() []string {
	var names []string
	for _, h := range m.holds {
		if h.Missing {
			names = append(names, h.Name)
		}
	}
	return names
}

// NextChange is when something settles, becomes active or is released by the mere
// passing of time, after now; zero when nothing is pending.
func (m Memory) NextChange(now time.Time) time.Time {
	at := m.at(now)
	var next time.Time
	consider := func(t time.Time) {
		if t.After(at) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	consider(m.paused)
	for _, f := range m.former {
		consider(f.until)
	}
	for _, h := range m.holds {
		consider(h.Active)
		consider(h.releaseAt())
		for _, f := range h.Former {
			consider(f.Until)
		}
	}
	return next
}

// Protection is a fingerprint of everything that keeps records: it differs once a
// hold appeared or widened, one is missing, or a policy changed, and once one of
// these protections has ended. It does not tell who holds, or in which phase. A plan
// made under one protection must not be executed under another.
func (m Memory) Protection() string {
	document := m.document()
	protects := struct {
		Memory  memoryDocument
		Held    []HoldSpec
		Missing []string
	}{document, m.held(m.seen), m.MissingHolds()}
	protects.Memory.Seen, protects.Memory.Holds, protects.Memory.Policies = time.Time{}, nil, nil
	for _, r := range m.rules {
		protects.Memory.Policies = append(protects.Memory.Policies, knownPolicy{Name: r.name, Rule: r.rule})
	}
	text, err := json.Marshal(protects)
	if err != nil {
		// No moment in a Memory is beyond what JSON writes; should one be, no
		// two protections are the same.
		text = []byte(err.Error() + m.seen.String())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Equal tells whether two Memories are the same.
func (m Memory) Equal(other Memory) bool {
	return m.seen.Equal(other.seen) && m.sameState(other)
}

// seenGrain is how far Seen may go on without being saved.
const seenGrain = 10 * time.Minute

// NeedsSaving tells whether m must be saved before anything is done that it allows:
// it differs from what was saved in more than ten minutes of Seen.
func (m Memory) NeedsSaving(saved Memory) bool {
	return !m.sameState(saved) || m.seen.Sub(saved.seen) >= seenGrain
}

// sameState compares all but seen.
func (m Memory) sameState(other Memory) bool {
	sameSet := func(a, b formerSet) bool {
		_, changed := changeDelay(a.rules, b.rules)
		return a.until.Equal(b.until) && !changed
	}
	_, changed := changeDelay(m.rules, other.rules)
	return !changed && m.paused.Equal(other.paused) &&
		slices.EqualFunc(m.policies, other.policies, knownPolicy.equal) &&
		slices.EqualFunc(m.former, other.former, sameSet) &&
		slices.EqualFunc(m.holds, other.holds, knownHold.equal)
}

func (p knownPolicy) equal(other knownPolicy) bool {
	return p.Name == other.Name && p.UID == other.UID && p.Deleting == other.Deleting && p.Rule.equal(other.Rule)
}

func (h knownHold) equal(other knownHold) bool {
	sameFormer := func(a, b formerSpec) bool { return a.Until.Equal(b.Until) && a.Spec.equal(b.Spec) }
	return h.Name == other.Name && h.UID == other.UID && h.Spec.equal(other.Spec) &&
		h.Since.Equal(other.Since) && h.Active.Equal(other.Active) && h.Releasing.Equal(other.Releasing) &&
		h.Suspended == other.Suspended && h.Missing == other.Missing &&
		slices.EqualFunc(h.Former, other.Former, sameFormer)
}
