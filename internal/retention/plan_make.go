package retention

import (
	"cmp"
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

// maxExceptOrgs is how many orgs a step is written as the exception of.
const maxExceptOrgs = 1000

// NewPlan says what may be erased of what the index lists, by what m remembers. The
// order of the index does not matter, and its cost grows with the number of stocks in
// it: policies are looked at once for each org, not for each stretch.
func NewPlan(m Memory, index []Stretch, now time.Time) Plan {
	at := m.at(now)
	plan := Plan{At: plain(now), Blocked: m.blocked(at), Holds: m.held(at)}
	planners := map[record.Kind]*planner{}
	for _, stretch := range index {
		p, ok := planners[stretch.Kind]
		if !ok {
			p = newPlanner(m, stretch.Kind, now, plan.Holds)
			planners[stretch.Kind] = p
		}
		p.add(&plan, stretch)
	}
	slices.SortFunc(plan.Steps, Step.compare)
	slices.SortFunc(plan.Shown, Step.compare)
	return plan
}

// compare puts whole stretches first, then the oldest.
func (s Step) compare(other Step) int {
	number := func(is bool) int {
		if is {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(number(s.Whole), number(other.Whole)), s.From.Compare(other.From), cmp.Compare(s.Kind, other.Kind),
		cmp.Compare(s.Stretch, other.Stretch), s.Until.Compare(other.Until), cmp.Compare(s.Policy, other.Policy),
		s.Due.Compare(other.Due), cmp.Compare(number(s.Except), number(other.Except)), slices.Compare(s.Orgs, other.Orgs))
}

// planner plans for one kind of record.
type planner struct {
	fates *fates
	held  heldPeriods
	// members are the places in the stretch at hand of the stocks of each class;
	// classes lists the classes that have any.
	members [][]int
	classes []int
	// reached is for parts, which is called for every class of every stretch.
	reached []int
}

func newPlanner(m Memory, kind record.Kind, now time.Time, holds []HoldSpec) *planner {
	return &planner{fates: newFates(m, kind, now), held: newHeldPeriods(holds, kind)}
}

func (p *planner) add(plan *Plan, stretch Stretch) {
	p.sort(stretch.Orgs)
	if step, ok := p.whole(stretch); ok {
		plan.Steps = append(plan.Steps, step)
		return
	}
	for _, class := range p.classes {
		fate := p.fates.classes[class]
		due := stage{from: never(), before: fate.before, policy: fate.policy}
		plan.Steps = p.parts(plan.Steps, stretch, class, due)
		for _, s := range fate.shown {
			plan.Shown = p.parts(plan.Shown, stretch, class, s)
		}
	}
}

// sort puts the stocks of a stretch into their classes.
func (p *planner) sort(stocks []Stock) {
	for _, class := range p.classes {
		p.members[class] = p.members[class][:0]
	}
	p.classes = p.classes[:0]
	for i := range stocks {
		class := p.fates.of(stocks[i].OrgID)
		for class >= len(p.members) {
			p.members = append(p.members, nil)
		}
		if len(p.members[class]) == 0 {
			p.classes = append(p.classes, class)
		}
		p.members[class] = append(p.members[class], i)
	}
}

// whole returns the step that erases a stretch at once, if all of it is due and no
// hold can match. The step selects no more than what is due, also of orgs that have
// nothing in the stretch: should a record come late that is not due, the stretch is
// found to have a survivor.
func (p *planner) whole(stretch Stretch) (Step, bool) {
	if stretch.From.IsZero() || stretch.To.IsZero() || p.held.match(stretch) {
		return Step{}, false
	}
	classes := p.classes
	if len(classes) == 0 { // an empty stretch goes once any record in it would
		classes = []int{p.fates.latest()}
	}
	longest := classes[0]
	var policies []string
	for _, class := range classes {
		policies = append(policies, p.fates.classes[class].policy)
		fate, most := p.fates.classes[class], p.fates.classes[longest]
		if fate.before.Before(most.before) || (fate.before.Equal(most.before) && fate.policy < most.policy) {
			longest = class
		}
	}
	if p.fates.classes[longest].before.Before(stretch.To) {
		return Step{}, false
	}
	step := Step{
		Policy: p.fates.classes[longest].policy, Policies: sorted(policies), Kind: stretch.Kind, Stretch: stretch.Name,
		From: stretch.From, Until: stretch.To, Whole: true, Exact: true,
	}
	for _, stock := range stretch.Orgs {
		step.Records += stock.Records
	}
	if !p.fates.classes[others].before.Before(stretch.To) {
		if spared := p.fates.spared(stretch.To); len(spared) <= max(maxExceptOrgs, len(stretch.Orgs)) {
			step.Orgs, step.Except = spared, true
			return step, true
		}
	}
	for _, stock := range stretch.Orgs {
		step.Orgs = append(step.Orgs, stock.OrgID)
	}
	step.Orgs = sorted(step.Orgs)
	return step, true
}

// parts appends the steps that erase the records of one class in a range of times.
func (p *planner) parts(steps []Step, stretch Stretch, class int, of stage) []Step {
	from, until := later(of.from, stretch.From), of.before
	if stretch.From.IsZero() && of.from.Equal(never()) {
		from = time.Time{}
	}
	if !stretch.To.IsZero() {
		until = earlier(until, stretch.To)
	}
	p.reached = p.reached[:0]
	for _, i := range p.members[class] {
		if stretch.Orgs[i].reaches(from, until) {
			p.reached = append(p.reached, i)
		}
	}
	if len(p.reached) == 0 || !until.After(later(from, firstTime())) {
		return steps
	}
	part := Step{
		Policy: of.policy, Policies: []string{of.policy}, Kind: stretch.Kind, Stretch: stretch.Name, From: from, Until: until, Due: of.due,
	}
	if named := len(p.fates.named); class == others && named <= min(maxExceptOrgs, len(p.reached)) {
		step := part.taking(stretch.Orgs, p.reached)
		step.Orgs, step.Except = slices.Clone(p.fates.byName()), true
		return append(steps, step)
	}
	slices.SortFunc(p.reached, func(i, j int) int { return cmp.Compare(stretch.Orgs[i].OrgID, stretch.Orgs[j].OrgID) })
	for chunk := range slices.Chunk(p.reached, MaxStepOrgs) {
		steps = append(steps, part.taking(stretch.Orgs, chunk))
	}
	return steps
}

// taking names and counts the stocks at some places.
func (s Step) taking(stocks []Stock, places []int) Step {
	s.Exact = true
	s.Orgs = make([]string, 0, len(places))
	for _, i := range places {
		records, exact := stocks[i].within(s.From, s.Until)
		s.Records += records
		s.Exact = s.Exact && exact
		s.Orgs = append(s.Orgs, stocks[i].OrgID)
	}
	return s
}

// reaches tells whether a stock may have records in [from, until). What is not known
// of it may be so.
func (s Stock) reaches(from, until time.Time) bool {
	return (s.Oldest.IsZero() || s.Oldest.Before(until)) && (s.Newest.IsZero() || !s.Newest.Before(from))
}

// within counts the records of a stock in [from, until), which it reaches. Where only
// a part of them is, they are taken to be spread evenly.
func (s Stock) within(from, until time.Time) (records int64, exact bool) {
	if s.Oldest.IsZero() || s.Newest.IsZero() {
		return s.Records, false
	}
	if !s.Oldest.Before(from) && s.Newest.Before(until) {
		return s.Records, true
	}
	end := s.Newest.Add(time.Microsecond)
	part := earlier(end, until).Sub(later(s.Oldest, from))
	share := float64(part) / float64(end.Sub(s.Oldest))
	return min(s.Records, int64(share*float64(s.Records))+1), false
}

// heldPeriods are the periods of holds of one kind of record.
type heldPeriods struct {
	all   []period
	byOrg map[string][]period
}

func newHeldPeriods(holds []HoldSpec, kind record.Kind) heldPeriods {
	h := heldPeriods{byOrg: map[string][]period{}}
	for _, hold := range holds {
		if !hold.about(kind) {
			continue
		}
		if len(hold.OrgIDs) == 0 {
			h.all = append(h.all, hold.period())
		}
		for _, org := range hold.OrgIDs {
			h.byOrg[org] = append(h.byOrg[org], hold.period())
		}
	}
	return h
}

// match tells whether a hold may hold a record of a stretch.
func (h heldPeriods) match(stretch Stretch) bool {
	within := period{stretch.From, stretch.To}
	if slices.ContainsFunc(h.all, within.overlaps) {
		return true
	}
	if len(h.byOrg) == 0 {
		return false
	}
	return slices.ContainsFunc(stretch.Orgs, func(s Stock) bool {
		return slices.ContainsFunc(h.byOrg[s.OrgID], within.overlaps)
	})
}
