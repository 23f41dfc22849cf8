package oracle

import (
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// dueUnder applies the rules to one record and one set of policies.
func dueUnder(policies map[string]retention.Policy, r record.Record, now time.Time) bool {
	var matching []retention.Rule
	for _, p := range policies {
		if matches(p.Rule, r) {
			matching = append(matching, p.Rule)
		}
	}
	if slices.ContainsFunc(matching, func(rule retention.Rule) bool { return rule.Invalid }) {
		return false
	}
	older := func(age retention.Age) bool { return r.Base().Time.Time().Before(age.Before(now)) }
	enforcing := func(rule retention.Rule) bool { return rule.Mode == retention.Enforce }
	specific := func(rule retention.Rule) bool { return len(rule.OrgIDs) > 0 }

	// Only policies that enforce erase.
	if !slices.ContainsFunc(matching, enforcing) {
		return false
	}
	// No record goes below the greatest minKeep.
	for _, rule := range matching {
		if !rule.MinKeep.IsZero() && !older(rule.MinKeep) {
			return false
		}
	}
	// A maxKeep that is over is a duty.
	for _, rule := range matching {
		if enforcing(rule) && !rule.MaxKeep.IsZero() && older(rule.MaxKeep) {
			return true
		}
	}
	// The longest keep of the most specific; dry-run ones that are no less specific
	// protect as well.
	named := slices.ContainsFunc(matching, func(rule retention.Rule) bool { return enforcing(rule) && specific(rule) })
	for _, rule := range matching {
		if (specific(rule) || !named) && !older(rule.Keep) {
			return false
		}
	}
	return true
}

// Floor tells whether a record is younger than the floor of the policies in force.
func (o *Oracle) Floor(r record.Record, now time.Time) bool {
	if len(o.sights) == 0 {
		return false
	}
	for _, p := range o.sets[len(o.sets)-1].policies {
		if matches(p.Rule, r) && !p.Rule.MinKeep.IsZero() && !r.Base().Time.Time().Before(p.Rule.MinKeep.Before(now)) {
			return true
		}
	}
	return false
}

func matches(rule retention.Rule, r record.Record) bool {
	kind := slices.Contains(rule.Kinds, r.Kind()) || (rule.Invalid && len(rule.Kinds) == 0)
	return kind && (len(rule.OrgIDs) == 0 || slices.Contains(rule.OrgIDs, r.Base().OrgID))
}
