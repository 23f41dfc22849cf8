package retention

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/go-logr/logr"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// maxCounts is how many questions one pass asks to make plans exact.
	maxCounts = 200
	// countTimeout bounds the time that they take together.
	countTimeout = 20 * time.Second
	// maxCountedOrgs is how many orgs one question is about.
	maxCountedOrgs = 2000
	// maxHeldCount is how far the records of a hold are counted.
	maxHeldCount = 100_000
)

// counter asks the store for what the index cannot tell, within the budget of a
// pass. What is not known any more when that is used up stays an upper bound.
type counter struct {
	store   store.Reader
	schemas map[record.Kind]*record.Schema
	left    int
	log     logr.Logger
}

// count returns a number of records, at most atMost when that is not 0; false when
// it could not be asked for.
func (c *counter) count(ctx context.Context, q query.Query, atMost int) (store.Count, bool) {
	if c.left <= 0 || ctx.Err() != nil {
		return store.Count{}, false
	}
	c.left--
	q.Scope = query.All()
	canonical, err := store.Erasable("count", q, c.schemas[q.Kind])
	if err != nil {
		c.log.Info("what a plan says cannot be counted", "error", err.Error())
		return store.Count{}, false
	}
	count, err := c.store.Count(ctx, canonical, atMost)
	if err != nil {
		c.log.V(1).Info("what a plan says was not counted", "error", err.Error())
		return store.Count{}, false
	}
	return count, true
}

// exactly is count to the end.
func (c *counter) exactly(ctx context.Context, q query.Query) (int64, bool) {
	count, ok := c.count(ctx, q, 0)
	return count.Records, ok && count.Exact
}

// held counts what a hold holds of everything that is stored.
func (c *counter) held(ctx context.Context, spec retention.HoldSpec) (store.Count, bool) {
	sum := store.Count{Exact: true}
	for _, kind := range record.Kinds() {
		filter, holds := spec.Filter(kind)
		if !holds {
			continue
		}
		count, ok := c.count(ctx, query.Query{Kind: kind, Filter: filter}, maxHeldCount)
		if !ok {
			return store.Count{}, false
		}
		sum.Records += count.Records
		sum.Exact = sum.Exact && count.Exact
	}
	return sum, true
}

// cohort is what is due now of one kind up to one instant.
type cohort struct {
	kind        record.Kind
	from, until time.Time
	orgs        []string
	records     int64
	exact       bool
}

func cohorts(lots []*lot) []*cohort {
	var all []*cohort
	for _, l := range lots {
		if !l.due.IsZero() {
			continue
		}
		at := slices.IndexFunc(all, func(c *cohort) bool { return c.kind == l.kind && c.until.Equal(l.until) })
		if at < 0 {
			at = len(all)
			all = append(all, &cohort{kind: l.kind, from: l.from, until: l.until, exact: true})
		}
		c := all[at]
		c.orgs = append(c.orgs, l.org)
		c.records += l.records
		c.exact = c.exact && l.exact
		if l.from.Before(c.from) {
			c.from = l.from
		}
	}
	for _, c := range all {
		slices.Sort(c.orgs)
	}
	return all
}

// step is the cohort as a step of a plan.
func (c *cohort) step() retention.Step {
	return retention.Step{Kind: c.kind, From: c.from, Until: c.until, Orgs: c.orgs}
}

// question asks for the cohort's records that satisfy a filter as well; nil is none.
func (c *cohort) question(filter query.Filter) query.Query {
	ours, _ := retention.HoldSpec{OrgIDs: c.orgs}.Filter(c.kind)
	if filter != nil {
		ours = query.And{ours, filter}
	}
	return query.Query{Kind: c.kind, From: c.from, To: c.until, Filter: ours}
}

// meets tells whether a hold may hold something of the cohort.
func (c *cohort) meets(h retention.HoldSpec) bool {
	if _, holds := h.Filter(c.kind); !holds || !h.From.IsZero() && !h.From.Before(c.until) {
		return false
	}
	return len(h.OrgIDs) == 0 || slices.ContainsFunc(h.OrgIDs, func(org string) bool {
		_, found := slices.BinarySearch(c.orgs, org)
		return found
	})
}

// refine makes the plan of one policy exact as far as the budget goes: its total,
// then what is held of it and by which hold, then its entries.
func (c *counter) refine(ctx context.Context, status *v1alpha1.RetentionPlan, lots []*lot, plan retention.Plan, holds []retention.HoldState) {
	status.Records, status.Exact = 0, true
	blocks := map[string]int64{}
	for _, cohort := range cohorts(lots) {
		met := slices.DeleteFunc(slices.Clone(plan.Holds), func(h retention.HoldSpec) bool { return !cohort.meets(h) })
		records, ok := cohort.records, cohort.exact && len(met) == 0
		if !ok && len(cohort.orgs) <= maxCountedOrgs {
			doomed := cohort.step().Doomed(met)
			if counted, known := c.exactly(ctx, query.Query{Kind: cohort.kind, From: cohort.from, To: cohort.until, Filter: doomed}); known {
				records, ok = counted, true
			}
		}
		status.Records += records
		status.Exact = status.Exact && ok
		c.refineHeld(ctx, status, cohort, met, holds, blocks)
	}
	putHolds(status, blocks)
	for i, l := range lots[:min(len(lots), len(status.Entries))] {
		if l.due.IsZero() {
			c.refineEntry(ctx, &status.Entries[i], l, plan.Holds)
		}
	}
}

// refineHeld adds what is held of a cohort, in all and by each hold.
func (c *counter) refineHeld(
	ctx context.Context, status *v1alpha1.RetentionPlan, due *cohort, met []retention.HoldSpec, holds []retention.HoldState, blocks map[string]int64,
) {
	if len(met) == 0 || len(due.orgs) > maxCountedOrgs {
		status.Truncated = status.Truncated || len(met) > 0
		return
	}
	var held query.Or
	for _, h := range met {
		filter, _ := h.Filter(due.kind)
		if filter == nil {
			filter = query.And{}
		}
		held = append(held, filter)
	}
	records, ok := c.exactly(ctx, due.question(held))
	status.HeldRecords += records
	status.Truncated = status.Truncated || !ok
	for _, h := range holds {
		if !due.meets(h.Spec) {
			continue
		}
		filter, _ := h.Spec.Filter(due.kind)
		records, ok := c.exactly(ctx, due.question(filter))
		status.Truncated = status.Truncated || !ok
		if records > 0 {
			blocks[h.Name] += records
		}
	}
}

// putHolds names the holds that keep the most.
func putHolds(status *v1alpha1.RetentionPlan, blocks map[string]int64) {
	for name, records := range blocks {
		status.Holds = append(status.Holds, v1alpha1.RetentionPlanHold{Name: name, Records: records})
	}
	slices.SortFunc(status.Holds, func(a, b v1alpha1.RetentionPlanHold) int {
		return cmp.Or(cmp.Compare(b.Records, a.Records), cmp.Compare(a.Name, b.Name))
	})
	if len(status.Holds) > v1alpha1.MaxRetentionPlanHolds {
		status.Holds, status.Truncated = status.Holds[:v1alpha1.MaxRetentionPlanHolds], true
	}
}

func (c *counter) refineEntry(ctx context.Context, entry *v1alpha1.RetentionPlanEntry, l *lot, holds []retention.HoldSpec) {
	one := &cohort{kind: l.kind, from: l.from, until: l.until, orgs: []string{l.org}}
	met := slices.DeleteFunc(slices.Clone(holds), func(h retention.HoldSpec) bool { return !one.meets(h) })
	if l.exact && len(met) == 0 {
		return
	}
	entry.Exact = false
	doomed := one.step().Doomed(met)
	if records, ok := c.exactly(ctx, query.Query{Kind: l.kind, From: l.from, To: l.until, Filter: doomed}); ok {
		entry.Records, entry.Exact = records, true
		if records == 0 {
			entry.Oldest = nil
		}
	}
}
