package retention

import "slices"

// maxFormerSpecBytes bounds what former specs of all holds take together, about.
const maxFormerSpecBytes = 1 << 20

// boundFormerSpecs replaces former specs by fewer ones that hold more, where there
// are too many: of each hold at first, of all more and more until they fit.
func boundFormerSpecs(holds []knownHold) []knownHold {
	for _, level := range []struct{ specs, values int }{{16, 1000}, {4, 50}, {1, 10}} {
		total := 0
		for i, h := range holds {
			holds[i].Former = fewer(h.Former, level.specs, level.values)
			for _, f := range holds[i].Former {
				total += f.Spec.weight()
			}
		}
		if total <= maxFormerSpecBytes {
			break
		}
	}
	return holds
}

// fewer joins the specs that end first.
func fewer(former []formerSpec, most, values int) []formerSpec {
	if len(former) <= most {
		return former
	}
	former = slices.Clone(former)
	for len(former) > most {
		former[1].Spec = hull(former[0].Spec, former[1].Spec, values)
		former = former[1:]
	}
	return former
}

// weight is about what a spec takes in JSON.
func (h HoldSpec) weight() int {
	const rest, perItem = 150, 3
	n := rest
	for _, list := range [][]string{h.OrgIDs, h.UserIDs, h.TargetIDs} {
		for _, id := range list {
			n += len(id) + perItem
		}
	}
	return n
}

// hull returns a spec that holds at least what a and b hold. A list of more than
// this many values becomes one of all.
func hull(a, b HoldSpec, values int) HoldSpec {
	h := HoldSpec{
		Kinds:     union(a.Kinds, b.Kinds, values),
		OrgIDs:    union(a.OrgIDs, b.OrgIDs, values),
		UserIDs:   union(a.UserIDs, b.UserIDs, values),
		TargetIDs: union(a.TargetIDs, b.TargetIDs, values),
	}
	p, q := a.period(), b.period()
	if !p.from.IsZero() && !q.from.IsZero() {
		h.From = earlier(p.from, q.from)
	}
	if !p.to.IsZero() && !q.to.IsZero() {
		h.To = later(p.to, q.to)
	}
	return h
}

// union joins two lists in which nothing stands for everything.
func union[T ~string](a, b []T, most int) []T {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	all := sorted(slices.Concat(a, b))
	if len(all) > most {
		return nil
	}
	return all
}
