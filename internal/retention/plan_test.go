package retention_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// stock is 100 records of an org that fill a month.
func stock(org, month string) retention.Stock {
	from := moment(month + "-01")
	return retention.Stock{OrgID: org, Records: 100, Oldest: from, Newest: from.AddDate(0, 1, 0).Add(-tick)}
}

// stretch is a month of audits.
func stretch(month string, orgs ...string) retention.Stretch {
	from := moment(month + "-01")
	s := retention.Stretch{Kind: record.KindAudit, Name: month, From: from, To: from.AddDate(0, 1, 0)}
	for _, org := range orgs {
		s.Orgs = append(s.Orgs, stock(org, month))
	}
	return s
}

// step is one that erases a whole month of audits of policy all.
func step(month string, modify ...func(*retention.Step)) retention.Step {
	from := moment(month + "-01")
	s := retention.Step{
		Policy: "all", Kind: record.KindAudit, Stretch: month, From: from, Until: from.AddDate(0, 1, 0),
		Except: true, Whole: true, Records: 100, Exact: true,
	}
	for _, m := range modify {
		m(&s)
	}
	if s.Policies == nil {
		s.Policies = []string{s.Policy}
	}
	return s
}

func TestSteps(t *testing.T) {
	all := policy("all")
	part := func(policy string, orgs ...string) func(*retention.Step) {
		return func(s *retention.Step) {
			s.Policy, s.Orgs, s.Except, s.Whole, s.Records = policy, orgs, false, false, int64(100*len(orgs))
		}
	}
	until := func(when string, records int64) func(*retention.Step) {
		return func(s *retention.Step) {
			s.Until, s.Records, s.Exact, s.Whole = moment(when), records, false, false
		}
	}
	cases := map[string]struct {
		policies []retention.Policy
		holds    []retention.Hold
		index    []retention.Stretch
		want     []retention.Step
		shown    []retention.Step
	}{
		"a stretch goes as a whole once all of it is due": {
			[]retention.Policy{all}, nil, []retention.Stretch{stretch("2025-10", "acme")}, []retention.Step{step("2025-10")}, nil,
		},
		"a part of one goes before": {
			[]retention.Policy{all}, nil, []retention.Stretch{stretch("2025-11", "acme")},
			[]retention.Step{step("2025-11", until("2025-11-24T12:00:00Z", 79))}, nil,
		},
		"nothing of one that is too young": {
			[]retention.Policy{all}, nil, []retention.Stretch{stretch("2025-12", "acme")}, nil, nil,
		},
		"whole ones come first, then the oldest": {
			[]retention.Policy{all}, []retention.Hold{hold("h", func(h *retention.Hold) { h.Spec.To = moment("2025-02-01") })},
			[]retention.Stretch{stretch("2025-03", "acme"), stretch("2025-01", "acme"), stretch("2025-02", "acme"), stretch("2024-12", "acme")},
			[]retention.Step{
				step("2025-02"), step("2025-03"),
				step("2024-12", func(s *retention.Step) { s.Whole = false }), step("2025-01", func(s *retention.Step) { s.Whole = false }),
			}, nil,
		},
		"an org that is kept longer stays, and who no policy names goes": {
			[]retention.Policy{all, policy("acme", keep("2y"), orgs("acme"))}, nil,
			[]retention.Stretch{stretch("2025-10", "", "acme", "globex")},
			[]retention.Step{step("2025-10", part("all", "acme"), func(s *retention.Step) { s.Except, s.Records = true, 200 })}, nil,
		},
		"a whole stretch spares the orgs that have nothing in it yet": {
			[]retention.Policy{all, policy("acme", keep("2y"), orgs("acme"))}, nil,
			[]retention.Stretch{stretch("2025-10", "globex")},
			[]retention.Step{step("2025-10", func(s *retention.Step) { s.Orgs = []string{"acme"} })}, nil,
		},
		"without a policy for all only the named orgs go": {
			[]retention.Policy{policy("acme", orgs("acme"))}, nil,
			[]retention.Stretch{stretch("2025-10", "acme"), stretch("2025-09", "acme", "globex"), stretch("2025-08", "globex")},
			[]retention.Step{
				step("2025-10", func(s *retention.Step) { s.Policy, s.Orgs, s.Except = "acme", []string{"acme"}, false }),
				step("2025-09", part("acme", "acme")),
			}, nil,
		},
		"a whole stretch names the policy that kept it longest": {
			[]retention.Policy{policy("all", keep("30d")), policy("acme", orgs("acme"))}, nil,
			[]retention.Stretch{stretch("2025-10", "acme", "globex")},
			[]retention.Step{step("2025-10", func(s *retention.Step) {
				s.Policy, s.Policies, s.Orgs, s.Records = "acme", []string{"acme", "all"}, nil, 200
			})}, nil,
		},
		"parts are for one policy each": {
			[]retention.Policy{policy("all", keep("30d")), policy("acme", orgs("acme"))},
			[]retention.Hold{hold("h")}, []retention.Stretch{stretch("2025-10", "acme", "globex")},
			[]retention.Step{
				step("2025-10", part("acme", "acme")),
				step("2025-10", part("all", "acme"), func(s *retention.Step) { s.Except = true }),
			}, nil,
		},
		"a hold of an org elsewhere does not matter": {
			[]retention.Policy{all}, []retention.Hold{hold("h", func(h *retention.Hold) { h.Spec.OrgIDs = []string{"initech"} })},
			[]retention.Stretch{stretch("2025-10", "acme")}, []retention.Step{step("2025-10")}, nil,
		},
		"nor one of another kind": {
			[]retention.Policy{all}, []retention.Hold{hold("h", func(h *retention.Hold) { h.Spec.Kinds = []record.Kind{record.KindAuthAudit} })},
			[]retention.Stretch{stretch("2025-10", "acme")}, []retention.Step{step("2025-10")}, nil,
		},
		"an empty stretch goes when all in it would": {
			[]retention.Policy{all}, nil, []retention.Stretch{stretch("2025-10"), stretch("2025-11")},
			[]retention.Step{step("2025-10", func(s *retention.Step) { s.Records = 0 })}, nil,
		},
		"or some, selecting nothing": {
			[]retention.Policy{policy("acme", orgs("acme"))}, nil, []retention.Stretch{stretch("2025-10")},
			[]retention.Step{step("2025-10", func(s *retention.Step) { s.Policy, s.Except, s.Records = "acme", false, 0 })}, nil,
		},
		"an empty stretch without a policy stays": {
			nil, nil, []retention.Stretch{stretch("2025-10")}, nil, nil,
		},
		"a stretch of which an end is not known never goes as a whole": {
			[]retention.Policy{all}, nil, []retention.Stretch{{Kind: record.KindAudit, Name: "old", Orgs: []retention.Stock{stock("acme", "2025-10")}}},
			[]retention.Step{{
				Policy: "all", Policies: []string{"all"}, Kind: record.KindAudit, Stretch: "old", Until: moment("2025-11-24T12:00:00Z"), Except: true, Records: 100, Exact: true,
			}}, nil,
		},
		"a policy in dry-run shows what it would erase": {
			[]retention.Policy{all, policy("try", keep("90d"), orgs("acme"), dryRun)}, nil,
			[]retention.Stretch{stretch("2026-07", "acme", "globex")}, nil,
			[]retention.Step{step("2026-07", part("try", "acme"))},
		},
		"a policy in dry-run that would erase no more shows nothing": {
			[]retention.Policy{all, policy("try", keep("2y"), dryRun)}, nil,
			[]retention.Stretch{stretch("2024-12", "acme")}, nil, nil,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			long := now().AddDate(-1, 0, 0)
			m := retention.Observe(retention.Memory{}, c.policies, c.holds, long)
			plan := retention.NewPlan(m, c.index, now())
			if diff := cmp.Diff(c.want, plan.Steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.shown, plan.Shown); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
			if plan.Blocked != nil || !plan.At.Equal(now()) {
				t.Errorf("the plan is blocked by %q at %s", plan.Blocked, plan.At)
			}
		})
	}
}

// TestPendingChangesAreShownStepByStep shows two changes that settle one after the
// other.
func TestPendingChangesAreShownStepByStep(t *testing.T) {
	m := after([]sight{
		{0, []retention.Policy{policy("all", keep("11mo"))}, nil},
		{time.Hour, []retention.Policy{policy("all", keep("10mo"))}, nil},
	}, policy("all", keep("12mo")))
	at := now().Add(time.Hour)
	index := []retention.Stretch{stretch("2025-11", "acme"), stretch("2025-12", "acme"), stretch("2026-01", "acme")}
	type row struct{ From, Until, Due string }
	var got []row
	for _, s := range retention.NewPlan(m, index, at).Shown {
		got = append(got, row{s.From.Format(time.RFC3339), s.Until.Format(time.RFC3339), s.Due.Format(time.RFC3339)})
	}
	first, second := "2026-11-25T12:00:00Z", "2026-11-25T13:00:00Z"
	want := []row{
		{"2025-11-24T13:00:00Z", "2025-12-01T00:00:00Z", first},
		{"2025-12-01T00:00:00Z", "2025-12-24T13:00:00Z", first},
		{"2025-12-24T13:00:00Z", "2026-01-01T00:00:00Z", second},
		{"2026-01-01T00:00:00Z", "2026-01-24T13:00:00Z", second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

func TestStepsNameABoundedNumberOfOrgs(t *testing.T) {
	var names []string
	for i := range 1201 {
		names = append(names, fmt.Sprintf("org-%04d", i))
	}
	m := settled(policy("named", orgs(names...)))
	var got []int
	for _, s := range retention.NewPlan(m, []retention.Stretch{stretch("2025-10", append(names, "other")...)}, now()).Steps {
		got = append(got, len(s.Orgs))
	}
	if diff := cmp.Diff([]int{500, 500, 201}, got); diff != "" {
		t.Errorf("orgs of each step (-want +got):\n%s", diff)
	}
}

// TestDoomedFitsIntoAQuery asks for steps while very much is held.
func TestDoomedFitsIntoAQuery(t *testing.T) {
	var people, cases, targets []retention.HoldSpec
	for i := range 1000 {
		name := fmt.Sprint("name-", i)
		people = append(people, retention.HoldSpec{UserIDs: []string{name}})
		targets = append(targets, retention.HoldSpec{OrgIDs: []string{"acme"}, TargetIDs: []string{name}})
		from := moment("2025-10-02").Add(time.Duration(i*37%1000) * time.Minute)
		cases = append(cases, retention.HoldSpec{
			OrgIDs: []string{fmt.Sprint("org-", i%7)}, UserIDs: []string{name, "alice"},
			From: from, To: from.Add(time.Duration(1+i%20) * day),
		})
	}
	whole := step("2025-10")
	for name, holds := range map[string][]retention.HoldSpec{"people": people, "targets": targets, "cases": cases} {
		t.Run(name, func(t *testing.T) {
			filter := canonical(t, record.KindAudit, whole.Doomed(holds))
			random, exact := source(t), name != "cases"
			for range 300 {
				r := audit(func(a *record.Audit) {
					a.Time = record.At(moment("2025-10-01").Add(time.Duration(random.IntN(30*24)) * time.Hour))
					a.OrgID = pick(random, []string{"acme", "org-3", "other"})
					a.UserID, a.TargetID = pick(random, []string{"alice", fmt.Sprint("name-", random.IntN(1200))}), fmt.Sprint("name-", random.IntN(1200))
				})
				held := false
				for _, h := range holds {
					held = held || h.Holds(r)
				}
				if doomed := satisfies(filter, r); (doomed && held) || (exact && doomed == held) {
					t.Fatalf("%+v is held: %v, doomed: %v", r, held, doomed)
				}
			}
		})
	}
}

func TestDoomedIsNeverNil(t *testing.T) {
	cases := map[string]struct {
		step  retention.Step
		holds []retention.HoldSpec
		want  query.Filter
	}{
		"everything": {step("2025-10"), nil, query.And{}},
		"nothing":    {step("2025-10", func(s *retention.Step) { s.Except = false }), nil, query.Or{}},
		"everything is held": {
			step("2025-10"), []retention.HoldSpec{{}}, query.Or{},
		},
		"the period of a hold around the step does not matter": {
			step("2025-10"), []retention.HoldSpec{{UserIDs: []string{"alice"}, From: moment("2025-01-01"), To: moment("2026-01-01")}},
			query.Not{Filter: query.Or{query.Equal{Field: "user_id", Value: "alice"}}},
		},
		"nor a hold at another time": {
			step("2025-10"), []retention.HoldSpec{{UserIDs: []string{"alice"}, From: moment("2025-11-01")}}, query.And{},
		},
		"records without an org": {
			step("2025-10", func(s *retention.Step) { s.Orgs, s.Except = []string{""}, false }), nil,
			query.Not{Filter: query.Exists{Field: "org_id"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.step.Doomed(c.holds)); diff != "" {
				t.Errorf("filter (-want +got):\n%s", diff)
			}
		})
	}
}
