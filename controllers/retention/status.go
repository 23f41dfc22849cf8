package retention

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/retention"
)

// maxOrgBytes is how much of an org id an entry shows.
const maxOrgBytes = 512

// tell writes what the pass came to into every status. One that cannot be written
// does not keep the others from being.
func (r *reconciler) tell(ctx context.Context, p *pass) error {
	var failures []error
	for _, v := range p.policies {
		failures = append(failures, r.tellPolicy(ctx, v, composePolicy(v, p)))
	}
	for _, v := range p.holds {
		failures = append(failures, r.tellHold(ctx, v, composeHold(v, p)))
	}
	return errors.Join(failures...)
}

// composePolicy is the status that follows from a pass.
func composePolicy(v *policyView, p *pass) v1alpha1.RetentionPolicyStatus {
	status := *v.obj.Status.DeepCopy()
	status.ObservedGeneration = v.obj.Generation
	c := composer{conditions: &status.Conditions, generation: v.obj.Generation, now: p.now}
	c.policyConditions(v, p)
	status.Effective = effective(v, p.now)
	if p.planned != nil {
		status.Plan = p.planned.policies[v.obj.Name]
	}
	if v.last != nil {
		status.LastRun = lastRun(v.last)
		if through := expiredThrough(v.last); through != nil {
			status.ExpiredThrough = through
		}
	}
	status.NextRunTime = nil
	if !v.next.IsZero() {
		next := seconds(v.next)
		status.NextRunTime = &next
	}
	if v.read.problem != nil {
		status.Plan = nil
	}
	return status
}

// effective is what a spec came to. Since is when it first did.
func effective(v *policyView, now time.Time) *v1alpha1.RetentionEffective {
	if v.read.problem != nil {
		return nil
	}
	if v.state == nil {
		return v.obj.Status.Effective
	}
	rule, since := v.state.Rule, seconds(now)
	out := &v1alpha1.RetentionEffective{
		Keep: rule.Keep.String(), MinKeep: rule.MinKeep.String(), MaxKeep: rule.MaxKeep.String(),
		Mode: v1alpha1.RetentionMode(rule.Mode), Since: &since,
	}
	if !v.state.Settled {
		until := seconds(v.state.SettledAt)
		out.ProtectedUntil = &until
	}
	if was := v.obj.Status.Effective; was != nil && was.Since != nil {
		same := *out
		same.Since, same.ProtectedUntil = was.Since, was.ProtectedUntil
		if equality.Semantic.DeepEqual(same, *was) {
			out.Since = was.Since
		}
	}
	return out
}

func lastRun(last *outcome) *v1alpha1.RetentionRun {
	records, bytes := last.report.Totals()
	ended := seconds(last.ended)
	run := &v1alpha1.RetentionRun{StartTime: seconds(last.started), CompletionTime: &ended, Records: records, Bytes: bytes}
	for _, text := range last.errors[:min(len(last.errors), v1alpha1.MaxRetentionRunErrors)] {
		run.Errors = append(run.Errors, shorten(text))
	}
	return run
}

// expiredThrough is the instant before which a run has left nothing behind; nil when
// that run did not come so far, or former rules were protecting still when it planned.
// What has settled since then is for the next run.
func expiredThrough(last *outcome) *metav1.Time {
	state := &last.state
	if !last.clean || !state.Settled || state.Deleting || state.Rule.Mode != retention.Enforce || state.Rule.Invalid {
		return nil
	}
	through := seconds(state.Rule.Keep.Before(last.plannedAt))
	return &through
}

// composeHold is the status that follows from a pass.
func composeHold(v *holdView, p *pass) v1alpha1.LegalHoldStatus {
	status := *v.obj.Status.DeepCopy()
	status.ObservedGeneration = v.obj.Generation
	c := composer{conditions: &status.Conditions, generation: v.obj.Generation, now: p.now}
	c.holdConditions(v, p)
	if v.state == nil {
		return status
	}
	status.Phase = v1alpha1.HoldPhase(v.state.Phase)
	if v.state.Phase == retention.Missing {
		status.Phase = v1alpha1.HoldActive // It is here now, and the next look finds it.
	}
	status.ActiveTime = instant(v.state.ActiveAt)
	status.ReleaseTime = instant(v.state.ReleaseAt)
	if status.ReleaseTime == nil {
		status.ReleaseTime = instant(v.state.FormerUntil)
	}
	if p.planned != nil {
		if count, ok := p.planned.held[v.obj.Name]; ok {
			status.Records = v1alpha1.NewMatchCount(count.Records, count.Exact)
		}
	}
	return status
}

// tellPolicy and tellHold are the only places that write status. A write is refused
// when the object has changed since it was read; the change then wakes us again.
func (r *reconciler) tellPolicy(ctx context.Context, v *policyView, next v1alpha1.RetentionPolicyStatus) error {
	if !equality.Semantic.DeepEqual(v.obj.Status, next) {
		before := v.obj.DeepCopy()
		v.obj.Status = next
		if err := r.patchStatus(ctx, v.obj, before); err != nil {
			return err
		}
		r.announce(v.obj, before.Status.Conditions, next.Conditions)
		r.announceRun(v, before.Status.LastRun)
	}
	if v.last != nil {
		r.runs.told(v.obj.Name, v.last.ended)
	}
	return nil
}

func (r *reconciler) tellHold(ctx context.Context, v *holdView, next v1alpha1.LegalHoldStatus) error {
	if equality.Semantic.DeepEqual(v.obj.Status, next) {
		return nil
	}
	before := v.obj.DeepCopy()
	v.obj.Status = next
	if err := r.patchStatus(ctx, v.obj, before); err != nil {
		return err
	}
	r.announce(v.obj, before.Status.Conditions, next.Conditions)
	return nil
}

func (r *reconciler) patchStatus(ctx context.Context, obj, before client.Object) error {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err := client.IgnoreNotFound(r.client.Status().Patch(ctx, obj, patch, client.FieldOwner(FieldOwner)))
	if err != nil {
		return fmt.Errorf("write the status of %s: %w", obj.GetName(), err)
	}
	return nil
}

// seconds is an instant as status keeps it.
func seconds(t time.Time) metav1.Time { return metav1.NewTime(t.UTC().Truncate(time.Second)) }

// micros is an instant of a record.
func micros(t time.Time) *metav1.MicroTime {
	at := metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
	return &at
}

// instant is nil for no time.
func instant(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	at := seconds(t)
	return &at
}

// shortOrg cuts an org id on a rune boundary.
func shortOrg(org string) string {
	if len(org) <= maxOrgBytes {
		return org
	}
	const ellipsis = "…"
	end := maxOrgBytes - len(ellipsis)
	for end > 0 && !utf8.RuneStart(org[end]) {
		end--
	}
	return org[:end] + ellipsis
}
