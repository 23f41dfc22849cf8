package retention_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/retention/oracle"
)

// remembered is a Memory after it was written and read again.
func remembered(t *testing.T, m retention.Memory) retention.Memory {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var read retention.Memory
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !read.Equal(m) || read.NeedsSaving(m) || read.Protection() != m.Protection() {
		t.Fatalf("it reads as another Memory\n%s", text)
	}
	if again, err := json.Marshal(read); err != nil || string(again) != string(text) {
		t.Fatalf("%v, or it is written as another Memory\n%s\n%s", err, text, again)
	}
	return read
}

// wantPlan checks a plan, and every decision that goes with it, record by record.
func wantPlan(t *testing.T, m retention.Memory, o *oracle.Oracle, records, late []record.Record, now time.Time) {
	t.Helper()
	plan := retention.NewPlan(m, index(records), now)
	if diff := cmp.Diff(o.Missing(), m.MissingHolds()); diff != "" || (len(plan.Blocked) > 0) != (len(o.Missing()) > 0) {
		t.Fatalf("missing holds (-want +got):\n%s\n%v", diff, plan.Blocked)
	}
	for _, r := range records {
		held, kept := o.Held(r, now), o.Kept(r, now)
		if got := planned(plan, r); got != (!held && !kept) {
			t.Fatalf("%s %+v is planned: %v; held: %v, kept: %v\n%+v", r.Kind(), r.Base(), got, held, kept, plan)
		}
		wantSafe(t, m, o, plan, r, now)
	}
	for _, s := range plan.Steps {
		if i := slices.IndexFunc(records, func(r record.Record) bool {
			return s.Whole && s.Stretch == stretchOf(r) && !planned(plan, r)
		}); i >= 0 {
			t.Fatalf("%+v is in a stretch that goes as a whole and not planned\n%+v", records[i].Base(), plan)
		}
	}
	for _, r := range late { // which the index does not know
		if planned(plan, r) {
			wantSafe(t, m, o, plan, r, now)
		}
	}
}

// wantSafe checks what must hold for every record, indexed or not.
func wantSafe(t *testing.T, m retention.Memory, o *oracle.Oracle, plan retention.Plan, r record.Record, now time.Time) {
	t.Helper()
	due, in := o.Due(r, now), planned(plan, r)
	if got := m.Due(r, now); got != due {
		t.Fatalf("%s %+v is due: %v, want %v", r.Kind(), r.Base(), got, due)
	}
	if in && len(plan.Blocked) == 0 && !due {
		t.Fatalf("%s %+v is planned and not due\n%+v", r.Kind(), r.Base(), plan)
	}
	if in && (o.Held(r, now) || o.Floor(r, now)) {
		t.Fatalf("%s %+v is planned and held or younger than its floor\n%+v", r.Kind(), r.Base(), plan)
	}
	for _, s := range plan.Steps {
		if !selects(s, r) {
			continue
		}
		filter := s.Doomed(plan.Holds)
		if satisfies(canonical(t, s.Kind, filter), r) != in {
			t.Fatalf("%s %+v is planned: %v; the filter of its step says otherwise\n%+v\n%+v", r.Kind(), r.Base(), in, s, filter)
		}
	}
}

// canonical is a filter as stores take it.
func canonical(t *testing.T, kind record.Kind, filter query.Filter) query.Filter {
	t.Helper()
	q, err := query.Validate(query.Query{Kind: kind, Scope: query.All(), Filter: filter, Limit: 1}, record.NewSchema(kind))
	if err != nil {
		t.Fatalf("%v\n%+v", err, filter)
	}
	return q.Filter
}

func TestThePlanIsWhatTheRulesSayOfEachRecord(t *testing.T) {
	random := source(t)
	steps, whole := 0, 0
	for range 400 {
		w := newWorld(random)
		var m retention.Memory
		var o oracle.Oracle
		for range 1 + random.IntN(12) {
			before, text := m, mustJSON(t, m)
			m = retention.Observe(m, w.policies, w.holds, w.now)
			o.Observe(w.policies, w.holds, w.now)
			if again := retention.Observe(m, w.policies, w.holds, w.now); !again.Equal(m) {
				t.Fatalf("observing the same again changes %s into %s", mustJSON(t, m), mustJSON(t, again))
			}
			if mustJSON(t, before) != text {
				t.Fatal("observing changed what was remembered before")
			}
			m = remembered(t, m)
			now := w.now.Add(time.Duration(random.IntN(30)-3) * time.Hour)
			records, late := randomRecords(random, 40, now), randomRecords(random, 10, now)
			wantPlan(t, m, &o, records, late, now)
			for _, s := range retention.NewPlan(m, index(records), now).Steps {
				steps++
				if s.Whole {
					whole++
				}
			}
			w.step()
		}
	}
	if steps < 1000 || whole < 100 {
		t.Errorf("only %d steps were planned, %d of them whole: the worlds show nothing", steps, whole)
	}
}

func mustJSON(t *testing.T, m retention.Memory) string {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func randomRecords(random *rand.Rand, n int, at time.Time) []record.Record {
	records := make([]record.Record, 0, n)
	for range n {
		records = append(records, randomRecord(random, at))
	}
	return records
}

// TestALongerKeepNeverErasesMore raises one age of one policy.
func TestALongerKeepNeverErasesMore(t *testing.T) {
	random := source(t)
	for range 600 {
		w := newWorld(random)
		if len(w.policies) == 0 {
			continue
		}
		longer := slices.Clone(w.policies)
		rule := &longer[random.IntN(len(longer))].Rule
		field := pick(random, []*retention.Age{&rule.Keep, &rule.MinKeep, &rule.MaxKeep})
		a := age(pick(random, worldAges))
		if rule.Contradiction() != "" { // a longer age might give it a meaning
			continue
		}
		if !a.Covers(*field) || field == &rule.MaxKeep && field.IsZero() {
			continue
		}
		*field = a
		long := w.now.AddDate(1, 0, 0)
		less := retention.Observe(retention.Memory{}, longer, w.holds, w.now)
		more := retention.Observe(retention.Memory{}, w.policies, w.holds, w.now)
		for _, r := range randomRecords(random, 100, long) {
			if less.Due(r, long) && !more.Due(r, long) {
				t.Fatalf("%+v is due only with the longer age\n%+v\n%+v", r.Base(), w.policies, longer)
			}
		}
	}
}

func TestTheOrderOfPoliciesDoesNotMatter(t *testing.T) {
	random := source(t)
	for range 150 {
		w := newWorld(random)
		var m, other retention.Memory
		for range 5 {
			m = retention.Observe(m, w.policies, w.holds, w.now)
			policies, holds := slices.Clone(w.policies), slices.Clone(w.holds)
			random.Shuffle(len(policies), func(i, j int) { policies[i], policies[j] = policies[j], policies[i] })
			random.Shuffle(len(holds), func(i, j int) { holds[i], holds[j] = holds[j], holds[i] })
			for i := range policies {
				policies[i].Rule.OrgIDs = slices.Clone(policies[i].Rule.OrgIDs)
				slices.Reverse(policies[i].Rule.OrgIDs)
			}
			other = retention.Observe(other, policies, holds, w.now)
			if !m.Equal(other) {
				t.Fatalf("another order gives\n%s\n%s", mustJSON(t, m), mustJSON(t, other))
			}
			stretches := index(randomRecords(random, 60, w.now))
			want := retention.NewPlan(m, stretches, w.now)
			random.Shuffle(len(stretches), func(i, j int) { stretches[i], stretches[j] = stretches[j], stretches[i] })
			if diff := cmp.Diff(want, retention.NewPlan(other, stretches, w.now)); diff != "" {
				t.Fatalf("another order gives another plan:\n%s", diff)
			}
			w.step()
		}
	}
}

// TestNoChangeErasesWithinItsDelayWhatTheSetBeforeKept changes everything at once, from
// a set that has settled.
func TestNoChangeErasesWithinItsDelayWhatTheSetBeforeKept(t *testing.T) {
	random := source(t)
	erased := 0
	for range 600 {
		old, next := newWorld(random), newWorld(random)
		for _, w := range []*world{old, next} {
			w.holds = nil
			for i := range w.policies {
				w.policies[i].Rule.ChangeDelay, w.policies[i].Deleting = day, false
			}
		}
		began := old.now.AddDate(0, -1, 0)
		before := retention.Observe(retention.Memory{}, old.policies, nil, began)
		after := retention.Observe(before, next.policies, nil, old.now)
		for _, r := range randomRecords(random, 60, old.now) {
			within := old.now.Add(time.Duration(random.Int64N(int64(day))))
			if after.Due(r, within) && !before.Due(r, within) {
				t.Fatalf("%+v is due %s after the change\n%+v\n%+v", r.Base(), within.Sub(old.now), old.policies, next.policies)
			}
			if past := old.now.Add(day); after.Due(r, past) && !before.Due(r, past) {
				erased++
			}
		}
	}
	if erased < 100 {
		t.Errorf("only %d records were due once the change had settled: the test shows nothing", erased)
	}
}

// TestShownSaysWhatTimeAndEnforcementWouldErase compares what is shown with the plan
// of the Memory in which it is so.
func TestShownSaysWhatTimeAndEnforcementWouldErase(t *testing.T) {
	random := source(t)
	shown := 0
	for range 300 {
		w := newWorld(random)
		w.holds = nil
		m := retention.Observe(retention.Memory{}, w.policies, nil, w.now.AddDate(0, -1, 0))
		w.step()
		w.holds = nil
		m = retention.Observe(m, w.policies, nil, w.now)
		enforced := slices.Clone(w.policies)
		for i := range enforced {
			enforced[i].Rule.Mode = retention.Enforce
		}
		later := retention.Observe(retention.Memory{}, w.policies, nil, w.now.AddDate(-1, 0, 0))
		promoted := retention.Observe(retention.Memory{}, enforced, nil, w.now.AddDate(-1, 0, 0))
		records := randomRecords(random, 60, w.now)
		plan := retention.NewPlan(m, index(records), m.Seen())
		for _, r := range records {
			var pending, would bool
			for _, s := range plan.Shown {
				if selects(s, r) {
					pending = pending || !s.Due.IsZero()
					would = would || s.Due.IsZero()
					shown++
				}
			}
			now := m.Due(r, plan.At)
			if want := !now && later.Due(r, plan.At); pending != want {
				t.Fatalf("%+v is shown as pending: %v, want %v\n%+v", r.Base(), pending, want, plan)
			}
			if want := !later.Due(r, plan.At) && promoted.Due(r, plan.At); would != want {
				t.Fatalf("%+v is shown as dry-run: %v, want %v\n%+v", r.Base(), would, want, plan)
			}
		}
	}
	if shown < 100 {
		t.Errorf("only %d records were shown: the test shows nothing", shown)
	}
}
