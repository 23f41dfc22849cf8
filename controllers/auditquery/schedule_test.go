package auditquery

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestNextRun(t *testing.T) {
	tests := map[string]struct {
		interval       time.Duration
		started        time.Time
		wantMin, wantM time.Duration
	}{
		"right after creation":         {interval: time.Minute, started: epoch, wantMin: 30 * time.Second, wantM: 90 * time.Second},
		"long after creation":          {interval: time.Minute, started: epoch.Add(time.Hour), wantMin: 30 * time.Second, wantM: 90 * time.Second},
		"a daily query stays daily":    {interval: 24 * time.Hour, started: epoch, wantMin: 24 * time.Hour, wantM: 24*time.Hour + 5*time.Minute},
		"a clock before the creation":  {interval: time.Minute, started: epoch.Add(-time.Minute), wantMin: time.Minute, wantM: 2 * time.Minute},
		"a daily query, edited midway": {interval: 24 * time.Hour, started: epoch.Add(12 * time.Hour), wantMin: 12 * time.Hour, wantM: 12*time.Hour + 5*time.Minute},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for n := range 100 {
				uid := types.UID(fmt.Sprint("uid-", n))
				next := nextRun(uid, epoch, tc.interval, tc.started)
				if gap := next.Sub(tc.started); gap < tc.wantMin || gap > tc.wantM {
					t.Fatalf("the next run is %s away, want %s to %s", gap, tc.wantMin, tc.wantM)
				}
				for range 3 {
					after := nextRun(uid, epoch, tc.interval, next.Add(time.Second))
					if after.Sub(next) != tc.interval {
						t.Fatalf("then the gap is %s", after.Sub(next))
					}
					next = after
				}
				if late := nextRun(uid, epoch, tc.interval, next.Add(3*tc.interval)); late.Sub(next) != 4*tc.interval && late.Sub(next) != 3*tc.interval+tc.interval {
					t.Fatalf("a late run is followed after %s", late.Sub(next))
				}
			}
		})
	}
}

// A thousand queries that are applied at once fall evenly over their interval.
func TestRunsSpreadEvenly(t *testing.T) {
	perSecond := map[int64]int{}
	for n := range 1000 {
		at := nextRun(types.UID(fmt.Sprintf("7d0f-%d", n)), epoch, time.Minute, epoch)
		perSecond[at.Unix()%60]++
	}
	for second, runs := range perSecond {
		if runs > 40 {
			t.Errorf("%d of 1000 runs fall into second %d", runs, second)
		}
	}
}

func TestAfterRestart(t *testing.T) {
	in := func(d time.Duration) *time.Time {
		at := epoch.Add(d)
		return &at
	}
	tests := map[string]struct {
		interval         time.Duration
		next             *time.Time
		wantMin, wantMax time.Duration
	}{
		"a planned run stays planned":         {interval: time.Hour, next: in(20 * time.Minute), wantMin: 20 * time.Minute, wantMax: 20 * time.Minute},
		"an overdue run is made up for soon":  {interval: time.Hour, next: in(-time.Minute), wantMax: time.Minute},
		"an unknown run is made up for soon":  {interval: 10 * time.Second, wantMax: 10 * time.Second},
		"a plan that cannot be is not obeyed": {interval: time.Minute, next: in(1000 * time.Hour), wantMax: time.Minute},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := afterRestart("uid", tc.interval, tc.next, epoch).Sub(epoch)
			if got < tc.wantMin || got > tc.wantMax {
				t.Errorf("due in %s, want %s to %s", got, tc.wantMin, tc.wantMax)
			}
		})
	}
}

func TestPause(t *testing.T) {
	tests := map[string]struct {
		failures         int
		floor            time.Duration
		wantMin, wantMax time.Duration
	}{
		"the first is short":              {failures: 1, wantMin: 500 * time.Millisecond, wantMax: time.Second},
		"it doubles":                      {failures: 4, wantMin: 4 * time.Second, wantMax: 8 * time.Second},
		"it is bounded":                   {failures: 1000, wantMin: 30 * time.Second, wantMax: time.Minute},
		"the store's wish is a floor":     {failures: 1, floor: 20 * time.Second, wantMin: 20 * time.Second, wantMax: 25 * time.Second},
		"the store's wish has its bounds": {failures: 1, floor: 24 * time.Hour, wantMin: 5 * time.Minute, wantMax: 7 * time.Minute},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := pause("uid", tc.failures, tc.floor); got < tc.wantMin || got > tc.wantMax {
				t.Errorf("pause %s, want %s to %s", got, tc.wantMin, tc.wantMax)
			}
		})
	}
}
