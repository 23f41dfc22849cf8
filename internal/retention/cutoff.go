package retention

import (
	"time"

	"auditquery.dev/auditquery/internal/record"
)

// verdict is what a set of rules says of the records of one org: they are due when
// their time is before an instant, by this policy.
type verdict struct {
	before time.Time
	policy string
}

// never is before every record.
func never() time.Time {
	const farPast = -1 << 60
	return time.Unix(farPast, 0).UTC()
}

// forever is after every record.
func forever() time.Time {
	const farFuture = 1 << 60
	return time.Unix(farFuture, 0).UTC()
}

// limit is the strictest of some instants, and the policy that it comes from.
type limit struct {
	set    bool
	at     time.Time
	policy string
}

// lower keeps the earlier instant: that of the longer age.
func (l limit) lower(other limit) limit {
	if !l.set || (other.set && other.before(l)) {
		return other
	}
	return l
}

// upper keeps the later instant: that of the shorter age.
func (l limit) upper(other limit) limit {
	if !l.set || (other.set && (other.at.After(l.at) || (other.at.Equal(l.at) && other.policy < l.policy))) {
		return other
	}
	return l
}

// before tells whether l is earlier, or as early and of the policy that is first by
// name, so that the order of policies does not matter.
func (l limit) before(other limit) bool {
	return l.at.Before(other.at) || (l.at.Equal(other.at) && l.policy < other.policy)
}

// tally is what some rules, all as specific as each other, say together.
type tally struct {
	invalid bool
	// enforced and dry are the longest keep by mode, floor is the greatest minKeep,
	// most the smallest maxKeep.
	enforced, dry, floor, most limit
}

// clock counts ages back from one moment.
type clock struct {
	now   time.Time
	known map[Age]time.Time
}

func newClock(now time.Time) clock { return clock{now: plain(now), known: map[Age]time.Time{}} }

func (c clock) before(a Age) time.Time {
	at, ok := c.known[a]
	if !ok {
		at = a.Before(c.now)
		c.known[a] = at
	}
	return at
}

func (c clock) limit(a Age, policy string) limit {
	if a.IsZero() {
		return limit{}
	}
	return limit{set: true, at: c.before(a), policy: policy}
}

// add counts a rule. With promote a rule in dry-run counts as if it enforced.
func (t *tally) add(c clock, r *namedRule, promote bool) {
	if r.rule.Invalid {
		t.invalid = true
		return
	}
	t.floor = t.floor.lower(c.limit(r.rule.MinKeep, r.name))
	keep := c.limit(r.rule.Keep, r.name)
	if r.rule.Mode != Enforce && !promote {
		t.dry = t.dry.lower(keep)
		return
	}
	t.enforced = t.enforced.lower(keep)
	t.most = t.most.upper(c.limit(r.rule.MaxKeep, r.name))
}

// decide applies the rules of retention to the rules for all records and to those
// that name the org.
func decide(general, named *tally) verdict {
	if general.invalid || named.invalid {
		return verdict{before: never()}
	}
	enforced, dry := named.enforced, named.dry
	if !enforced.set {
		enforced, dry = general.enforced, named.dry.lower(general.dry)
	}
	if !enforced.set {
		return verdict{before: never()}
	}
	floor := forever()
	if f := general.floor.lower(named.floor); f.set {
		floor = f.at
	}
	due := verdict{before: earlier(enforced.lower(dry).at, floor), policy: enforced.policy}
	if most := general.most.upper(named.most); most.set {
		if at := earlier(most.at, floor); at.After(due.before) {
			due = verdict{before: at, policy: most.policy}
		}
	}
	return due
}

// ruleset answers for one set of rules, one kind of record and one moment.
type ruleset struct {
	clock   clock
	general tally
	// named are the rules that name an org.
	named   map[string][]*namedRule
	promote bool
}

func newRuleset(rules []namedRule, kind record.Kind, c clock, promote bool) *ruleset {
	s := &ruleset{clock: c, named: map[string][]*namedRule{}, promote: promote}
	for i := range rules {
		r := &rules[i]
		if !r.rule.about(kind) {
			continue
		}
		if len(r.rule.OrgIDs) == 0 {
			s.general.add(c, r, promote)
			continue
		}
		for _, org := range r.rule.OrgIDs {
			s.named[org] = append(s.named[org], r)
		}
	}
	return s
}

// of decides about an org; named is false for those that no rule can name.
func (s *ruleset) of(org string, isNamed bool) verdict {
	var named tally
	if isNamed {
		for _, r := range s.named[org] {
			named.add(s.clock, r, s.promote)
		}
	}
	return decide(&s.general, &named)
}

// Due tells whether a record may be erased: the decision of NewPlan for one record.
func (m Memory) Due(r record.Record, now time.Time) bool {
	at := m.at(now)
	if len(m.blocked(at)) > 0 {
		return false
	}
	for _, h := range m.held(at) {
		if h.Holds(r) {
			return false
		}
	}
	c, org, when := newClock(now), r.Base().OrgID, r.Base().Time.Time()
	for _, set := range m.inForce(at) {
		if !when.Before(newRuleset(set.rules, r.Kind(), c, false).of(org, true).before) {
			return false
		}
	}
	return true
}

// inForce lists the set in force and the former ones that still protect, which are
// sorted by when that ends.
func (m Memory) inForce(at time.Time) []formerSet {
	sets := []formerSet{{rules: m.rules}}
	for _, f := range m.former {
		if f.until.After(at) {
			sets = append(sets, f)
		}
	}
	return sets
}
