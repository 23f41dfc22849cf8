package retention

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

// plan makes anew what status shows, when rules changed, a run ended, a change has
// settled, or it is old.
func (r *reconciler) plan(ctx context.Context, p *pass) error {
	if p.seen == nil {
		return nil
	}
	stale := r.shown.at.Add(r.refreshEvery)
	protection, ran := p.seen.memory.Protection(), r.runs.lastEnd()
	if r.shown.protection == protection && r.shown.ran.Equal(ran) && p.now.Before(stale) &&
		slices.Equal(r.shown.names, p.names()) && p.now.Before(r.shown.until) {
		p.wake(earliest(stale, r.shown.until))
		p.planned = &r.shown
		return nil
	}
	next, err := r.makePlan(ctx, p)
	if err != nil {
		return p.fail(ctx, "what is stored is not known", err)
	}
	next.protection, next.ran, next.names = protection, ran, p.names()
	next.until = p.seen.memory.NextChange(p.now)
	if !next.until.After(p.now) {
		next.until = p.now.Add(r.refreshEvery)
	}
	r.shown = *next
	p.planned = next
	p.wake(earliest(p.now.Add(r.refreshEvery), next.until))
	return nil
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// names tell one set of objects from another.
func (p *pass) names() []string {
	var all []string
	for _, v := range p.policies {
		all = append(all, fmt.Sprintf("policy/%s/%s/%d", v.obj.Name, v.obj.UID, v.obj.Generation))
	}
	for _, v := range p.holds {
		all = append(all, fmt.Sprintf("hold/%s/%s/%d", v.obj.Name, v.obj.UID, v.obj.Generation))
	}
	return all
}

func (r *reconciler) makePlan(ctx context.Context, p *pass) (*planned, error) {
	index, err := readIndex(ctx, r.store)
	if err != nil {
		return nil, err
	}
	plan := retention.NewPlan(p.seen.memory, index, p.now)
	out := &planned{
		at: p.now, blocked: blocked(plan, *p.seen),
		policies: map[string]*v1alpha1.RetentionPlan{}, matched: map[string]bool{}, held: map[string]store.Count{},
	}
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	counts := &counter{store: r.store, schemas: r.schemas, left: maxCounts, log: log.FromContext(ctx)}
	lots, holds := newLots(plan, index), p.seen.memory.Holds()
	for _, v := range p.policies {
		mine := lots.sortedLots(v.obj.Name)
		status := planStatus(mine, p.now)
		counts.refine(ctx, status, mine, plan, holds)
		out.policies[v.obj.Name] = status
		out.matched[v.obj.Name] = matches(v.read.policy.Rule, index)
		r.metrics.show(v.obj.Name, status.Records)
	}
	for _, h := range holds {
		if count, ok := counts.held(ctx, h.Spec); ok {
			out.held[h.Name] = count
		}
	}
	return out, nil
}

// matches tells whether something is stored that a rule is about.
func matches(rule retention.Rule, index []retention.Stretch) bool {
	for i := range index {
		if !slices.Contains(rule.Kinds, index[i].Kind) {
			continue
		}
		for _, stock := range index[i].Orgs {
			if len(rule.OrgIDs) == 0 || slices.Contains(rule.OrgIDs, stock.OrgID) {
				return true
			}
		}
	}
	return false
}
