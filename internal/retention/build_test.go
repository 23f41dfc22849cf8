package retention_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// now is when every test is, unless it says otherwise.
func now() time.Time { return moment("2026-11-24T12:00:00Z") }

const (
	day  = 24 * time.Hour
	tick = time.Microsecond
)

// policy is one for all records that enforces a year.
func policy(name string, modify ...func(*retention.Rule)) retention.Policy {
	rule := retention.Rule{
		Kinds: record.Kinds(), Keep: age("1y"), Mode: retention.Enforce, ChangeDelay: day,
	}
	for _, m := range modify {
		m(&rule)
	}
	return retention.Policy{Name: name, UID: "uid-" + name, Rule: rule}
}

func keep(text string) func(*retention.Rule) { return func(r *retention.Rule) { r.Keep = age(text) } }
func minKeep(text string) func(*retention.Rule) {
	return func(r *retention.Rule) { r.MinKeep = age(text) }
}
func maxKeep(text string) func(*retention.Rule) {
	return func(r *retention.Rule) { r.MaxKeep = age(text) }
}
func dryRun(r *retention.Rule)                 { r.Mode = retention.DryRun }
func invalid(r *retention.Rule)                { r.Invalid = true }
func orgs(ids ...string) func(*retention.Rule) { return func(r *retention.Rule) { r.OrgIDs = ids } }
func delay(d time.Duration) func(*retention.Rule) {
	return func(r *retention.Rule) { r.ChangeDelay = d }
}
func kinds(k ...record.Kind) func(*retention.Rule) { return func(r *retention.Rule) { r.Kinds = k } }

func deleting(p retention.Policy) retention.Policy {
	p.Deleting = true
	return p
}

// hold is one of user alice, with the release delay that holds have by default.
func hold(name string, modify ...func(*retention.Hold)) retention.Hold {
	h := retention.Hold{
		Name: name, UID: "uid-" + name, Spec: retention.HoldSpec{UserIDs: []string{"alice"}, ReleaseDelay: 7 * day},
	}
	for _, m := range modify {
		m(&h)
	}
	return h
}

// audit is a record of alice in org acme that is older than any test's keep.
func audit(modify ...func(*record.Audit)) *record.Audit {
	a := &record.Audit{Common: record.Common{Time: record.At(moment("2000-01-01")), OrgID: "acme", UserID: "alice"}}
	for _, m := range modify {
		m(a)
	}
	return a
}

// settled is a Memory in which nothing is pending.
func settled(policies ...retention.Policy) retention.Memory {
	return retention.Observe(retention.Memory{}, policies, nil, now().AddDate(-1, 0, 0))
}

func source(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// cutoff is the moment before which records of an org are due, as a date or, where it
// has one, with its time; "never" when none is.
func cutoff(t *testing.T, m retention.Memory, kind record.Kind, org string, at time.Time) string {
	t.Helper()
	plan := retention.NewPlan(m, []retention.Stretch{{
		Kind: kind, Name: "all", Orgs: []retention.Stock{{OrgID: org, Records: 1}},
	}}, at)
	if len(plan.Steps) == 0 {
		return "never"
	}
	until := plan.Steps[0].Until
	r := record.New(kind)
	r.Base().OrgID = org
	for _, probe := range []time.Time{until.Add(-time.Microsecond), until} {
		r.Base().Time = record.At(probe)
		if due := m.Due(r, at); due != probe.Before(until) && len(plan.Blocked) == 0 {
			t.Errorf("the plan ends at %s, and for a record of %s Due says %v", until, probe, due)
		}
	}
	if text := until.Format(time.RFC3339Nano); until.Hour() != at.Hour() || until.Minute() != at.Minute() {
		return text
	}
	return until.Format(time.DateOnly)
}
