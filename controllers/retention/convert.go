package retention

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

const (
	// defaultSchedule is that of a policy that has none.
	defaultSchedule = "0 * * * *"
	// defaultChangeDelay and defaultReleaseDelay stand in where an object has
	// none, which the API server does not let in: the longest guess is the safest.
	defaultChangeDelay  = 24 * time.Hour
	defaultReleaseDelay = 168 * time.Hour
	// keepValue is what the keep annotation must say.
	keepValue = "true"
)

// problem is why a spec makes no sense: a reason of Stalled, and a sentence that
// names the field.
type problem struct{ reason, message string }

func problemf(reason, format string, args ...any) *problem {
	return &problem{reason: reason, message: shorten(fmt.Sprintf(format, args...))}
}

// readPolicy is a RetentionPolicy as its spec reads. With a problem the rule is
// Invalid, so that nothing is erased by it and all that it matches is kept.
type readPolicy struct {
	policy   retention.Policy
	schedule cron.Schedule
	problem  *problem
}

func convertPolicy(obj *v1alpha1.RetentionPolicy) readPolicy {
	spec := &obj.Spec
	out := readPolicy{policy: retention.Policy{
		Name: obj.Name, UID: string(obj.UID), Deleting: !obj.DeletionTimestamp.IsZero(),
		Rule: retention.Rule{
			Kinds: kindsOf(spec.Records), OrgIDs: sorted(spec.OrgIDs), Mode: retention.DryRun,
			ChangeDelay: delay(spec.ChangeDelay.Duration, defaultChangeDelay),
		},
	}}
	rule := &out.policy.Rule
	if spec.Mode == v1alpha1.RetentionEnforce {
		rule.Mode = retention.Enforce
	}
	out.problem = convertAges(spec, rule)
	var wrong *problem
	if out.schedule, wrong = parseSchedule(spec.Schedule); out.problem == nil {
		out.problem = wrong
	}
	if unknown, found := unknownKind(spec.Records); found {
		out.problem = problemf(v1alpha1.ReasonInvalidFilter,
			"spec.records: %q is no kind of record that this controller knows, so records of all kinds are kept.", shorten(unknown))
	}
	rule.Invalid = out.problem != nil
	return out
}

// convertAges fills in what parses, and returns the first problem.
func convertAges(spec *v1alpha1.RetentionPolicySpec, rule *retention.Rule) *problem {
	var first *problem
	parse := func(field, text string, age *retention.Age) {
		parsed, err := retention.ParseAge(text)
		if err != nil && first == nil {
			first = problemf(v1alpha1.ReasonInvalidAge, "spec.%s: %s.", field, err)
		}
		*age = parsed
	}
	parse("keep", spec.Keep, &rule.Keep)
	if spec.MinKeep != "" {
		parse("minKeep", spec.MinKeep, &rule.MinKeep)
	}
	if spec.MaxKeep != "" {
		parse("maxKeep", spec.MaxKeep, &rule.MaxKeep)
	}
	floor := "spec.minKeep"
	if spec.Profile != "" {
		profile, ok := retention.Profile(string(spec.Profile))
		switch {
		case !ok && first == nil:
			first = problemf(v1alpha1.ReasonInvalidAge, "spec.profile: %q is none of %s.",
				shorten(string(spec.Profile)), strings.Join(retention.Profiles(), ", "))
		case ok && !rule.MinKeep.Covers(profile):
			rule.MinKeep = profile
			floor = "the floor of spec.profile " + string(spec.Profile)
		}
	}
	if first != nil {
		return first
	}
	return contradiction(rule, floor)
}

// contradiction checks minKeep <= keep <= maxKeep, on every date.
func contradiction(rule *retention.Rule, floor string) *problem {
	if !rule.MinKeep.IsZero() && !rule.Keep.Covers(rule.MinKeep) {
		return problemf(v1alpha1.ReasonContradiction, "spec.keep: %s can be shorter than %s, %s.", rule.Keep, floor, rule.MinKeep)
	}
	if !rule.MaxKeep.IsZero() && !rule.MaxKeep.Covers(rule.Keep) {
		return problemf(v1alpha1.ReasonContradiction, "spec.maxKeep: %s can be shorter than spec.keep, %s.", rule.MaxKeep, rule.Keep)
	}
	return nil
}

// parseSchedule reads a schedule in UTC. It names at least one instant to come.
func parseSchedule(text string) (cron.Schedule, *problem) {
	if text == "" {
		text = defaultSchedule
	}
	if strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ=") {
		return nil, problemf(v1alpha1.ReasonInvalidSchedule, "spec.schedule: schedules are in UTC; leave the time zone out.")
	}
	schedule, err := cron.ParseStandard(text)
	if err != nil {
		return nil, problemf(v1alpha1.ReasonInvalidSchedule,
			"spec.schedule: %q is not a schedule; write minute, hour, day of the month, month and day of the week, such as %q: %s.",
			text, defaultSchedule, err)
	}
	if schedule.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, problemf(v1alpha1.ReasonInvalidSchedule, "spec.schedule: %q never comes.", text)
	}
	return schedule, nil
}

// readHold is a LegalHold as its spec reads. With a problem it holds more than it
// says, never less.
type readHold struct {
	hold    retention.Hold
	problem *problem
}

func convertHold(obj *v1alpha1.LegalHold) readHold {
	spec := &obj.Spec
	out := readHold{hold: retention.Hold{
		Name: obj.Name, UID: string(obj.UID), Deleting: !obj.DeletionTimestamp.IsZero(),
		Keep: obj.Annotations[v1alpha1.KeepAnnotation] == keepValue,
		Spec: retention.HoldSpec{
			Kinds: kindsOf(spec.Records), OrgIDs: sorted(spec.OrgIDs), UserIDs: sorted(spec.UserIDs), TargetIDs: sorted(spec.TargetIDs),
			ReleaseDelay: delay(spec.ReleaseDelay.Duration, defaultReleaseDelay),
		},
	}}
	held := &out.hold.Spec
	if spec.From != nil {
		held.From = spec.From.UTC()
	}
	if spec.To != nil {
		held.To = spec.To.UTC()
	}
	if !held.From.IsZero() && !held.To.IsZero() && !held.From.Before(held.To) {
		held.From, held.To = time.Time{}, time.Time{}
		out.problem = problemf(v1alpha1.ReasonInvalidTime, "spec.to: it is not after spec.from, so records of any time are held.")
	}
	if len(held.TargetIDs) > 0 && !slices.Contains(held.Kinds, record.KindAudit) {
		held.TargetIDs = nil
		out.problem = problemf(v1alpha1.ReasonInvalidFilter,
			"spec.targetIDs: an AuthAudit has no target and spec.records has no Audit, so records are held whatever their target is.")
	}
	return out
}

// kindsOf are the kinds that a spec names; all when it names none, or one that we
// don't know: so what it protects is never less than it means.
func kindsOf(names []v1alpha1.RecordKind) []record.Kind {
	if _, found := unknownKind(names); found || len(names) == 0 {
		return record.Kinds()
	}
	var kinds []record.Kind
	for _, kind := range record.Kinds() {
		if slices.Contains(names, v1alpha1.RecordKind(kind)) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// unknownKind is the first of the names that is none of a kind, if there is one.
func unknownKind(names []v1alpha1.RecordKind) (string, bool) {
	for _, name := range names {
		if !slices.Contains(record.Kinds(), record.Kind(name)) {
			return string(name), true
		}
	}
	return "", false
}

func sorted(ids []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}

func delay(given, otherwise time.Duration) time.Duration {
	if given <= 0 {
		return otherwise
	}
	return given
}
