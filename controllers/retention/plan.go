package retention

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// lot is what is due of one kind and org at one time, by one policy.
type lot struct {
	kind record.Kind
	org  string
	// due is zero for now.
	due time.Time
	// from is inclusive and zero when open, until exclusive.
	from, until time.Time
	oldest      time.Time
	// records is an upper bound unless exact; held ones are in it until counted.
	records int64
	exact   bool
	bytes   float64
}

type lotKey struct {
	kind record.Kind
	org  string
	due  time.Time
}

// lots sorts what a plan erases, or shows, by policy, kind and org.
type lots map[string]map[lotKey]*lot

// newLots goes by the index alone. Numbers are exact where what is due doesn't end
// between the oldest and the newest record of an org in a stretch.
func newLots(plan retention.Plan, index []retention.Stretch) lots {
	type name struct {
		kind record.Kind
		name string
	}
	stretches := map[name]*retention.Stretch{}
	for i := range index {
		stretches[name{index[i].Kind, index[i].Name}] = &index[i]
	}
	all := lots{}
	for _, steps := range [][]retention.Step{plan.Steps, plan.Shown} {
		for i := range steps {
			if stretch := stretches[name{steps[i].Kind, steps[i].Stretch}]; stretch != nil {
				all.add(&steps[i], stretch)
			}
		}
	}
	return all
}

func (l lots) add(step *retention.Step, stretch *retention.Stretch) {
	var total int64
	for i := range stretch.Orgs {
		total += stretch.Orgs[i].Records
	}
	perRecord := float64(stretch.Bytes) / float64(max(total, 1))
	for i := range stretch.Orgs {
		stock := &stretch.Orgs[i]
		if selects(step, stock.OrgID) && stock.Oldest.Before(step.Until) {
			l.of(step, stock.OrgID).add(step, stock, perRecord)
		}
	}
}

// selects tells whether a step is about an org.
func selects(step *retention.Step, org string) bool {
	_, named := slices.BinarySearch(step.Orgs, org)
	return step.Whole || named != step.Except
}

func (l lots) of(step *retention.Step, org string) *lot {
	mine := l[step.Policy]
	if mine == nil {
		mine = map[lotKey]*lot{}
		l[step.Policy] = mine
	}
	key := lotKey{step.Kind, org, step.Due}
	if mine[key] == nil {
		mine[key] = &lot{kind: step.Kind, org: org, due: step.Due, from: step.From, exact: true}
	}
	return mine[key]
}

func (l *lot) add(step *retention.Step, stock *retention.Stock, perRecord float64) {
	l.records += stock.Records
	l.bytes += perRecord * float64(stock.Records)
	l.exact = l.exact && stock.Newest.Before(step.Until) && !stock.Oldest.Before(step.From)
	if l.oldest.IsZero() || stock.Oldest.Before(l.oldest) {
		l.oldest = stock.Oldest
	}
	if step.From.Before(l.from) {
		l.from = step.From
	}
	if step.Until.After(l.until) {
		l.until = step.Until
	}
}

// sortedLots are those of a policy: the first due first, then those with the most
// records.
func (l lots) sortedLots(policy string) []*lot {
	return slices.SortedFunc(maps.Values(l[policy]), func(a, b *lot) int {
		return cmp.Or(a.due.Compare(b.due), cmp.Compare(b.records, a.records), cmp.Compare(a.kind, b.kind), cmp.Compare(a.org, b.org))
	})
}

// planStatus is what status says of the lots of one policy.
func planStatus(lots []*lot, at time.Time) *v1alpha1.RetentionPlan {
	out := &v1alpha1.RetentionPlan{At: seconds(at), Exact: true}
	var bytes float64
	var oldest time.Time
	for i, l := range lots {
		if l.due.IsZero() {
			out.Records += l.records
			out.Exact = out.Exact && l.exact
			bytes += l.bytes
			if oldest.IsZero() || l.oldest.Before(oldest) {
				oldest = l.oldest
			}
		}
		if i >= v1alpha1.MaxRetentionPlanEntries {
			out.Truncated = true
			continue
		}
		out.Entries = append(out.Entries, entryStatus(l))
	}
	out.Bytes = int64(bytes)
	if out.Records > 0 {
		out.Oldest = micros(oldest)
	}
	return out
}

func entryStatus(l *lot) v1alpha1.RetentionPlanEntry {
	e := v1alpha1.RetentionPlanEntry{
		Record: v1alpha1.RecordKind(l.kind), OrgID: shortOrg(l.org), Records: l.records, Exact: l.exact, Before: *micros(l.until),
	}
	if l.records > 0 {
		e.Oldest = micros(l.oldest)
	}
	if !l.due.IsZero() {
		due := seconds(l.due)
		e.Due = &due
	}
	return e
}
