package retention_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// many makes policies and holds that name a dozen of orgs each. The round changes
// every one of them.
func many(n, round int) ([]retention.Policy, []retention.Hold) {
	var policies []retention.Policy
	var holds []retention.Hold
	for i := range n {
		ids := make([]string, 12)
		for j := range ids {
			ids[j] = fmt.Sprintf("%08d-0000-4000-8000-%012d", i, j)
		}
		p := policy(fmt.Sprintf("policy-%04d", i), orgs(ids...), minKeep("12mo"), keep("13mo"), maxKeep(fmt.Sprintf("%dy", 2+round)))
		h := hold(fmt.Sprintf("hold-%04d", i), of(fmt.Sprintf("user-%d", round)))
		h.Spec.OrgIDs = ids
		policies, holds = append(policies, p), append(holds, h)
	}
	return policies, holds
}

func TestMemoryIsBounded(t *testing.T) {
	const most = 4 << 20
	cases := map[string]func(round int) ([]retention.Policy, []retention.Hold){
		"nothing changes": func(int) ([]retention.Policy, []retention.Hold) { return many(1000, 0) },
		"everything changes each time": func(round int) ([]retention.Policy, []retention.Hold) {
			return many(1000, round)
		},
		"one changes each time": func(round int) ([]retention.Policy, []retention.Hold) {
			policies, holds := many(1000, 0)
			policies[0].Rule.ChangeDelay += time.Duration(round)
			holds[0].Spec.UserIDs = []string{fmt.Sprint("user-", round)}
			return policies, holds
		},
		"they come one after the other": func(round int) ([]retention.Policy, []retention.Hold) {
			policies, holds := many(1000, 0)
			return policies[:988+round], holds[:988+round]
		},
	}
	for name, round := range cases {
		t.Run(name, func(t *testing.T) {
			var m retention.Memory
			for i := range 12 {
				policies, holds := round(i)
				m = retention.Observe(m, policies, holds, now().Add(time.Duration(i)*time.Minute))
			}
			size := len(mustJSON(t, m))
			t.Logf("%d bytes", size)
			if size >= most {
				t.Errorf("%d bytes, want less than %d", size, most)
			}
			remembered(t, m)
		})
	}
}

// TestTooManyChangesStopErasing gives up what was in force before the first changes.
func TestTooManyChangesStopErasing(t *testing.T) {
	m := settled(policy("a", keep("60d")))
	for i := range 300 {
		m = retention.Observe(m, []retention.Policy{policy("a", keep(fmt.Sprintf("%dd", 30+i)))}, nil, now().Add(time.Duration(i)*time.Minute))
	}
	m = remembered(t, m)
	const given = 300 - 256 // sets, of which the last one would have protected until
	until := now().Add(day + (given-1)*time.Minute)
	want := "So many policies changed that not all that they protected is known; nothing is erased until " + until.Format(time.RFC3339) + "."
	if plan := retention.NewPlan(m, nil, now().Add(5*time.Hour)); len(plan.Blocked) != 1 || plan.Blocked[0] != want {
		t.Errorf("blocked: %q, want %q", plan.Blocked, want)
	}
	if m.Due(audit(), until.Add(-tick)) {
		t.Error("a record is due while it is not known what protects it")
	}
	if p := m.Policies()[0]; p.Settled || p.SettledAt.Before(until) {
		t.Errorf("the policy is settled: %+v", p)
	}
	if !m.Due(audit(), until) || len(retention.NewPlan(m, nil, until).Blocked) > 0 {
		t.Error("what is known does not count once the rest is over")
	}
}

// TestToAndFroIsRememberedOnce is what a tool does that fights with another one.
func TestToAndFroIsRememberedOnce(t *testing.T) {
	m := settled(policy("a", keep("60d")))
	sizes := map[int]int{}
	for i := range 400 {
		h := hold("h", of("alice", fmt.Sprint("user-", i%2)))
		m = retention.Observe(m, []retention.Policy{policy("a", keep([]string{"30d", "60d"}[i%2]))}, []retention.Hold{h}, now().Add(time.Duration(i)*time.Minute))
		sizes[i] = len(mustJSON(t, m))
	}
	if sizes[399] > sizes[5] {
		t.Errorf("400 changes take %d bytes, 6 take %d", sizes[399], sizes[5])
	}
	if len(retention.NewPlan(m, nil, now().Add(7*time.Hour)).Blocked) > 0 {
		t.Error("erasing is stopped")
	}
}

// TestAHoldThatChangesTooOftenHoldsMore joins what a hold held before.
func TestAHoldThatChangesTooOftenHoldsMore(t *testing.T) {
	m := settled(policy("all"))
	from := func(i int) time.Time { return moment("2000-01-01").AddDate(0, 0, i*37%100) }
	period := func(i int) func(*retention.Hold) {
		return func(h *retention.Hold) { h.Spec.From, h.Spec.To = from(i), from(i).AddDate(0, 0, 1+i%5) }
	}
	for i := range 100 {
		h := hold("h", of(fmt.Sprint("user-", i)), period(i))
		m = retention.Observe(m, []retention.Policy{policy("all")}, []retention.Hold{h}, now())
	}
	m = remembered(t, m)
	for i := range 100 {
		r := audit(func(a *record.Audit) { a.UserID, a.Time = fmt.Sprint("user-", i), record.At(from(i)) })
		last := audit(func(a *record.Audit) { a.UserID, a.Time = r.UserID, record.At(from(i).AddDate(0, 0, 1+i%5).Add(-tick)) })
		if m.Due(r, now().Add(7*day-tick)) || m.Due(last, now().Add(7*day-tick)) {
			t.Errorf("what the hold held first of all, %s, is due", r.UserID)
		}
		if !m.Due(r, now().Add(7*day)) && i < 99 {
			t.Errorf("%s is held longer than for the delay", r.UserID)
		}
	}
}

func TestNeedsSaving(t *testing.T) {
	m := settled(policy("a"))
	same := func(after time.Duration) retention.Memory {
		return retention.Observe(m, []retention.Policy{policy("a")}, nil, m.Seen().Add(after))
	}
	cases := map[string]struct {
		next retention.Memory
		want bool
	}{
		"nothing happened":                        {same(0), false},
		"a few minutes passed":                    {same(9 * time.Minute), false},
		"many did":                                {same(10 * time.Minute), true},
		"a policy changed":                        {retention.Observe(m, []retention.Policy{policy("a", keep("2y"))}, nil, m.Seen()), true},
		"a policy has another uid":                {retention.Observe(m, []retention.Policy{{Name: "a", UID: "new", Rule: policy("a").Rule}}, nil, m.Seen()), true},
		"a hold appeared":                         {retention.Observe(m, []retention.Policy{policy("a")}, []retention.Hold{hold("h")}, m.Seen()), true},
		"nobody remembers anything but the clock": {retention.Memory{}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.next.NeedsSaving(m); got != c.want {
				t.Errorf("it needs saving: %v", got)
			}
		})
	}
}

func TestProtection(t *testing.T) {
	all := []retention.Policy{policy("all")}
	observe := func(m retention.Memory, at time.Duration, holds ...retention.Hold) retention.Memory {
		return retention.Observe(m, all, holds, now().Add(at))
	}
	m := observe(settled(all...), 0, hold("h"))
	long := observe(observe(m, day, hold("h", releasing)), 8*day, hold("h", releasing))
	cases := map[string]struct {
		next retention.Memory
		same bool
	}{
		"time passes":                     {observe(m, day, hold("h")), true},
		"the hold becomes active":         {observe(m, time.Minute, hold("h")), true},
		"the hold is being deleted":       {observe(m, day, hold("h", releasing)), true},
		"it is released":                  {long, false},
		"another hold appears":            {observe(m, day, hold("h"), hold("i", of("bob"))), false},
		"the hold widens":                 {observe(m, day, hold("h", of("alice", "bob"))), false},
		"the hold is missing":             {observe(m, day), false},
		"the hold is for a period only":   {observe(m, day, hold("h", func(h *retention.Hold) { h.Spec.From = now() })), false},
		"a policy appears that keeps all": {retention.Observe(m, append(all, policy("odd", invalid)), []retention.Hold{hold("h")}, now()), false},
		"a policy's keep becomes longer":  {retention.Observe(m, []retention.Policy{policy("all", keep("2y"))}, []retention.Hold{hold("h")}, now()), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.next.Protection() == m.Protection(); got != c.same {
				t.Errorf("the protection is the same: %v", got)
			}
		})
	}
}

func TestMemoryThatMakesNoSenseIsRefused(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"not JSON":                     {`{`, "unexpected"},
		"another version":              {`{"version":2}`, "version is 2"},
		"no version":                   {`{}`, "version is 0"},
		"a field of a later program":   {`{"version":1,"embargoes":[]}`, "embargoes"},
		"an age that is none":          {`{"version":1,"policies":[{"name":"a","rule":{"keep":"1h"}}]}`, "not an age"},
		"a version that is not there":  {`{"version":1,"former":[{"until":"2026-11-24T00:00:00Z","with":[0]}]}`, "no version 0"},
		"a negative version":           {`{"version":1,"former":[{"until":"2026-11-24T00:00:00Z","with":[-1]}]}`, "no version -1"},
		"two policies of one name":     {`{"version":1,"policies":[{"name":"a","rule":{}},{"name":"a","rule":{}}]}`, "out of order"},
		"holds in disorder":            {`{"version":1,"holds":[{"name":"b","since":"2026-11-24T00:00:00Z"},{"name":"a","since":"2026-11-24T00:00:00Z"}]}`, "out of order"},
		"a moment that JSON can't say": {`{"version":1,"seen":"9999-12-31T23:59:59-23:00"}`, "out of bounds"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := settled(policy("a"))
			before := mustJSON(t, m)
			err := json.Unmarshal([]byte(c.text), &m)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one about %q", err, c.want)
			}
			if mustJSON(t, m) != before {
				t.Error("what was refused was taken over")
			}
		})
	}
}

// FuzzMemory reads whatever there may be, and lives on with it.
func FuzzMemory(f *testing.F) {
	f.Add([]byte(`{"version":1}`))
	policies, holds := many(2, 0)
	m := retention.Observe(settled(policy("a"), policy("policy-0001")), policies, holds, now())
	holds[0].Deleting, policies[1].Deleting = true, true
	m = retention.Observe(m, policies, holds[:1], now().Add(time.Hour))
	text, err := json.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		var m retention.Memory
		if json.Unmarshal(data, &m) != nil {
			return
		}
		m = remembered(t, m)
		later := m.Seen().Add(time.Hour)
		next := remembered(t, retention.Observe(m, policies, holds, later))
		if again := retention.Observe(next, policies, holds, later); !again.Equal(next) {
			t.Fatalf("observing the same again changes\n%s into\n%s", mustJSON(t, next), mustJSON(t, again))
		}
		stretch := retention.Stretch{
			Kind: record.KindAudit, Name: "s", From: moment("2000-01-01"), To: moment("2000-02-01"),
			Orgs: []retention.Stock{{OrgID: "acme", Records: 1, Oldest: moment("2000-01-01"), Newest: moment("2000-01-01")}},
		}
		plan := retention.NewPlan(next, []retention.Stretch{stretch}, later)
		r := audit()
		if got := planned(plan, r) && len(plan.Blocked) == 0; got != next.Due(r, later) {
			t.Fatalf("a record is planned: %v, and Due says otherwise\n%+v", got, plan)
		}
		next.Policies()
		next.Holds()
		next.NextChange(later)
	})
}
