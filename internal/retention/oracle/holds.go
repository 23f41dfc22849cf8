package oracle

import (
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// Missing names the holds that the API lost before they were released.
func (o *Oracle) Missing() []string {
	var missing []string
	for _, name := range o.holdNames() {
		last := o.lastWith(name, len(o.sights))
		if last < len(o.sights)-1 && !o.released(name, last, o.sights[last+1].at) {
			missing = append(missing, name)
		}
	}
	return missing
}

// Held tells whether a hold, or what is left of one, holds a record.
func (o *Oracle) Held(r record.Record, now time.Time) bool {
	return slices.ContainsFunc(o.holdNames(), func(name string) bool {
		for i, s := range o.sights {
			h, there := s.holds[name]
			if there && holds(h.Spec, r) && o.stands(name, i, o.at(now)) {
				return true
			}
		}
		return false
	})
}

func (o *Oracle) holdNames() []string {
	var names []string
	for _, s := range o.sights {
		for name := range s.holds {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// lastWith is the last of the first n sights in which a hold was there.
func (o *Oracle) lastWith(name string, n int) int {
	for i := n - 1; i >= 0; i-- {
		if _, there := o.sights[i].holds[name]; there {
			return i
		}
	}
	return -1
}

// stands tells whether what a hold said in sight i is still held at a moment.
func (o *Oracle) stands(name string, i int, at time.Time) bool {
	next := i + 1
	for next < len(o.sights) {
		if _, there := o.sights[next].holds[name]; there {
			break
		}
		next++
	}
	if i+1 == len(o.sights) { // it is what the hold says now
		return !o.released(name, i, at)
	}
	if o.released(name, i, o.sights[i+1].at) {
		return false
	}
	if next == len(o.sights) { // it is missing
		return true
	}
	before, after := o.sights[i].holds[name].Spec, o.sights[next].holds[name].Spec
	delay := max(before.ReleaseDelay, after.ReleaseDelay)
	if sameHold(before, after) {
		return false // the next sight speaks for it
	}
	return o.sights[next].at.Add(delay).After(at)
}

// released tells whether a hold, as sight i left it, is released at a moment: it is
// being deleted since its delay, and what changes took from it is over too.
func (o *Oracle) released(name string, i int, at time.Time) bool {
	h := o.sights[i].holds[name]
	if !h.Deleting || h.Keep {
		return false
	}
	since := i
	for since > 0 {
		was, there := o.sights[since-1].holds[name]
		if !there || !was.Deleting || was.Keep || was.UID != h.UID {
			break
		}
		since--
	}
	if o.sights[since].at.Add(max(h.Spec.ReleaseDelay, 0)).After(at) {
		return false
	}
	for j := range i {
		if _, there := o.sights[j].holds[name]; there && o.leaves(name, j, i, at) {
			return false
		}
	}
	return true
}

// leaves tells whether the change after sight j, up to sight i, left something that
// is still held at a moment.
func (o *Oracle) leaves(name string, j, i int, at time.Time) bool {
	next := j + 1
	for next <= i {
		if _, there := o.sights[next].holds[name]; there {
			break
		}
		next++
	}
	if next > i {
		return false
	}
	before, after := o.sights[j].holds[name].Spec, o.sights[next].holds[name].Spec
	return !sameHold(before, after) && !o.released(name, j, o.sights[j+1].at) &&
		o.sights[next].at.Add(max(before.ReleaseDelay, after.ReleaseDelay)).After(at)
}

func sameHold(a, b retention.HoldSpec) bool {
	return sameList(a.Kinds, b.Kinds) && sameList(a.OrgIDs, b.OrgIDs) && sameList(a.UserIDs, b.UserIDs) &&
		sameList(a.TargetIDs, b.TargetIDs) && a.From.Equal(b.From) && a.To.Equal(b.To) &&
		a.ReleaseDelay == b.ReleaseDelay
}

// holds tells whether a hold that says this holds a record.
func holds(h retention.HoldSpec, r record.Record) bool {
	if len(h.Kinds) > 0 && !slices.Contains(h.Kinds, r.Kind()) {
		return false
	}
	if len(h.OrgIDs) > 0 && !slices.Contains(h.OrgIDs, r.Base().OrgID) {
		return false
	}
	if len(h.UserIDs) > 0 && !slices.Contains(h.UserIDs, r.Base().UserID) {
		return false
	}
	if len(h.TargetIDs) > 0 {
		audit, ok := r.(*record.Audit)
		if !ok || !slices.Contains(h.TargetIDs, audit.TargetID) {
			return false
		}
	}
	when := r.Base().Time.Time()
	backwards := !h.From.IsZero() && !h.To.IsZero() && !h.From.Before(h.To)
	return backwards || ((h.From.IsZero() || !when.Before(h.From)) && (h.To.IsZero() || when.Before(h.To)))
}
