package retention

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

func TestWhenAPolicyRunsAgain(t *testing.T) {
	failure := Report{Policies: map[string]PolicyReport{"p": {Failures: 1}}}
	tests := map[string]struct {
		report   Report
		err      error
		failures int
		want     time.Duration // 0: by its schedule
	}{
		"after a good run":             {report: Report{Finished: true}},
		"after a run that was blocked": {report: Report{Blocked: []string{"why"}}},
		"after the bound of time":      {report: Report{}, want: goOn},
		"after a failed step":          {report: failure, want: firstRetry},
		"after a broken-off run":       {err: errors.New("x"), want: firstRetry},
		"after several failures":       {err: errors.New("x"), failures: 3, want: 8 * firstRetry},
		"after very many failures":     {err: errors.New("x"), failures: 1000, want: maxRetry},
		"when the store says so":       {err: &store.Error{Reason: store.Unavailable, RetryAfter: time.Minute}, want: time.Minute},
		"when the store says too much": {err: &store.Error{Reason: store.Unavailable, RetryAfter: time.Hour}, want: maxRetry},
		"when the lease is free again": {err: &LeaseHeldError{RetryAfter: 42 * time.Second}, want: 42 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			r := newRunner(b.eraser(t), b.clock, logr.Discard(), func() {})
			r.failures = test.failures
			r.reschedule([]string{"p"}, test.report, test.err)
			_, retry, _ := r.state("p")
			want := time.Time{}
			if test.want > 0 {
				want = today.Add(test.want)
			}
			if !retry.Equal(want) {
				t.Errorf("retried at %s, want %s", retry, want)
			}
		})
	}
}

func TestARunnerClearsUpBeforeAnyOrder(t *testing.T) {
	b := newBench(t)
	cleared := make(chan struct{}, 1)
	b.store.watch(func(call string) error {
		if call == "finish" {
			close(cleared)
		}
		return nil
	})
	r := newRunner(b.eraser(t), b.clock, logr.Discard(), func() {})
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- r.Start(ctx) }()
	<-cleared
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestARunnerTakesOneOrderAtATime(t *testing.T) {
	b := newBench(t, policy("default"))
	spread(t, b)
	ended := make(chan struct{}, 1)
	r := newRunner(b.eraser(t), b.clock, logr.Discard(), func() { ended <- struct{}{} })
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- r.Start(ctx) }()
	if r.order(nil) || !r.order([]string{"default"}) || r.order([]string{"default"}) {
		t.Error("an order was taken that should not have been, or the other way round")
	}
	<-ended
	_, _, last := r.state("default")
	if last == nil || !last.clean || len(last.errors) > 0 {
		t.Fatalf("the run came to %+v", last)
	}
	if records, bytes := last.report.Totals(); records != 105 || bytes == 0 {
		t.Errorf("%d records of %d bytes", records, bytes)
	}
	r.told("default", last.ended)
	if _, _, last := r.state("default"); last != nil {
		t.Error("it is told twice")
	}
	r.keep(nil)
	if attempted, _, _ := r.state("default"); !attempted.IsZero() {
		t.Error("a policy that is gone is remembered")
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestNextRun(t *testing.T) {
	created := today.Add(-30 * time.Minute) // 9:30; the schedule is every full hour.
	at := func(hour, minute int) time.Time { return time.Date(2026, 11, 24, hour, minute, 0, 0, time.UTC) }
	tests := map[string]struct {
		modify           func(*v1alpha1.RetentionPolicy)
		attempted, retry time.Time
		want             time.Time
	}{
		"a new one at the next instant":                                      {want: at(10, 0)},
		"one that has run at the next after it":                              {modify: ran(at(11, 20)), want: at(12, 0)},
		"one that was ordered at the next after":                             {modify: ran(at(11, 20)), attempted: at(13, 0), want: at(14, 0)},
		"one that failed earlier":                                            {modify: ran(at(11, 20)), retry: at(11, 21), want: at(11, 21)},
		"one that failed not later than scheduled":                           {modify: ran(at(11, 20)), retry: at(12, 5), want: at(12, 0)},
		"a dry run never":                                                    {modify: func(p *v1alpha1.RetentionPolicy) { p.Spec.Mode = v1alpha1.RetentionDryRun }},
		"one that makes no sense never":                                      {modify: func(p *v1alpha1.RetentionPolicy) { p.Spec.Keep = "x" }},
		"one without a schedule never":                                       {modify: func(p *v1alpha1.RetentionPolicy) { p.Spec.Schedule = "x" }},
		"one that ran in the future, by a clock that went back, from now on": {modify: ran(at(23, 20)), want: at(15, 0)},
		"one that ran in the future after what was ordered since":            {modify: ran(at(23, 20)), attempted: at(8, 30), want: at(9, 0)},
		"one that was ordered in the future from now on":                     {attempted: at(23, 0), want: at(15, 0)},
		"a deleted one never": {modify: func(p *v1alpha1.RetentionPolicy) {
			p.DeletionTimestamp = &metav1.Time{Time: today}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			obj := newPolicy("p", func(p *v1alpha1.RetentionPolicy) {
				p.Spec.Schedule, p.CreationTimestamp = "0 * * * *", metav1.NewTime(created)
			})
			if test.modify != nil {
				test.modify(obj)
			}
			v := &policyView{obj: obj, read: convertPolicy(obj)}
			base, _ := v.scheduledFrom(at(14, 30), test.attempted)
			if got := v.nextRun(base, test.retry); !got.Equal(test.want) {
				t.Errorf("at %s, want %s", got, test.want)
			}
		})
	}
}

func ran(at time.Time) func(*v1alpha1.RetentionPolicy) {
	return func(p *v1alpha1.RetentionPolicy) {
		p.Status.LastRun = &v1alpha1.RetentionRun{StartTime: metav1.NewTime(at)}
	}
}

func TestAChangeThatSettlesAfterARunIsForTheNextOne(t *testing.T) {
	keep := func(text string) retention.Policy {
		return policy("default", func(p *retention.Policy) { p.Rule.Keep, p.Rule.ChangeDelay = age(text), time.Hour })
	}
	b := newBench(t, keep("400d"))
	b.settle(t)
	b.audits(t, 5, "bank", ago(95))
	b.api.change(func(a *fakeAPI) { a.policies = []retention.Policy{keep("30d")} })
	e := b.eraser(t)
	if _, err := e.ledger.observe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		after time.Duration
		left  int
		want  *metav1.Time
	}{
		{after: 59 * time.Minute, left: 5},
		{after: 2 * time.Minute, left: 0, want: instant(today.Add(2*time.Hour+time.Minute).AddDate(0, 0, -30))},
	} {
		b.clock.SetTime(b.clock.Now().Add(test.after))
		last := outcomeOf("default", mustRun(t, e), nil)
		wantLeft(t, b, map[string]int{"bank": test.left})
		b.clock.SetTime(b.clock.Now().Add(time.Minute)) // Status is told later.
		if diff := cmp.Diff(test.want, expiredThrough(&last)); diff != "" {
			t.Errorf("expired through (-want +got):\n%s", diff)
		}
		b.clock.SetTime(b.clock.Now().Add(-time.Minute))
	}
}

func TestExpiredThrough(t *testing.T) {
	tests := map[string]struct {
		modify func(*outcome)
		want   bool
	}{
		"a clean run":            {modify: func(*outcome) {}, want: true},
		"a run that left things": {modify: func(o *outcome) { o.clean = false }},
		"a run while a change was pending": {modify: func(o *outcome) {
			o.state.Settled, o.state.SettledAt = false, today.Add(time.Hour)
		}},
		"a run of a policy that was being deleted": {modify: func(o *outcome) { o.state.Deleting = true }},
		"a run of a policy that was a dry run":     {modify: func(o *outcome) { o.state.Rule.Mode = retention.DryRun }},
		"a run that knew nothing of the policy":    {modify: func(o *outcome) { o.state = retention.PolicyState{} }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			last := outcome{clean: true, plannedAt: today, state: retention.PolicyState{Name: "p", Rule: policy("p").Rule, Settled: true}}
			test.modify(&last)
			got := expiredThrough(&last)
			if (got != nil) != test.want {
				t.Fatalf("got %v", got)
			}
			if got != nil && !got.Time.Equal(today.AddDate(0, 0, -90)) {
				t.Errorf("through %s", got)
			}
		})
	}
}
