package retention_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// Few names, orgs, people, ages and delays, so that they meet.
var (
	worldOrgs  = []string{"", "acme", "globex", "initech", "umbrella"}
	worldUsers = []string{"", "alice", "bob"}
	worldAges  = []string{"1d", "5d", "28d", "30d", "31d", "1mo", "2mo", "90d", "365d", "366d", "12mo", "1y", "13mo", "2y"}
	delays     = []time.Duration{0, time.Hour, day, 3 * day}
)

func pick[T any](random *rand.Rand, list []T) T { return list[random.IntN(len(list))] }

// some picks a few, or none.
func some(random *rand.Rand, list []string, most int) []string {
	var picked []string
	for range random.IntN(most + 1) {
		picked = append(picked, pick(random, list))
	}
	return picked
}

func randomKinds(random *rand.Rand) []record.Kind {
	switch random.IntN(4) {
	case 0:
		return []record.Kind{record.KindAudit}
	case 1:
		return []record.Kind{record.KindAuthAudit}
	case 2:
		return []record.Kind{record.KindAuthAudit, record.KindAudit}
	default:
		return record.Kinds()
	}
}

// randomRule is mostly one that makes sense.
func randomRule(random *rand.Rand) retention.Rule {
	r := retention.Rule{
		Kinds: randomKinds(random), Keep: age(pick(random, worldAges)), Mode: retention.Enforce,
		ChangeDelay: pick(random, delays), Invalid: random.IntN(25) == 0,
	}
	if random.IntN(2) == 0 {
		r.OrgIDs = some(random, worldOrgs, 3)
	}
	if random.IntN(3) == 0 {
		r.Mode = retention.DryRun
	}
	fitting := func(fits func(retention.Age) bool) retention.Age {
		for range 8 {
			if a := age(pick(random, worldAges)); fits(a) || random.IntN(60) == 0 {
				return a
			}
		}
		return retention.Age{}
	}
	if random.IntN(3) == 0 {
		r.MinKeep = fitting(r.Keep.Covers)
	}
	if random.IntN(3) == 0 {
		r.MaxKeep = fitting(func(a retention.Age) bool { return a.Covers(r.Keep) })
	}
	return r
}

func randomSpec(random *rand.Rand, at time.Time) retention.HoldSpec {
	h := retention.HoldSpec{
		OrgIDs: some(random, worldOrgs, 2), UserIDs: some(random, worldUsers, 1), ReleaseDelay: pick(random, delays),
	}
	if random.IntN(3) > 0 {
		h.Kinds = randomKinds(random)
	}
	if random.IntN(3) == 0 {
		h.TargetIDs = some(random, []string{"t1", "t2"}, 2)
	}
	if random.IntN(2) == 0 {
		h.From = at.AddDate(0, 0, -random.IntN(500))
	}
	if random.IntN(2) == 0 {
		h.To = at.AddDate(0, 0, -random.IntN(500)).Add(time.Duration(random.IntN(3)) * time.Nanosecond)
	}
	return h
}

// world is what the API says, and goes on to say.
type world struct {
	random   *rand.Rand
	now      time.Time
	policies []retention.Policy
	holds    []retention.Hold
	gone     []retention.Hold
	made     int
}

func newWorld(random *rand.Rand) *world {
	w := &world{random: random, now: moment("2026-03-27T10:00:00Z").Add(time.Duration(random.IntN(800)) * time.Hour)}
	for range random.IntN(5) {
		w.addPolicy()
	}
	for range random.IntN(2) {
		w.addHold()
	}
	return w
}

func (w *world) uid() string {
	w.made++
	return fmt.Sprint("uid-", w.made)
}

func (w *world) addPolicy() {
	name := fmt.Sprint("p", w.random.IntN(6))
	if slices.ContainsFunc(w.policies, func(p retention.Policy) bool { return p.Name == name }) {
		return
	}
	w.policies = append(w.policies, retention.Policy{
		Name: name, UID: w.uid(), Rule: randomRule(w.random), Deleting: w.random.IntN(20) == 0,
	})
}

func (w *world) addHold() {
	name := fmt.Sprint("h", w.random.IntN(3))
	if slices.ContainsFunc(w.holds, func(h retention.Hold) bool { return h.Name == name }) {
		return
	}
	for _, h := range w.gone { // it may be one that comes back as it was
		if h.Name == name && w.random.IntN(2) == 0 {
			w.holds = append(w.holds, h)
			return
		}
	}
	w.holds = append(w.holds, retention.Hold{
		Name: name, UID: w.uid(), Spec: randomSpec(w.random, w.now), Deleting: w.random.IntN(10) == 0,
	})
}

// step lets time pass, mostly forward, and somebody change something.
func (w *world) step() {
	w.policies, w.holds = slices.Clone(w.policies), slices.Clone(w.holds)
	w.now = w.now.Add(time.Duration(w.random.IntN(40*60)-60*6) * time.Minute)
	for range w.random.IntN(3) {
		w.changePolicies()
	}
	for range w.random.IntN(2) {
		w.changeHolds()
	}
}

func (w *world) changePolicies() {
	if len(w.policies) == 0 || w.random.IntN(4) == 0 {
		w.addPolicy()
		return
	}
	i := w.random.IntN(len(w.policies))
	p := &w.policies[i]
	switch w.random.IntN(8) {
	case 0, 1:
		p.Rule = randomRule(w.random)
	case 2:
		p.Rule.Keep = age(pick(w.random, worldAges))
	case 3:
		p.Rule.ChangeDelay = pick(w.random, delays)
	case 4:
		p.Deleting = true
	case 5: // it is gone, and perhaps comes back at once
		w.policies = slices.Delete(w.policies, i, i+1)
		w.addPolicy()
	case 6: // renamed
		was := *p
		p.Deleting = true
		w.addPolicy()
		last := &w.policies[len(w.policies)-1]
		last.Rule = was.Rule
	case 7: // deleted and created under its name
		p.UID, p.Deleting = w.uid(), false
	}
}

func (w *world) changeHolds() {
	if len(w.holds) == 0 || w.random.IntN(4) == 0 {
		w.addHold()
		return
	}
	i := w.random.IntN(len(w.holds))
	h := &w.holds[i]
	switch w.random.IntN(9) {
	case 0, 1:
		h.Spec = randomSpec(w.random, w.now)
	case 2: // narrowed
		h.Spec.OrgIDs = []string{pick(w.random, worldOrgs)}
	case 3:
		h.Spec.ReleaseDelay = pick(w.random, delays)
	case 4, 5:
		h.Deleting = true
	case 6:
		h.Keep = !h.Keep
	case 7:
		w.gone = append(w.gone, *h)
		w.holds = slices.Delete(w.holds, i, i+1)
	case 8:
		h.UID, h.Deleting = w.uid(), false
	}
}

// randomRecord is often within a microsecond of where an age ends.
func randomRecord(random *rand.Rand, at time.Time) record.Record {
	when := age(pick(random, worldAges)).Before(at)
	switch random.IntN(3) {
	case 0:
		when = when.Add(time.Duration(random.IntN(3)-1) * time.Microsecond)
	case 1:
		when = when.Add(time.Duration(random.IntN(100)-50) * time.Hour)
	}
	r := record.New(pick(random, record.Kinds()))
	base := r.Base()
	base.Time, base.OrgID, base.UserID = record.At(when), pick(random, append(worldOrgs, "nobody")), pick(random, worldUsers)
	if a, ok := r.(*record.Audit); ok {
		a.TargetID = pick(random, []string{"", "t1", "t2"})
	}
	return r
}

// index lists records as a store that keeps calendar months would.
func index(records []record.Record) []retention.Stretch {
	stretches := map[string]*retention.Stretch{}
	for _, r := range records {
		when, name := r.Base().Time.Time(), stretchOf(r)
		s, ok := stretches[name]
		if !ok {
			from := time.Date(when.Year(), when.Month(), 1, 0, 0, 0, 0, time.UTC)
			s = &retention.Stretch{Kind: r.Kind(), Name: name, From: from, To: from.AddDate(0, 1, 0)}
			stretches[name] = s
		}
		i := slices.IndexFunc(s.Orgs, func(o retention.Stock) bool { return o.OrgID == r.Base().OrgID })
		if i < 0 {
			i = len(s.Orgs)
			s.Orgs = append(s.Orgs, retention.Stock{OrgID: r.Base().OrgID, Oldest: when, Newest: when})
		}
		o := &s.Orgs[i]
		o.Records++
		if when.Before(o.Oldest) {
			o.Oldest = when
		}
		if when.After(o.Newest) {
			o.Newest = when
		}
	}
	var list []retention.Stretch
	for _, s := range stretches {
		slices.SortFunc(s.Orgs, func(a, b retention.Stock) int { return compare(a.OrgID, b.OrgID) })
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b retention.Stretch) int { return compare(a.Name, b.Name) })
	return list
}

// stretchOf names the stretch that a record is in.
func stretchOf(r record.Record) string {
	return string(r.Kind()) + r.Base().Time.Time().Format("2006-01")
}

func compare(a, b string) int { return slices.Compare([]byte(a), []byte(b)) }

// selects tells whether a step has a record, holds apart.
func selects(s retention.Step, r record.Record) bool {
	when := r.Base().Time.Time()
	return s.Kind == r.Kind() && !when.Before(s.From) && when.Before(s.Until) &&
		slices.Contains(s.Orgs, r.Base().OrgID) != s.Except
}

// planned tells whether a record is in a plan, as Plan says it.
func planned(p retention.Plan, r record.Record) bool {
	return slices.ContainsFunc(p.Steps, func(s retention.Step) bool { return selects(s, r) }) &&
		!slices.ContainsFunc(p.Holds, func(h retention.HoldSpec) bool { return h.Holds(r) })
}

// satisfies evaluates the filters that steps are made of.
func satisfies(f query.Filter, r record.Record) bool {
	values := map[string]string{
		"org_id": r.Base().OrgID, "user_id": r.Base().UserID, "time": r.Base().Time.String(),
	}
	if a, ok := r.(*record.Audit); ok {
		values["target_id"] = a.TargetID
	}
	switch f := f.(type) {
	case query.And:
		return !slices.ContainsFunc(f, func(child query.Filter) bool { return !satisfies(child, r) })
	case query.Or:
		return slices.ContainsFunc(f, func(child query.Filter) bool { return satisfies(child, r) })
	case query.Not:
		return !satisfies(f.Filter, r)
	case query.Exists:
		return values[f.Field] != ""
	case query.Equal:
		return values[f.Field] != "" && values[f.Field] == f.Value
	case query.AnyOf:
		return values[f.Field] != "" && slices.Contains(f.Values, values[f.Field])
	case query.Range: // canonical times sort as text
		return (f.Min == "" || values[f.Field] >= f.Min) && (f.Max == "" || values[f.Field] < f.Max)
	default:
		panic(fmt.Sprintf("%T is in no step", f))
	}
}
