package retention

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

// spread stores 25 records each of whole stretches, and 30 of one that is due in
// part.
func spread(t *testing.T, b *bench) {
	t.Helper()
	for _, days := range []int{400, 300, 200} {
		b.audits(t, 25, "shop", ago(days))
	}
	b.audits(t, 30, "shop", ago(95))
	b.audits(t, 5, "shop", ago(1))
	b.settle(t)
}

func TestAStepThatFailsLeavesTheOthersBeTaken(t *testing.T) {
	b := newBench(t, policy("default"))
	spread(t, b)
	b.store.watch(failAt("stretch", 2, &store.Error{Reason: store.Conflict, Op: "erase", Message: "it is not ours"}))
	report := mustRun(t, b.eraser(t))
	wantLeft(t, b, map[string]int{"shop": 30})
	got := report.Policies["default"]
	if got.Failures != 1 || len(got.Errors) != 1 || !strings.HasSuffix(got.Errors[0], "the store: it is not ours") {
		t.Errorf("the report has %+v", got)
	}
	if diff := cmp.Diff([]string{
		`Failure default ` + username + ` erased at least 80 Audit records by the retention policy "default"; ` +
			`more may have been erased; 1 steps failed`,
	}, describeTrail(b.trail(t))); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
	mustRun(t, b.eraser(t))
	wantLeft(t, b, map[string]int{"shop": 5})
}

func TestAStoreThatIsDownEndsTheRun(t *testing.T) {
	for _, call := range []string{"stretch", "batch"} {
		t.Run(call, func(t *testing.T) {
			b := newBench(t, policy("default"))
			spread(t, b)
			b.store.watch(failAt(call, 2, unavailable()))
			report, err := b.eraser(t).Run(t.Context())
			if !store.IsUnavailable(err) || report.Finished || report.Policies["default"].Failures != 1 {
				t.Errorf("error %v, report %+v", err, report)
			}
			if b.store.made("reclaim") != 0 {
				t.Error("space was given back")
			}
			if b.lease.released != 0 {
				t.Error("the lease was released although the store may be at work still")
			}
			b.store.watch(nil)
			mustRun(t, b.eraser(t))
			wantLeft(t, b, map[string]int{"shop": 5})
		})
	}
}

func TestABatchThatTakesTooLongIsTriedAgain(t *testing.T) {
	b := newBench(t, policy("default"))
	spread(t, b)
	b.store.watch(failAt("batch", 2, &store.Error{Reason: store.Timeout, Op: "erase", Message: "no answer in 30s"}))
	report := mustRun(t, b.eraser(t))
	wantLeft(t, b, map[string]int{"shop": 5})
	if report.Policies["default"].Failures != 0 {
		t.Errorf("the report has %+v", report.Policies["default"])
	}
	if got := b.store.limits; len(got) < 3 || got[1] != 10 || got[2] != 5 || b.store.made("open") != 2 {
		t.Errorf("batches of %v in %d erasures", got, b.store.made("open"))
	}
	slow := &store.Error{Reason: store.Timeout, Op: "erase", Message: "no answer in 30s"}
	b.audits(t, 5, "shop", ago(95))
	b.store.watch(func(call string) error {
		if call == "batch" {
			return slow
		}
		return nil
	})
	report = mustRun(t, b.eraser(t))
	if n := b.store.made("batch"); n != maxBatchTries || report.Policies["default"].Failures != 1 {
		t.Errorf("%d tries, report %+v", n, report.Policies["default"])
	}
}

func TestWhatSurvivesInAStretchMakesItGoInBatches(t *testing.T) {
	b := newBench(t, policy("default"))
	spread(t, b)
	b.store.watch(failAt("stretch", 1, store.ErrSurvivors))
	report := mustRun(t, b.eraser(t))
	wantLeft(t, b, map[string]int{"shop": 5})
	if got := report.Policies["default"]; got.Failures != 0 || got.Erased[record.KindAudit].Records != 105 {
		t.Errorf("the report has %+v", got)
	}
}

func TestARunEndsInTimeAndGoesOnLater(t *testing.T) {
	b := newBench(t, policy("default"))
	spread(t, b)
	const bound = 200 * time.Millisecond
	b.store.watch(func(call string) error {
		if call == "batch" {
			<-time.After(bound)
		}
		return nil
	})
	report := mustRun(t, b.eraser(t, func(o *EraserOptions) { o.MaxRun = bound }))
	if report.Finished || b.store.made("batch") > 1 || b.store.made("reclaim") != 0 {
		t.Errorf("finished %t after %d batches", report.Finished, b.store.made("batch"))
	}
	if b.left(t, "shop") == 5 {
		t.Error("everything is gone")
	}
	b.store.watch(nil)
	if report := mustRun(t, b.eraser(t)); !report.Finished {
		t.Error("the next run did not finish")
	}
	wantLeft(t, b, map[string]int{"shop": 5})
}

// errCrash is what every call of a store says to a process that is gone.
var errCrash = &store.Error{Reason: store.Unavailable, Op: "anything", Message: "the process has died"}

func TestACrashAtAnyPointIsMadeGood(t *testing.T) {
	for point := 1; ; point++ {
		ended := false
		t.Run(fmt.Sprintf("after call %d", point), func(t *testing.T) {
			b := newBench(t, policy("default"))
			spread(t, b)
			calls := 0
			b.store.watch(func(string) error {
				if calls++; calls > point {
					return errCrash
				}
				return nil
			})
			first, err := b.eraser(t).Run(t.Context())
			ended = err == nil
			b.store.watch(nil)
			second := mustRun(t, b.eraser(t))
			wantLeft(t, b, map[string]int{"shop": 5})
			erased, _ := first.Policies["default"].Totals()
			more, _ := second.Policies["default"].Totals()
			if erased+more != 105 {
				t.Errorf("%d and %d records were erased, want 105", erased, more)
			}
			checkTrail(t, b, erased, more)
		})
		if ended || point > 200 {
			break
		}
	}
}

// checkTrail wants a record of each run that erased something.
func checkTrail(t *testing.T, b *bench, erased ...int64) {
	t.Helper()
	want := 0
	for _, n := range erased {
		if n > 0 {
			want++
		}
	}
	if got := describeTrail(b.trail(t)); len(got) < want {
		t.Errorf("%v were erased, and the trail has %v", erased, got)
	}
}

func TestARecordThatCannotBeWrittenIsWrittenByTheNextRun(t *testing.T) {
	b := newBench(t, policy("default"))
	spread(t, b)
	b.store.watch(func(call string) error {
		if call == "append" {
			return unavailable()
		}
		return nil
	})
	if _, err := b.eraser(t).Run(t.Context()); !store.IsUnavailable(err) {
		t.Errorf("error %v", err)
	}
	if n := b.store.made("append"); n != maxTellTries {
		t.Errorf("%d tries", n)
	}
	wantLeft(t, b, map[string]int{"shop": 5})
	if len(b.trail(t)) != 0 {
		t.Fatal("the record was written after all")
	}
	b.store.watch(nil)
	mustRun(t, b.eraser(t))
	if diff := cmp.Diff([]string{
		`Success default ` + username + ` erased 105 Audit records by the retention policy "default"`,
	}, describeTrail(b.trail(t))); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
}

func TestARunThatIsToldToEndTellsOfItself(t *testing.T) {
	b := newBench(t, policy("default"))
	spread(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.store.watch(func(call string) error {
		if call == "batch" && b.store.made("batch") == 2 {
			cancel()
			return context.Canceled
		}
		return nil
	})
	if _, err := b.eraser(t).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := describeTrail(b.trail(t)); len(got) != 1 || !strings.Contains(got[0], "erased at least 85 Audit records") {
		t.Errorf("the trail has %v", got)
	}
	wantLeft(t, b, map[string]int{"shop": 25})
}

func TestSpaceIsGivenBackAfterTheRunHasToldOfItself(t *testing.T) {
	b := newBench(t, policy("default"))
	spread(t, b)
	told := 0
	b.store.watch(func(call string) error {
		if call == "reclaim" {
			told = len(b.trail(t))
			return unavailable()
		}
		return nil
	})
	report, err := b.eraser(t).Run(t.Context())
	if !store.IsUnavailable(err) || !report.Finished || told != 1 {
		t.Errorf("error %v, finished %t, %d records told of it before", err, report.Finished, told)
	}
}

func TestAChangedPolicyCountsFromTheNextBatch(t *testing.T) {
	b := newBench(t, policy("default"))
	spread(t, b)
	b.store.watch(func(call string) error {
		if call == "batch" && b.store.made("batch") == 1 {
			b.api.change(func(a *fakeAPI) {
				a.policies = []retention.Policy{policy("default", func(p *retention.Policy) { p.Rule.Keep = age("1y") })}
			})
		}
		return nil
	})
	mustRun(t, b.eraser(t))
	wantLeft(t, b, map[string]int{"shop": 25})
}
