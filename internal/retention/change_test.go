package retention_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// sight is what the API says at a time after now.
type sight struct {
	after    time.Duration
	policies []retention.Policy
	holds    []retention.Hold
}

// after observes from a settled set of policies on.
func after(sights []sight, before ...retention.Policy) retention.Memory {
	m := settled(before...)
	for _, s := range sights {
		m = retention.Observe(m, s.policies, s.holds, now().Add(s.after))
	}
	return m
}

// TestChangesAreSlowToDestroy looks at how old records of acme must be to be due, some
// time after the first change.
func TestChangesAreSlowToDestroy(t *testing.T) {
	type want = map[time.Duration]string
	p := func(name string, modify ...func(*retention.Rule)) []retention.Policy {
		return []retention.Policy{policy(name, modify...)}
	}
	cases := map[string]struct {
		before []retention.Policy
		sights []sight
		want   want
	}{
		"the first policy erases nothing within its delay": {
			nil, []sight{{0, p("a", keep("30d")), nil}},
			want{0: "never", day - tick: "never", day: "30d"},
		},
		"a shorter keep counts after the delay": {
			p("a", keep("60d")), []sight{{0, p("a", keep("30d")), nil}},
			want{0: "60d", day - tick: "60d", day: "30d"},
		},
		"a longer keep counts at once": {
			p("a", keep("30d")), []sight{{0, p("a", keep("60d")), nil}}, want{0: "60d", day: "60d"},
		},
		"the larger of the old and the new delay counts, if the old is": {
			p("a", keep("60d"), delay(3*day)), []sight{{0, p("a", keep("30d"), delay(0)), nil}},
			want{day: "60d", 3*day - tick: "60d", 3 * day: "30d"},
		},
		"and if the new is": {
			p("a", keep("60d"), delay(0)), []sight{{0, p("a", keep("30d"), delay(3*day)), nil}},
			want{day: "60d", 3*day - tick: "60d", 3 * day: "30d"},
		},
		"without any delay a change counts at once": {
			p("a", keep("60d"), delay(0)), []sight{{0, p("a", keep("30d"), delay(0)), nil}}, want{0: "30d"},
		},
		"a delay that is taken away first still counts": {
			p("a", keep("60d"), delay(3*day)),
			[]sight{{0, p("a", keep("60d"), delay(0)), nil}, {time.Hour, p("a", keep("30d"), delay(0)), nil}},
			want{2 * time.Hour: "60d", 3*day - tick: "60d", 3 * day: "30d"},
		},
		"a mistake that is taken back within the delay costs nothing": {
			p("a", keep("60d")),
			[]sight{{0, p("a", keep("1d")), nil}, {23 * time.Hour, p("a", keep("60d")), nil}},
			want{0: "60d", day: "60d", 2 * day: "60d", 10 * day: "60d"},
		},
		"several changes at once: the longest of what was counts": {
			p("a", keep("90d")),
			[]sight{{0, p("a", keep("60d")), nil}, {12 * time.Hour, p("a", keep("30d")), nil}},
			want{13 * time.Hour: "90d", day: "60d", 36 * time.Hour: "30d"},
		},
		"who looked late counts from then": {
			p("a", keep("60d")), []sight{{5 * day, p("a", keep("30d")), nil}}, want{6*day - tick: "60d", 6 * day: "30d"},
		},
		"a deleted policy protects for its delay, and what it alone erased is kept at once": {
			p("a", keep("60d")), []sight{{0, []retention.Policy{deleting(policy("a", keep("60d")))}, nil}},
			want{0: "never", 2 * day: "never"},
		},
		"a deleted policy does not give way to another one within its delay": {
			[]retention.Policy{policy("a", keep("60d"), orgs("acme")), policy("all", keep("30d"))},
			[]sight{{0, []retention.Policy{deleting(policy("a", keep("60d"), orgs("acme"))), policy("all", keep("30d"))}, nil}},
			want{0: "60d", day - tick: "60d", day: "30d"},
		},
		"its floor counts as long": {
			[]retention.Policy{policy("a", keep("60d"), minKeep("60d"), dryRun), policy("b", keep("30d"), orgs("acme"))},
			[]sight{{0, []retention.Policy{
				deleting(policy("a", keep("60d"), minKeep("60d"), dryRun)), policy("b", keep("30d"), orgs("acme")),
			}, nil}},
			want{0: "60d", day - tick: "60d", day: "30d"},
		},
		"a policy that vanished counts as deleted then": {
			[]retention.Policy{policy("a", keep("60d"), dryRun), policy("b", keep("30d"))},
			[]sight{{0, p("b", keep("30d")), nil}},
			want{0: "60d", day - tick: "60d", day: "30d"},
		},
		"a renamed policy, the new one first": {
			p("a", keep("60d")),
			[]sight{
				{0, []retention.Policy{policy("a", keep("60d")), policy("b", keep("30d"))}, nil},
				{time.Hour, []retention.Policy{deleting(policy("a", keep("60d"))), policy("b", keep("30d"))}, nil},
			},
			want{0: "60d", day: "60d", 25*time.Hour - tick: "60d", 25 * time.Hour: "30d"},
		},
		"a renamed policy, the old one first": {
			p("a", keep("30d")),
			[]sight{
				{0, []retention.Policy{deleting(policy("a", keep("30d")))}, nil},
				{time.Hour, []retention.Policy{deleting(policy("a", keep("30d"))), policy("b", keep("30d"))}, nil},
			},
			want{0: "never", day: "never", 25*time.Hour - tick: "never", 25 * time.Hour: "30d"},
		},
		"a policy that is deleted and created again within its delay": {
			p("a", keep("60d")),
			[]sight{
				{0, []retention.Policy{deleting(policy("a", keep("60d")))}, nil},
				{time.Hour, p("a", keep("30d")), nil},
			},
			want{2 * time.Hour: "never", 25*time.Hour - tick: "never", 25 * time.Hour: "30d"},
		},
		"a policy that is being deleted when it is first seen protects as any other": {
			p("all", keep("30d")),
			[]sight{{0, []retention.Policy{policy("all", keep("30d")), deleting(policy("b", keep("90d"), minKeep("90d"), dryRun))}, nil}},
			want{0: "90d", day - tick: "90d", day: "30d"},
		},
		"so does a last change that is seen with the deletion": {
			[]retention.Policy{policy("all", keep("30d")), policy("b", keep("60d"), dryRun)},
			[]sight{{0, []retention.Policy{policy("all", keep("30d")), deleting(policy("b", keep("90d"), dryRun, delay(3*day)))}, nil}},
			want{0: "90d", 3*day - tick: "90d", 3 * day: "30d"},
		},
		"an invalid change keeps all at once": {
			p("a", keep("30d")), []sight{{0, p("a", invalid), nil}}, want{0: "never", 2 * day: "never"},
		},
		"and putting it right takes the delay": {
			p("a", invalid), []sight{{0, p("a", keep("30d")), nil}}, want{0: "never", day - tick: "never", day: "30d"},
		},
		"dry-run to enforce takes the delay": {
			p("a", keep("30d"), dryRun), []sight{{0, p("a", keep("30d")), nil}},
			want{0: "never", day - tick: "never", day: "30d"},
		},
		"enforce to dry-run counts at once": {
			p("a", keep("30d")), []sight{{0, p("a", keep("30d"), dryRun), nil}}, want{0: "never", 2 * day: "never"},
		},
		"a clock that goes back shortens no delay": {
			p("a", keep("60d")),
			[]sight{{0, p("a", keep("60d")), nil}, {-5 * day, p("a", keep("30d")), nil}},
			want{-5 * day: "60d", -4 * day: "60d", day - tick: "60d", day: "30d"},
		},
		"nor does it bring back what was over, and ages count from what it says": {
			p("a", keep("60d")),
			[]sight{{0, p("a", keep("30d")), nil}, {2 * day, p("a", keep("30d")), nil}},
			want{-3 * day: "30d", 2 * day: "30d"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := after(c.sights, c.before...)
			got := want{}
			for at := range c.want {
				got[at] = daysOld(t, m, now().Add(at))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("records are due when older than (-want +got):\n%s", diff)
			}
		})
	}
}

// daysOld is how old a record of acme is that is just not due.
func daysOld(t *testing.T, m retention.Memory, at time.Time) string {
	t.Helper()
	text := cutoff(t, m, record.KindAudit, "acme", at)
	if text == "never" {
		return text
	}
	plan := retention.NewPlan(m, []retention.Stretch{{
		Kind: record.KindAudit, Orgs: []retention.Stock{{OrgID: "acme", Records: 1}},
	}}, at)
	return fmt.Sprintf("%gd", at.Sub(plan.Steps[0].Until).Hours()/24)
}

func TestPolicyStates(t *testing.T) {
	gone := deleting(policy("a"))
	cases := map[string]struct {
		before []retention.Policy
		sights []sight
		want   []retention.PolicyState
	}{
		"settled": {
			[]retention.Policy{policy("a")}, []sight{{0, []retention.Policy{policy("a")}, nil}},
			[]retention.PolicyState{{Name: "a", Rule: policy("a").Rule, Settled: true}},
		},
		"created": {
			nil, []sight{{0, []retention.Policy{policy("a")}, nil}},
			[]retention.PolicyState{{Name: "a", Rule: policy("a").Rule, SettledAt: now().Add(day)}},
		},
		"settled once the delay is over": {
			nil, []sight{{0, []retention.Policy{policy("a")}, nil}, {day, []retention.Policy{policy("a")}, nil}},
			[]retention.PolicyState{{Name: "a", Rule: policy("a").Rule, Settled: true}},
		},
		"changed to and fro": {
			[]retention.Policy{policy("a")},
			[]sight{{0, []retention.Policy{policy("a", keep("1d"))}, nil}, {time.Hour, []retention.Policy{policy("a")}, nil}},
			[]retention.PolicyState{{Name: "a", Rule: policy("a").Rule, SettledAt: now().Add(25 * time.Hour)}},
		},
		"being deleted": {
			[]retention.Policy{policy("a")}, []sight{{0, []retention.Policy{gone}, nil}},
			[]retention.PolicyState{{Name: "a", Rule: gone.Rule, Deleting: true, SettledAt: now().Add(day)}},
		},
		"its spec does not matter any more then": {
			[]retention.Policy{policy("a")},
			[]sight{{0, []retention.Policy{gone}, nil}, {time.Hour, []retention.Policy{deleting(policy("a", delay(9*day)))}, nil}},
			[]retention.PolicyState{{Name: "a", Rule: gone.Rule, Deleting: true, SettledAt: now().Add(day)}},
		},
		"gone": {
			[]retention.Policy{policy("a")}, []sight{{0, []retention.Policy{gone}, nil}, {day, []retention.Policy{gone}, nil}},
			[]retention.PolicyState{{Name: "a", Rule: gone.Rule, Deleting: true, Settled: true, Gone: true}},
		},
		"without a delay it is gone at once": {
			[]retention.Policy{policy("a", delay(0))}, []sight{{0, []retention.Policy{deleting(policy("a", delay(0)))}, nil}},
			[]retention.PolicyState{{Name: "a", Rule: policy("a", delay(0)).Rule, Deleting: true, Settled: true, Gone: true}},
		},
		"vanished policies have no state": {
			[]retention.Policy{policy("a")}, []sight{{0, nil, nil}}, []retention.PolicyState{},
		},
		"a change elsewhere unsettles nothing here": {
			[]retention.Policy{policy("a"), policy("b")},
			[]sight{{0, []retention.Policy{policy("a"), policy("b", keep("2y"))}, nil}},
			[]retention.PolicyState{
				{Name: "a", Rule: policy("a").Rule, Settled: true},
				{Name: "b", Rule: policy("b", keep("2y")).Rule, SettledAt: now().Add(day)},
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, after(c.sights, c.before...).Policies()); diff != "" {
				t.Errorf("states (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNextChange(t *testing.T) {
	m := after([]sight{
		{0, []retention.Policy{policy("a", keep("1d"))}, []retention.Hold{hold("h")}},
		{time.Hour, []retention.Policy{policy("a", keep("1d"))}, []retention.Hold{hold("h", func(h *retention.Hold) {
			h.Deleting = true
		})}},
	}, policy("a"))
	want := []time.Time{now().Add(day), now().Add(time.Hour + 7*day), {}}
	at := now().Add(time.Hour)
	for _, next := range want {
		got := m.NextChange(at)
		if !got.Equal(next) {
			t.Fatalf("after %s the next change is at %s, want %s", at, got, next)
		}
		at = got
	}
}
