package retention

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// shownPlan is what status says of the policy default, with a budget of questions.
func shownPlan(t *testing.T, b *bench, budget int) *v1alpha1.RetentionPlan {
	t.Helper()
	seen, err := b.eraser(t).ledger.observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	index, err := readIndex(t.Context(), b.store)
	if err != nil {
		t.Fatal(err)
	}
	plan := retention.NewPlan(seen.memory, index, b.clock.Now())
	schemas := map[record.Kind]*record.Schema{}
	for _, kind := range record.Kinds() {
		schemas[kind] = record.NewSchema(kind)
	}
	counts := &counter{store: b.store, schemas: schemas, left: budget, log: logr.Discard()}
	lots := newLots(plan, index).sortedLots("default")
	status := planStatus(lots, b.clock.Now())
	counts.refine(t.Context(), status, lots, plan, seen.memory.Holds())
	return status
}

// entries are what matters of them, as text.
func entries(plan *v1alpha1.RetentionPlan) (texts []string) {
	for _, e := range plan.Entries {
		text := fmt.Sprintf("%s %s %d exact=%t before=%s", e.Record, e.OrgID, e.Records, e.Exact, e.Before.UTC().Format(time.RFC3339))
		if e.Due != nil {
			text += " due=" + e.Due.UTC().Format(time.RFC3339)
		}
		texts = append(texts, text)
	}
	return texts
}

func TestAPlanIsExactWithinItsBudget(t *testing.T) {
	b := newBench(t, policy("default"))
	cutoff := today.Add(time.Hour).AddDate(0, 0, -90)
	b.audits(t, 10, "shop", cutoff.Add(-5*time.Minute)) // Five of them are due.
	b.audits(t, 20, "bank", ago(200))
	b.audits(t, 3, "bank", ago(1))
	b.audits(t, 4, "bank", ago(201), func(a *record.Audit) { a.UserID = "mallory" })
	b.api.holds = []retention.Hold{
		hold("mallory", func(h *retention.HoldSpec) { h.UserIDs, h.OrgIDs = []string{"mallory"}, []string{"bank"} }),
		hold("elsewhere", func(h *retention.HoldSpec) { h.OrgIDs = []string{"nobody"} }),
	}
	b.settle(t)

	exact := shownPlan(t, b, maxCounts)
	before := cutoff.UTC().Format(time.RFC3339)
	if diff := cmp.Diff([]string{
		"Audit bank 20 exact=true before=2026-06-01T00:00:00Z", "Audit shop 5 exact=true before=" + before,
	}, entries(exact)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if exact.Records != 25 || !exact.Exact || exact.HeldRecords != 4 || exact.Truncated {
		t.Errorf("%d records (exact %t), %d held, truncated %t", exact.Records, exact.Exact, exact.HeldRecords, exact.Truncated)
	}
	if diff := cmp.Diff([]v1alpha1.RetentionPlanHold{{Name: "mallory", Records: 4}}, exact.Holds); diff != "" {
		t.Errorf("holds (-want +got):\n%s", diff)
	}

	bound := shownPlan(t, b, 0)
	if bound.Exact || bound.Records < 25 || !bound.Truncated {
		t.Errorf("without a budget: %d records (exact %t), truncated %t", bound.Records, bound.Exact, bound.Truncated)
	}
	for _, e := range bound.Entries {
		if e.Exact {
			t.Errorf("without a budget the entry of %s is exact", e.OrgID)
		}
	}
}

func TestAPlanOfManyOrgsIsBounded(t *testing.T) {
	b := newBench(t, policy("default"))
	for i := range v1alpha1.MaxRetentionPlanEntries + 7 {
		b.audits(t, 1+i%3, fmt.Sprintf("org-%03d", i), ago(200))
	}
	b.settle(t)
	plan := shownPlan(t, b, maxCounts)
	want := int64(0)
	for i := range v1alpha1.MaxRetentionPlanEntries + 7 {
		want += int64(1 + i%3)
	}
	if len(plan.Entries) != v1alpha1.MaxRetentionPlanEntries || !plan.Truncated || plan.Records != want || !plan.Exact {
		t.Errorf("%d entries, truncated %t, %d records (exact %t), want %d", len(plan.Entries), plan.Truncated, plan.Records, plan.Exact, want)
	}
	if first, last := plan.Entries[0].Records, plan.Entries[len(plan.Entries)-1].Records; first != 3 || last != 1 {
		t.Errorf("the first entry has %d, the last %d records", first, last)
	}
}

func TestWhatAChangeWillEraseIsShownWithItsInstant(t *testing.T) {
	b := newBench(t, policy("default"))
	b.audits(t, 10, "shop", ago(50))
	b.settle(t)
	b.api.policies = []retention.Policy{policy("default", func(p *retention.Policy) {
		p.Rule.Keep, p.Rule.ChangeDelay = age("30d"), 24*time.Hour
	})}
	plan := shownPlan(t, b, maxCounts)
	due := b.clock.Now().Add(24 * time.Hour)
	if len(plan.Entries) != 1 || plan.Entries[0].Due == nil || !plan.Entries[0].Due.Time.Equal(due) || plan.Entries[0].Records != 10 {
		t.Errorf("entries %v, want one due at %s", entries(plan), due)
	}
	if plan.Records != 0 || !plan.Exact {
		t.Errorf("%d records are due already (exact %t)", plan.Records, plan.Exact)
	}
}

func TestHeldRecordsAreCountedAtLeast(t *testing.T) {
	b := newBench(t)
	b.audits(t, 5, "shop", ago(50))
	b.audits(t, 5, "bank", ago(50))
	schemas := map[record.Kind]*record.Schema{}
	for _, kind := range record.Kinds() {
		schemas[kind] = record.NewSchema(kind)
	}
	counts := &counter{store: b.store, schemas: schemas, left: 3, log: logr.Discard()}
	spec := retention.HoldSpec{OrgIDs: []string{"shop"}}
	if got, ok := counts.held(t.Context(), spec); !ok || got.Records != 5 || !got.Exact {
		t.Errorf("%+v, %t", got, ok)
	}
	if got, ok := counts.held(t.Context(), spec); ok {
		t.Errorf("beyond the budget %+v was counted", got)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	counts.left = 10
	if got, ok := counts.held(done, spec); ok {
		t.Errorf("beyond the time %+v was counted", got)
	}
}
