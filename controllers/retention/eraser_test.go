package retention

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

func TestARunErasesWhatIsDueAndTellsOfIt(t *testing.T) {
	b := newBench(t, policy("default"), policy("shop", func(p *retention.Policy) {
		p.Rule.OrgIDs, p.Rule.Keep = []string{"shop"}, age("30d")
	}))
	b.audits(t, 25, "shop", ago(200))
	b.audits(t, 25, "shop", ago(40))
	b.audits(t, 25, "shop", ago(20))
	b.audits(t, 25, "bank", ago(95))
	b.audits(t, 25, "bank", ago(40))
	b.settle(t)

	report := mustRun(t, b.eraser(t))

	wantLeft(t, b, map[string]int{"shop": 25, "bank": 25})
	if !report.Finished || len(report.Blocked) > 0 {
		t.Errorf("finished %t, blocked by %v", report.Finished, report.Blocked)
	}
	got := map[string]int64{}
	for name, p := range report.Policies {
		got[name], _ = p.Totals()
	}
	if diff := cmp.Diff(map[string]int64{"default": 25, "shop": 50}, got); diff != "" {
		t.Errorf("erased by policy (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		`Success default ` + username + ` erased 25 Audit records by the retention policy "default"`,
		`Success shop ` + username + ` erased 50 Audit records by the retention policy "shop"`,
	}, describeTrail(b.trail(t))); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
	if b.lease.released != 1 {
		t.Errorf("the lease was released %d times", b.lease.released)
	}
	again := mustRun(t, b.eraser(t))
	if len(again.Policies) != 0 || len(b.trail(t)) != 2 {
		t.Errorf("a run with nothing to do did something: %+v", again)
	}
}

func TestTheRecordOfARunSaysWhoDidWhat(t *testing.T) {
	b := newBench(t, policy("default"))
	b.audits(t, 3, "shop", ago(100))
	b.settle(t)
	mustRun(t, b.eraser(t))
	got := b.trail(t)[0]
	var details struct{ Retention runDetails }
	if err := json.Unmarshal(got.Details, &details); err != nil {
		t.Fatal(err)
	}
	if got.ID.IsZero() || got.Time != record.At(b.clock.Now()) {
		t.Errorf("id %s, time %s", got.ID, got.Time)
	}
	if run := details.Retention; run.Run == "" || !run.Finished || run.AtLeast || run.Erased[record.KindAudit].Records != 3 {
		t.Errorf("details %+v", run)
	}
	got.ID, got.Time, got.IngestTime, got.Details = record.ID{}, 0, 0, nil
	want := &record.Audit{
		Common: record.Common{
			SourceType: "AuditQuery", Cluster: "main", OrgID: "_cluster", UserID: username, ActorType: record.ActorServiceAccount,
		},
		Action: "erase", Outcome: "Success", APIName: "auditquery.dev", TargetResourceType: "retentionpolicies",
		TargetResourceName: "default", TargetResourceOrgID: "_cluster", TargetID: "uid-default",
		Description: username + ` erased 3 Audit records by the retention policy "default"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARunOfSomePoliciesLeavesTheOthersSteps(t *testing.T) {
	b := newBench(t, policy("default"), policy("shop", func(p *retention.Policy) { p.Rule.OrgIDs = []string{"shop"} }))
	b.audits(t, 5, "shop", ago(95))
	b.audits(t, 5, "bank", ago(95))
	b.audits(t, 5, "bank", ago(2))
	b.settle(t)
	mustRun(t, b.eraser(t), "shop")
	wantLeft(t, b, map[string]int{"shop": 0, "bank": 10})
}

func TestAStretchOfSeveralPoliciesGoesWithTheRunOfAny(t *testing.T) {
	for _, name := range []string{"default", "shop"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, policy("default"), policy("shop", func(p *retention.Policy) {
				p.Rule.OrgIDs, p.Rule.Keep = []string{"shop"}, age("30d")
			}), policy("else", func(p *retention.Policy) { p.Rule.OrgIDs = []string{"else"} }))
			b.audits(t, 5, "shop", ago(200))
			b.audits(t, 5, "bank", ago(200))
			b.settle(t)
			mustRun(t, b.eraser(t), "else")
			wantLeft(t, b, map[string]int{"shop": 5, "bank": 5})
			mustRun(t, b.eraser(t), name)
			wantLeft(t, b, map[string]int{"shop": 0, "bank": 0})
			if diff := cmp.Diff([]string{
				`Success default ` + username + ` erased 10 Audit records by the retention policy "default"`,
			}, describeTrail(b.trail(t))); diff != "" {
				t.Errorf("the trail (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAStretchThatFailsIsNoCleanRunOfAnyOfItsPolicies(t *testing.T) {
	policies := []string{"default", "shop"}
	for name, only := range map[string][]string{"all": nil, "both": policies, "one": {"shop"}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, policy("default"), policy("shop", func(p *retention.Policy) { p.Rule.OrgIDs = []string{"shop"} }))
			b.audits(t, 5, "shop", ago(200))
			b.audits(t, 5, "bank", ago(200))
			b.settle(t)
			b.store.watch(failAt("stretch", 1, &store.Error{Reason: store.Conflict, Op: "erase", Message: "it is not ours"}))
			report := mustRun(t, b.eraser(t), only...)
			for _, name := range policies {
				want := 1
				if len(only) == 1 && name != only[0] {
					want = 0
				}
				if got := report.Policies[name].Failures; got != want {
					t.Errorf("%d failures of %s, want %d", got, name, want)
				}
			}
			if outcomeOf("shop", report, nil).clean {
				t.Error("a run that left records of shop is clean")
			}
		})
	}
}

func TestAHoldThatArrivesDuringARunIsHonoured(t *testing.T) {
	b := newBench(t, policy("default"))
	b.audits(t, 45, "shop", ago(95))
	b.audits(t, 1, "shop", ago(1))
	b.settle(t)
	b.store.watch(func(call string) error {
		if call == "batch" && b.store.made("batch") == 2 {
			b.api.change(func(a *fakeAPI) { a.holds = []retention.Hold{hold("case")} })
		}
		return nil
	})
	report := mustRun(t, b.eraser(t))
	wantLeft(t, b, map[string]int{"shop": 26})
	if !report.Finished {
		t.Error("what is held is not what is left to do")
	}
	// It is remembered by now, so that it is missed when it vanishes.
	b.api.change(func(a *fakeAPI) { a.holds = nil })
	if report := mustRun(t, b.eraser(t)); len(report.Blocked) != 1 || !strings.Contains(report.Blocked[0], "case") {
		t.Errorf("blocked by %v", report.Blocked)
	}
	wantLeft(t, b, map[string]int{"shop": 26})
}

func TestANarrowHoldLetsTheRestGo(t *testing.T) {
	b := newBench(t, policy("default"))
	b.audits(t, 30, "shop", ago(95))
	b.audits(t, 15, "shop", ago(96), func(a *record.Audit) { a.UserID = "mallory" })
	b.api.holds = []retention.Hold{hold("case", func(h *retention.HoldSpec) { h.UserIDs = []string{"mallory"} })}
	b.settle(t)
	mustRun(t, b.eraser(t))
	wantLeft(t, b, map[string]int{"shop": 15})
	if got := len(b.stored(t, query.Equal{Field: "user_id", Value: "mallory"})); got != 15 {
		t.Errorf("%d held records are left", got)
	}
}

func TestNothingIsErased(t *testing.T) {
	tests := map[string]struct {
		prepare   func(*testing.T, *bench)
		wantErr   error
		wantBlock bool
	}{
		"while a hold is missing": {prepare: func(t *testing.T, b *bench) {
			b.api.change(func(a *fakeAPI) {
				a.holds = []retention.Hold{hold("case", func(h *retention.HoldSpec) { h.OrgIDs = []string{"else"} })}
			})
			b.settle(t)
			b.api.change(func(a *fakeAPI) { a.holds = nil })
		}, wantBlock: true},
		"while the kind of holds is not served": {prepare: func(_ *testing.T, b *bench) { b.api.err = ErrNotServed }, wantBlock: true},
		"while holds cannot be read":            {prepare: func(_ *testing.T, b *bench) { b.api.err = context.DeadlineExceeded }, wantErr: context.DeadlineExceeded},
		"before a change has settled": {prepare: func(t *testing.T, b *bench) {
			keep := func(text string) func(*retention.Policy) {
				return func(p *retention.Policy) { p.Rule.Keep, p.Rule.ChangeDelay = age(text), 48*time.Hour }
			}
			b.api.change(func(a *fakeAPI) { a.policies = []retention.Policy{policy("default", keep("400d"))} })
			b.settle(t)
			b.api.change(func(a *fakeAPI) { a.policies = []retention.Policy{policy("default", keep("90d"))} })
		}},
		"while the lease is another's": {
			prepare: func(_ *testing.T, b *bench) { b.lease.acquireErr = ErrLeaseLost }, wantErr: ErrLeaseLost,
		},
		"once the lease is lost": {prepare: func(_ *testing.T, b *bench) {
			b.lease.lasts, b.lease.renewErr = retention.BatchTimeout-time.Second, ErrLeaseLost
		}, wantErr: ErrLeaseLost},
		"while the journal cannot be written": {prepare: func(_ *testing.T, b *bench) {
			b.store.watch(func(call string) error {
				if call == "write retention-run" {
					return unavailable()
				}
				return nil
			})
		}, wantErr: errors.ErrUnsupported},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, policy("default"))
			b.audits(t, 5, "shop", ago(200))
			b.audits(t, 5, "shop", ago(95))
			b.audits(t, 5, "shop", ago(1))
			b.settle(t)
			test.prepare(t, b)
			report, err := b.eraser(t).Run(t.Context())
			wantLeft(t, b, map[string]int{"shop": 15})
			if (err != nil) != (test.wantErr != nil) || (len(report.Blocked) > 0) != test.wantBlock {
				t.Errorf("error %v, blocked by %v", err, report.Blocked)
			}
			if test.wantErr != nil && !errors.Is(err, test.wantErr) && !store.IsUnavailable(err) {
				t.Errorf("error %v, want %v", err, test.wantErr)
			}
		})
	}
}

func TestALeaseThatIsLostEndsTheRun(t *testing.T) {
	b := newBench(t, policy("default"))
	b.audits(t, 45, "shop", ago(95))
	b.audits(t, 1, "shop", ago(1))
	b.settle(t)
	b.lease.lasts = retention.BatchTimeout - time.Second // So it is renewed before each batch.
	b.store.watch(func(call string) error {
		if call == "batch" && b.store.made("batch") == 2 {
			b.lease.mu.Lock()
			b.lease.renewErr = ErrLeaseLost
			b.lease.mu.Unlock()
		}
		return nil
	})
	report, err := b.eraser(t).Run(t.Context())
	if !errors.Is(err, ErrLeaseLost) || report.Finished {
		t.Errorf("error %v, finished %t", err, report.Finished)
	}
	wantLeft(t, b, map[string]int{"shop": 26})
	if got := report.Policies["default"]; got.Failures != 1 || len(got.Errors) != 1 {
		t.Errorf("the report has %+v", got)
	}
}

func TestAProcessThatWasStoppedDoesNotErase(t *testing.T) {
	b := newBench(t, policy("default"))
	b.audits(t, 5, "shop", ago(95))
	b.audits(t, 1, "shop", ago(1))
	b.settle(t)
	b.lease.lasts = 50 * time.Millisecond
	late := func(ctx context.Context) ([]retention.Hold, error) {
		// The lease is renewed by now. Time goes on, as while a process is stopped.
		if b.lease.renewed > 0 {
			<-time.After(2 * b.lease.lasts)
		}
		return b.api.readHolds(ctx)
	}
	_, err := b.eraser(t, func(o *EraserOptions) { o.Holds = late }).Run(t.Context())
	if !errors.Is(err, errLate) {
		t.Errorf("error %v", err)
	}
	if n := b.store.made("batch"); n != 0 {
		t.Errorf("%d batches were begun", n)
	}
	wantLeft(t, b, map[string]int{"shop": 6})
}

func TestCallsThatEraseEndBeforeAHoldIsActiveAndBeforeTheLease(t *testing.T) {
	for name, lasts := range map[string]time.Duration{"a long lease": time.Hour, "a short lease": retention.BatchTimeout / 2} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, policy("default"))
			b.audits(t, 25, "shop", ago(200))
			b.audits(t, 25, "shop", ago(95))
			b.audits(t, 1, "shop", ago(1))
			b.settle(t)
			b.lease.lasts = lasts
			b.store.watch(nil)
			mustRun(t, b.eraser(t))
			for _, call := range []string{"stretch", "batch"} {
				if got, limit := b.store.lasted[call], min(lasts, retention.BatchTimeout); got == 0 || got > limit {
					t.Errorf("a %s had %s, want at most %s", call, got, limit)
				}
			}
		})
	}
}

func TestABatchIsTimedFromBeforeTheHoldsWereRead(t *testing.T) {
	b := newBench(t, policy("default"))
	b.audits(t, 5, "shop", ago(95))
	b.audits(t, 1, "shop", ago(1))
	b.settle(t)
	b.store.watch(nil)
	const reading = 100 * time.Millisecond
	slow := func(ctx context.Context) ([]retention.Hold, error) {
		<-time.After(reading)
		return b.api.readHolds(ctx)
	}
	mustRun(t, b.eraser(t, func(o *EraserOptions) { o.Holds = slow }))
	if got, limit := b.store.lasted["batch"], retention.BatchTimeout-reading; got == 0 || got > limit {
		t.Errorf("a batch had %s, want at most %s", got, limit)
	}
}
