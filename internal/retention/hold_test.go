package retention_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

func of(users ...string) func(*retention.Hold) {
	return func(h *retention.Hold) { h.Spec.UserIDs = users }
}

func releaseDelay(d time.Duration) func(*retention.Hold) {
	return func(h *retention.Hold) { h.Spec.ReleaseDelay = d }
}

func releasing(h *retention.Hold) { h.Deleting = true }
func kept(h *retention.Hold)      { h.Keep = true }
func anew(h *retention.Hold)      { h.UID = "another" }

func TestFilterOfAHold(t *testing.T) {
	april, may := moment("2026-04-01"), moment("2026-05-01")
	cases := map[string]struct {
		spec retention.HoldSpec
		kind record.Kind
		want query.Filter
		none bool
	}{
		"everything":              {retention.HoldSpec{}, record.KindAuthAudit, nil, false},
		"everything of a kind":    {retention.HoldSpec{Kinds: []record.Kind{record.KindAudit}}, record.KindAudit, nil, false},
		"nothing of another kind": {retention.HoldSpec{Kinds: []record.Kind{record.KindAudit}}, record.KindAuthAudit, nil, true},
		"one org": {
			retention.HoldSpec{OrgIDs: []string{"acme"}}, record.KindAudit, query.Equal{Field: "org_id", Value: "acme"}, false,
		},
		"people in a period": {
			retention.HoldSpec{UserIDs: []string{"alice", "bob"}, From: april, To: may}, record.KindAudit,
			query.And{
				query.AnyOf{Field: "user_id", Values: []string{"alice", "bob"}},
				query.Range{Field: "time", Min: "2026-04-01T00:00:00Z", Max: "2026-05-01T00:00:00Z"},
			}, false,
		},
		"an open end": {
			retention.HoldSpec{From: april}, record.KindAudit, query.Range{Field: "time", Min: "2026-04-01T00:00:00Z"}, false,
		},
		"a period that ends before it begins is none": {retention.HoldSpec{From: may, To: april}, record.KindAudit, nil, false},
		"ends beyond all records are open": {
			retention.HoldSpec{From: moment("1815-12-10"), To: moment("9999-12-31")}, record.KindAudit, nil, false,
		},
		"targets": {
			retention.HoldSpec{TargetIDs: []string{"t"}}, record.KindAudit, query.Equal{Field: "target_id", Value: "t"}, false,
		},
		"a hold of targets holds audits only": {retention.HoldSpec{TargetIDs: []string{"t"}}, record.KindAuthAudit, nil, true},
		"the empty org stands for none": {
			retention.HoldSpec{OrgIDs: []string{"", "acme"}}, record.KindAudit,
			query.Or{query.Not{Filter: query.Exists{Field: "org_id"}}, query.Equal{Field: "org_id", Value: "acme"}}, false,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := c.spec.Filter(c.kind)
			if ok == c.none {
				t.Errorf("it holds something: %v", ok)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("filter (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAHoldHoldsWhatItsFilterSays(t *testing.T) {
	random := source(t)
	for range 3000 {
		h, r := randomSpec(random, now()), randomRecord(random, now())
		filter, some := h.Filter(r.Kind())
		want := some && (filter == nil || satisfies(canonical(t, r.Kind(), query.And{filterOrAll(filter)}), r))
		if got := h.Holds(r); got != want {
			t.Fatalf("%+v holds %s %+v: %v, and the filter says %v: %+v", h, r.Kind(), r.Base(), got, want, filter)
		}
	}
}

func filterOrAll(f query.Filter) query.Filter {
	if f == nil {
		return query.And{}
	}
	return f
}

// TestHoldsHold looks at which of alice's and bob's records can be erased.
func TestHoldsHold(t *testing.T) {
	type want = map[time.Duration]string
	h := func(modify ...func(*retention.Hold)) []retention.Hold { return []retention.Hold{hold("h", modify...)} }
	s := func(at time.Duration, holds []retention.Hold) sight {
		return sight{at, []retention.Policy{policy("all")}, holds}
	}
	const both, none, alice, bob = "alice bob", "", "alice", "bob"
	cases := map[string]struct {
		sights []sight
		want   want // who can be erased
	}{
		"no hold":                      {[]sight{s(0, nil)}, want{0: both}},
		"a hold holds when it is seen": {[]sight{s(0, h())}, want{0: bob}},
		"a deleted hold holds for its delay": {
			[]sight{s(0, h()), s(day, h(releasing))}, want{day: bob, 8*day - tick: bob, 8 * day: both},
		},
		"one that is deleted when it is first seen as well": {
			[]sight{s(0, h(releasing))}, want{0: bob, 7*day - tick: bob, 7 * day: both},
		},
		"the annotation stops the release": {
			[]sight{s(0, h()), s(day, h(releasing)), s(2*day, h(releasing, kept))}, want{100 * day: bob},
		},
		"which begins anew when it goes": {
			[]sight{s(0, h(releasing)), s(6*day, h(releasing, kept)), s(20*day, h(releasing))},
			want{20 * day: bob, 27*day - tick: bob, 27 * day: both},
		},
		"what a change takes out is held for the delay": {
			[]sight{s(0, h(of("alice", "bob"))), s(day, h(of("bob")))}, want{day: none, 8*day - tick: none, 8 * day: alice},
		},
		"the larger delay counts, if the old is": {
			[]sight{s(0, h(of("alice", "bob"))), s(day, h(of("bob"), releaseDelay(0)))},
			want{day: none, 8*day - tick: none, 8 * day: alice},
		},
		"and if the new is": {
			[]sight{s(0, h(of("alice", "bob"), releaseDelay(0))), s(day, h(of("bob")))},
			want{day: none, 8*day - tick: none, 8 * day: alice},
		},
		"narrowed twice": {
			[]sight{s(0, h(of("alice", "bob", "eve"))), s(day, h(of("alice", "bob"))), s(2*day, h(of("bob")))},
			want{2 * day: none, 9*day - tick: none, 9 * day: alice},
		},
		"a delay that is taken away first still counts": {
			[]sight{s(0, h()), s(day, h(releaseDelay(0))), s(day+tick, h(releaseDelay(0), releasing))},
			want{day + tick: bob, 8*day - tick: bob, 8 * day: both},
		},
		"a widened hold holds more at once": {
			[]sight{s(0, h()), s(day, h(of("alice", "bob")))}, want{day: none, 100 * day: none},
		},
		"a missing hold stops everything": {
			[]sight{s(0, h()), s(day, nil)}, want{day: none, 1000 * day: none},
		},
		"until it is there again": {
			[]sight{s(0, h()), s(day, nil), s(2*day, h(anew))}, want{2 * day: bob, 100 * day: bob},
		},
		"if it holds less then, what it held is held for the delay": {
			[]sight{s(0, h(of("alice", "bob"))), s(day, nil), s(2*day, h(of("bob"), anew))},
			want{2 * day: none, 9*day - tick: none, 9 * day: alice},
		},
		"a hold that vanished while it was being released is missing too": {
			[]sight{s(0, h()), s(day, h(releasing)), s(2*day, nil)}, want{8 * day: none, 1000 * day: none},
		},
		"if it comes back as it was, its release begins anew": {
			[]sight{s(0, h(releasing)), s(day, nil), s(2*day, h(releasing))}, want{7 * day: bob, 9*day - tick: bob, 9 * day: both},
		},
		"one that was released is not": {
			[]sight{s(0, h()), s(day, h(releasing)), s(8*day, nil)}, want{8 * day: both},
		},
		"nor one that nobody looked at meanwhile": {
			[]sight{s(0, h()), s(day, h(releasing)), s(30*day, nil)}, want{30 * day: both},
		},
		"a released hold is released for good, whatever the clock says": {
			[]sight{s(0, h(releasing)), s(7*day, h(releasing)), s(day, nil)}, want{day: both},
		},
		"a clock that goes back does not release sooner": {
			[]sight{s(0, h()), s(-3*day, h(releasing))}, want{4 * day: bob, 7*day - tick: bob, 7 * day: both},
		},
		"a hold that is deleted and created again holds": {
			[]sight{s(0, h()), s(day, h(releasing)), s(2*day, h(anew))}, want{100 * day: bob},
		},
		"one that is deleted twice is released after the second": {
			[]sight{s(0, h(releasing)), s(day, h(anew, releasing))}, want{8*day - tick: bob, 8 * day: both},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, got := after(c.sights, policy("all")), want{}
			for at := range c.want {
				got[at] = ""
				for _, user := range []string{"alice", "bob"} {
					r := audit(func(a *record.Audit) { a.UserID = user })
					if m.Due(r, now().Add(at)) {
						got[at] += " " + user
					}
				}
				if got[at] != "" {
					got[at] = got[at][1:]
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("whose records are due (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHoldStates(t *testing.T) {
	spec := func(modify ...func(*retention.Hold)) retention.HoldSpec { return hold("h", modify...).Spec }
	s := func(at time.Duration, holds ...retention.Hold) sight { return sight{at, nil, holds} }
	sure := retention.BatchTimeout
	cases := map[string]struct {
		sights []sight
		want   []retention.HoldState
	}{
		"pending when first seen": {
			[]sight{s(0, hold("h"))},
			[]retention.HoldState{{Name: "h", Spec: spec(), Phase: retention.Pending, Since: now(), ActiveAt: now().Add(sure)}},
		},
		"active a batch's time later": {
			[]sight{s(0, hold("h")), s(sure, hold("h"))},
			[]retention.HoldState{{Name: "h", Spec: spec(), Phase: retention.Active, Since: now(), ActiveAt: now().Add(sure)}},
		},
		"pending again when it changed": {
			[]sight{s(0, hold("h")), s(day, hold("h", of("bob")))},
			[]retention.HoldState{{
				Name: "h", Spec: spec(of("bob")), Phase: retention.Pending, Since: now(), ActiveAt: now().Add(day + sure),
				FormerUntil: now().Add(8 * day),
			}},
		},
		"a change of the delay alone leaves it active": {
			[]sight{s(0, hold("h")), s(day, hold("h", releaseDelay(day)))},
			[]retention.HoldState{{
				Name: "h", Spec: spec(releaseDelay(day)), Phase: retention.Active, Since: now(), ActiveAt: now().Add(sure),
				FormerUntil: now().Add(8 * day),
			}},
		},
		"releasing": {
			[]sight{s(0, hold("h")), s(day, hold("h", releasing))},
			[]retention.HoldState{{
				Name: "h", Spec: spec(), Phase: retention.Releasing, Since: now(), ActiveAt: now().Add(sure),
				ReleaseAt: now().Add(8 * day),
			}},
		},
		"released once also what a change took out is": {
			[]sight{s(0, hold("h")), s(day, hold("h", releaseDelay(0), of("bob"))), s(2*day, hold("h", releaseDelay(0), of("bob"), releasing))},
			[]retention.HoldState{{
				Name: "h", Spec: spec(releaseDelay(0), of("bob")), Phase: retention.Releasing, Since: now(),
				ActiveAt: now().Add(day + sure), ReleaseAt: now().Add(8 * day), FormerUntil: now().Add(8 * day),
			}},
		},
		"kept by the annotation": {
			[]sight{s(0, hold("h")), s(day, hold("h", releasing)), s(2*day, hold("h", releasing, kept))},
			[]retention.HoldState{{Name: "h", Spec: spec(), Phase: retention.Active, Since: now(), ActiveAt: now().Add(sure)}},
		},
		"gone": {
			[]sight{s(0, hold("h", releasing)), s(7*day, hold("h", releasing))},
			[]retention.HoldState{{
				Name: "h", Spec: spec(), Phase: retention.Releasing, Since: now(), ActiveAt: now().Add(sure),
				ReleaseAt: now().Add(7 * day), Gone: true,
			}},
		},
		"not there any more once it is gone": {
			[]sight{s(0, hold("h", releasing)), s(7*day, hold("h", releasing)), s(7 * day)}, []retention.HoldState{},
		},
		"created anew after it was released": {
			[]sight{s(0, hold("h", releasing)), s(7*day, hold("h", releasing)), s(9*day, hold("h", anew))},
			[]retention.HoldState{{
				Name: "h", Spec: spec(), Phase: retention.Pending, Since: now().Add(9 * day), ActiveAt: now().Add(9*day + sure),
			}},
		},
		"missing": {
			[]sight{s(0, hold("h")), s(day)},
			[]retention.HoldState{{Name: "h", Spec: spec(), Phase: retention.Missing, Since: now(), ActiveAt: now().Add(sure)}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, after(c.sights).Holds()); diff != "" {
				t.Errorf("states (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMissingHoldBlocksThePlanAndIsNamed(t *testing.T) {
	all := []retention.Policy{policy("all")}
	m := after([]sight{{0, all, []retention.Hold{hold("case-7"), hold("case-8")}}, {day, all, []retention.Hold{hold("case-8")}}}, all...)
	plan := retention.NewPlan(m, nil, now().Add(day))
	want := []string{"Holds are missing that nobody released: case-7; nothing is erased until they are there again."}
	if diff := cmp.Diff(want, plan.Blocked); diff != "" {
		t.Errorf("blocked (-want +got):\n%s", diff)
	}
	if len(plan.Holds) != 1 || !plan.Holds[0].Holds(audit()) {
		t.Errorf("the plan holds %+v", plan.Holds)
	}
}
