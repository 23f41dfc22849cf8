package retention_test

import (
	"fmt"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// load is what a plan is made of for a number of orgs: 84 months of both kinds, and 50
// policies that name all orgs between them but the last tenth.
func load(orgCount int) (retention.Memory, []retention.Stretch) {
	const policies, monthCount = 50, 84
	var ids []string
	for i := range orgCount {
		ids = append(ids, fmt.Sprintf("org-%06d", i))
	}
	all := []retention.Policy{policy("all", keep("5y"))}
	for i := 1; i < policies; i++ {
		var named []string
		for j := i - 1; j < len(ids)*9/10; j += policies - 1 {
			named = append(named, ids[j])
		}
		p := policy(fmt.Sprintf("policy-%02d", i), keep(fmt.Sprintf("%dmo", 12+i)), orgs(append(named, "elsewhere")...))
		all = append(all, p)
	}
	var stretches []retention.Stretch
	for _, kind := range record.Kinds() {
		for m := range monthCount {
			from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).AddDate(0, -m, 0)
			s := retention.Stretch{Kind: kind, Name: fmt.Sprint(kind, m), From: from, To: from.AddDate(0, 1, 0)}
			for _, id := range ids {
				s.Orgs = append(s.Orgs, retention.Stock{OrgID: id, Records: 1000, Oldest: s.From, Newest: s.To.Add(-time.Second)})
			}
			stretches = append(stretches, s)
		}
	}
	return settled(all...), stretches
}

func BenchmarkNewPlan(b *testing.B) {
	for _, orgCount := range []int{10, 1000} {
		m, stretches := load(orgCount)
		b.Run(fmt.Sprint(orgCount, " orgs"), func(b *testing.B) {
			for b.Loop() {
				if plan := retention.NewPlan(m, stretches, now()); len(plan.Steps) == 0 {
					b.Fatal("nothing is planned")
				}
			}
		})
	}
}
