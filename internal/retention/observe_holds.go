package retention

import (
	"cmp"
	"slices"
	"time"
)

func (m *Memory) observeHolds(holds []Hold) {
	present := map[string]Hold{}
	for _, h := range holds {
		h.Spec = h.Spec.normal()
		present[h.Name] = h
	}
	var next []knownHold
	for _, known := range m.holds {
		said, ok := present[known.Name]
		delete(present, known.Name)
		switch {
		case ok:
			next = append(next, known.update(said, m.seen))
		case !known.released(m.seen):
			next = append(next, known.lost(m.seen))
		}
	}
	for _, said := range present {
		fresh := knownHold{Name: said.Name, Since: m.seen}
		next = append(next, fresh.begin(said, m.seen))
	}
	slices.SortFunc(next, func(a, b knownHold) int { return cmp.Compare(a.Name, b.Name) })
	m.holds = boundFormerSpecs(next)
}

// begin is the hold from its first sight on.
func (h knownHold) begin(said Hold, at time.Time) knownHold {
	h.Since, h.Active = at, after(at, BatchTimeout)
	h.Spec, h.UID = said.Spec, said.UID
	h.Releasing, h.Suspended = time.Time{}, said.Deleting && said.Keep
	if said.Deleting && !said.Keep {
		h.Releasing = at
	}
	return h
}

// update is the hold after the API said this of it.
func (h knownHold) update(said Hold, at time.Time) knownHold {
	releasing := said.Deleting && !said.Keep
	if h.released(at) && (!releasing || said.UID != h.UID) {
		return knownHold{Name: h.Name}.begin(said, at)
	}
	h.Former = h.formerAt(at)
	if !h.Spec.equal(said.Spec) && !h.released(at) {
		h = h.remember(at, max(h.Spec.ReleaseDelay, said.Spec.ReleaseDelay))
	}
	if !h.Spec.sameContent(said.Spec) {
		h.Active = after(at, BatchTimeout)
	}
	switch {
	case !releasing:
		h.Releasing = time.Time{}
	case h.Releasing.IsZero() || h.UID != said.UID:
		h.Releasing = at
	}
	h.Suspended = said.Deleting && said.Keep
	h.Spec, h.UID, h.Missing = said.Spec, said.UID, false
	return h
}

// lost is the hold while the API has none of its name.
func (h knownHold) lost(at time.Time) knownHold {
	h.Former = h.formerAt(at)
	h.Missing, h.Suspended, h.Releasing = true, false, time.Time{}
	return h
}

// formerAt are the former specs that still hold.
func (h knownHold) formerAt(at time.Time) []formerSpec {
	var left []formerSpec
	for _, f := range h.Former {
		if f.Until.After(at) {
			left = append(left, f)
		}
	}
	return left
}

// remember makes the present spec a former one.
func (h knownHold) remember(at time.Time, delay time.Duration) knownHold {
	was := formerSpec{Until: after(at, delay), Spec: h.Spec}
	was.Spec.ReleaseDelay = 0
	if !was.Until.After(at) {
		return h
	}
	former := slices.Clone(h.Former)
	same := slices.IndexFunc(former, func(f formerSpec) bool { return f.Spec.sameContent(was.Spec) })
	if same >= 0 {
		former[same].Until = later(former[same].Until, was.Until)
	} else {
		former = append(former, was)
	}
	h.Former = sortedFormer(former)
	return h
}

func sortedFormer(former []formerSpec) []formerSpec {
	slices.SortStableFunc(former, func(a, b formerSpec) int { return a.Until.Compare(b.Until) })
	return former
}

// releaseAt is when nothing of the hold is left; zero while nobody asked for that.
func (h knownHold) releaseAt() time.Time {
	if h.Releasing.IsZero() || h.Missing {
		return time.Time{}
	}
	return later(after(h.Releasing, h.Spec.ReleaseDelay), h.formerUntil())
}

// formerUntil is when the last former spec ends.
func (h knownHold) formerUntil() time.Time {
	if len(h.Former) == 0 {
		return time.Time{}
	}
	return h.Former[len(h.Former)-1].Until
}

func (h knownHold) released(at time.Time) bool {
	release := h.releaseAt()
	return !release.IsZero() && !release.After(at)
}

// held lists what holds at a moment, sorted, each content once.
func (m Memory) held(at time.Time) []HoldSpec {
	var specs []HoldSpec
	for _, h := range m.holds {
		if h.released(at) {
			continue
		}
		spec := h.Spec
		spec.ReleaseDelay = 0
		specs = append(specs, spec)
		for _, f := range h.formerAt(at) {
			specs = append(specs, f.Spec)
		}
	}
	slices.SortFunc(specs, HoldSpec.compare)
	return slices.CompactFunc(specs, HoldSpec.sameContent)
}

func (h HoldSpec) compare(other HoldSpec) int {
	return cmp.Or(
		slices.Compare(h.Kinds, other.Kinds), slices.Compare(h.OrgIDs, other.OrgIDs),
		slices.Compare(h.UserIDs, other.UserIDs), slices.Compare(h.TargetIDs, other.TargetIDs),
		h.From.Compare(other.From), h.To.Compare(other.To))
}
