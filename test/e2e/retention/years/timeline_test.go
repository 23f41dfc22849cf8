package years_test

import (
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/test/e2e/retention/trail"
)

// The three years, and the one before, of which there are records when they begin.
var (
	oldest = time.Date(2020, 1, 20, 0, 0, 0, 0, time.UTC)
	began  = time.Date(2021, 1, 31, 10, 30, 0, 0, time.UTC)
)

// The policies and holds. Both payments and duty name the orgs 3 and 4.
const (
	everything = "default"
	payments   = "payments"
	duty       = "duty-to-erase"
	fraud      = "fraud"
	thing      = "thing"
)

// step is an instant at which something is changed and a run follows.
type step struct {
	// what happens, as a sentence.
	what string
	// months, days and hours are counted from the beginning.
	months, days, hours int
	change              func(*trail.Declared)
	// nothing says that the run may erase nothing.
	nothing bool
}

func (s step) at() time.Time {
	return began.AddDate(0, s.months, s.days).Add(time.Duration(s.hours) * time.Hour)
}

func timeline() []step {
	return []step{
		{what: "three policies are seen for the first time", nothing: true, change: func(d *trail.Declared) {
			d.Policies = append(d.Policies,
				trail.Policy(everything, "7mo"),
				trail.Policy(payments, "14mo", func(r *retention.Rule) { r.OrgIDs, r.MinKeep = trail.Named(0, 4), trail.Age("9mo") }),
				trail.Policy(duty, "60d", func(r *retention.Rule) {
					r.Kinds, r.OrgIDs, r.MaxKeep = []record.Kind{record.KindAuthAudit}, trail.Named(3, 10), trail.Age("3mo")
				}))
		}},
		{what: "their delay has not passed", hours: 23, nothing: true},
		{what: "their delay has passed to the instant", hours: 24},
		{what: "a hold of a person's records appears", months: 1, days: 15, change: func(d *trail.Declared) {
			d.Holds = append(d.Holds, trail.Hold(fraud, func(h *retention.HoldSpec) {
				h.OrgIDs, h.UserIDs = trail.Named(0, 8), []string{trail.User(3), trail.User(4)}
			}))
		}},
		{what: "the default keeps for less, after 30 days", months: 3, change: func(d *trail.Declared) {
			r := &d.Policy(everything).Rule
			r.Keep, r.ChangeDelay = trail.Age("120d"), 30*24*time.Hour
		}},
		{what: "the former default counts", months: 3, days: 29},
		{what: "the new default counts", months: 4, days: 5},
		{what: "a hold of things appears, for records of a year", months: 7, change: func(d *trail.Declared) {
			d.Holds = append(d.Holds, trail.Hold(thing, func(h *retention.HoldSpec) {
				h.TargetIDs = []string{trail.Target(0), trail.Target(1), trail.Target(2), trail.Target(3)}
				h.From, h.To = time.Date(2020, 9, 1, 0, 0, 0, 0, time.UTC), time.Date(2021, 9, 1, 0, 0, 0, 0, time.UTC)
			}))
		}},
		{what: "payments only shows what it would do", months: 11, change: func(d *trail.Declared) {
			d.Policy(payments).Rule.Mode = retention.DryRun
		}},
		{what: "payments protects and does not erase", months: 13},
		{what: "the hold of things is narrowed", months: 15, change: func(d *trail.Declared) {
			d.Hold(thing).Spec.TargetIDs = []string{trail.Target(2)}
		}},
		{what: "what it held before is released", months: 15, days: 8},
		{what: "the default is wrong", months: 18, change: func(d *trail.Declared) {
			d.Policy(everything).Rule = retention.Rule{Kinds: record.Kinds(), Mode: retention.Enforce, ChangeDelay: 24 * time.Hour, Invalid: true}
		}, nothing: true},
		{what: "the default is right again", months: 22, change: func(d *trail.Declared) {
			d.Policy(everything).Rule = trail.Policy(everything, "150d").Rule
		}, nothing: true},
		{what: "and its delay has passed, while a hold is deleted", months: 22, days: 2, change: func(d *trail.Declared) {
			d.Hold(fraud).Deleting = true
		}},
		{what: "the deleted hold is released", months: 22, days: 10},
		{what: "the other hold is missing, nobody knows why", months: 27, change: func(d *trail.Declared) {
			d.DropHold(fraud)
			d.DropHold(thing)
		}, nothing: true},
		{what: "it is there again, and a policy has vanished", months: 27, days: 1, change: func(d *trail.Declared) {
			d.Holds = append(d.Holds, trail.Hold(thing, func(h *retention.HoldSpec) {
				h.TargetIDs = []string{trail.Target(2)}
				h.From, h.To = time.Date(2020, 9, 1, 0, 0, 0, 0, time.UTC), time.Date(2021, 9, 1, 0, 0, 0, 0, time.UTC)
			}))
			d.DropPolicy(payments)
		}},
		{what: "three years have passed", months: 36},
	}
}
