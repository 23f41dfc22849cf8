package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// What is planned for.
const (
	manyOrgs        = 1_000
	fewOrgs         = 10
	plannedPolicies = 50
	plannedMonths   = 84
	plannedHolds    = 10
	// plannings is how often each side is timed.
	plannings = 100
)

// planning times a plan for many organisations beside one for few.
func (b *bench) planning(ctx context.Context) ([]figure, error) {
	b.progress.step("measuring plans")
	now := monthEnd()
	var sides []*side
	for _, orgs := range []int{manyOrgs, fewOrgs} {
		memory, index := plannedMemory(orgs, now), plannedIndex(orgs, now)
		if plan := retention.NewPlan(memory, index, now); len(plan.Steps) == 0 || len(plan.Shown) == 0 {
			return nil, errors.New("a plan has no steps")
		}
		sides = append(sides, &side{name: fmt.Sprintf("%d organisations", orgs), run: func(int) error {
			retention.NewPlan(memory, index, now)
			return nil
		}})
	}
	if err := b.interleave(ctx, "a plan", plannings, sides...); err != nil {
		return nil, err
	}
	b.note("retention, planning: in this process; half of the %d policies are for all, the others name organisations; "+
		"some are in dry-run, some have floors and duties to erase, a change is pending, and there are %d holds", plannedPolicies, plannedHolds)
	name := fmt.Sprintf("Retention, a plan for %d organisations × %d policies × %d months ÷ for %d organisations",
		manyOrgs, plannedPolicies, plannedMonths, fewOrgs)
	return []figure{quotient(name, 150, *sides[0], *sides[1])}, nil
}

func plannedOrg(i int) string { return fmt.Sprintf("org-%04d", i) }

func months(n int) retention.Age {
	age, _ := retention.ParseAge(fmt.Sprintf("%dmo", n)) // cannot fail
	return age
}

// plannedPolicy is one of half of which are for all records. The others name
// organisations, together every other one.
func plannedPolicy(i, orgs int) retention.Policy {
	rule := retention.Rule{Kinds: record.Kinds(), Keep: months(12 + i), Mode: retention.Enforce, ChangeDelay: 24 * time.Hour}
	switch i % 10 {
	case 3:
		rule.Mode = retention.DryRun
	case 5:
		rule.MinKeep = months(12)
	case 7:
		rule.MaxKeep = months(72)
	}
	if i%2 == 1 {
		for org := (i - 1) % orgs; org < orgs; org += plannedPolicies {
			rule.OrgIDs = append(rule.OrgIDs, plannedOrg(org))
		}
	}
	return retention.Policy{Name: fmt.Sprintf("policy-%02d", i), UID: fmt.Sprintf("uid-%02d", i), Rule: rule}
}

// plannedMemory has seen all policies and holds long ago, and an hour ago that one
// policy became shorter, which has not settled.
func plannedMemory(orgs int, now time.Time) retention.Memory {
	policies := make([]retention.Policy, plannedPolicies)
	for i := range policies {
		policies[i] = plannedPolicy(i, orgs)
	}
	holds := make([]retention.Hold, plannedHolds)
	for i := range holds {
		from := now.AddDate(0, -8*(i+1), 0)
		holds[i] = retention.Hold{Name: fmt.Sprintf("hold-%02d", i), UID: fmt.Sprintf("uid-%02d", i), Spec: retention.HoldSpec{
			OrgIDs: []string{plannedOrg(i % orgs)}, UserIDs: []string{humanUser(uint64(i))}, From: from, To: from.AddDate(0, 1, 0),
		}}
	}
	const last = plannedPolicies - 1
	policies[last].Rule.Keep = months(72)
	memory := retention.Observe(retention.Memory{}, policies, holds, now.AddDate(-1, 0, 0))
	policies[last] = plannedPolicy(last, orgs)
	return retention.Observe(memory, policies, holds, now.Add(-time.Hour))
}

// plannedIndex lists months in which every organisation has records.
func plannedIndex(orgs int, now time.Time) []retention.Stretch {
	stretches := make([]retention.Stretch, plannedMonths)
	for i := range stretches {
		from := now.AddDate(0, i-plannedMonths, 0)
		stretch := retention.Stretch{Kind: record.KindAudit, Name: from.Format("2006.01"), From: from, To: from.AddDate(0, 1, 0)}
		for org := range orgs {
			stretch.Orgs = append(stretch.Orgs, retention.Stock{
				OrgID: plannedOrg(org), Records: int64(1_000 + org), Oldest: from.Add(time.Hour), Newest: stretch.To.Add(-time.Hour),
			})
		}
		stretches[i] = stretch
	}
	return stretches
}
