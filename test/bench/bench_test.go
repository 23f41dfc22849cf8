package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
)

func TestFigureKeepsItsBound(t *testing.T) {
	for name, tc := range map[string]struct {
		figure    figure
		wantOK    bool
		wantShown string
		wantLimit string
	}{
		"a cost below its bound":          {figure{Value: 1.2, Bound: 1.3}, true, "1.20", "≤ 1.30"},
		"a cost at its bound":             {figure{Value: 1.3, Bound: 1.3}, true, "1.30", "≤ 1.30"},
		"a cost above its bound":          {figure{Value: 1.31, Bound: 1.3}, false, "1.31", "≤ 1.30"},
		"a cost that rounds to its bound": {figure{Value: 1.301, Bound: 1.3}, false, "1.301", "≤ 1.30"},
		"a rate above its bound":          {figure{Value: 0.95, Bound: 0.9, AtLeast: true}, true, "0.95", "≥ 0.90"},
		"a rate below its bound":          {figure{Value: 0.899, Bound: 0.9, AtLeast: true}, false, "0.899", "≥ 0.90"},
		"a figure with a unit":            {figure{Value: 0.291, Bound: 2, Unit: "s"}, true, "0.29 s", "≤ 2.00 s"},
		"a share above its bound":         {figure{Value: 0.9975, Bound: 0.99, AtLeast: true, Share: true}, true, "99.75 %", "≥ 99.00 %"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.figure.OK(); got != tc.wantOK {
				t.Errorf("OK() = %v, want %v", got, tc.wantOK)
			}
			if got := tc.figure.Measured(); got != tc.wantShown {
				t.Errorf("Measured() = %q, want %q", got, tc.wantShown)
			}
			if got := tc.figure.Limit(); got != tc.wantLimit {
				t.Errorf("Limit() = %q, want %q", got, tc.wantLimit)
			}
		})
	}
}

func TestPercentileLeavesItsInputAlone(t *testing.T) {
	times := []time.Duration{5, 1, 4, 2, 3}
	if got := percentile(times, 50); got != 3 {
		t.Errorf("the median is %d, want 3", got)
	}
	if diff := cmp.Diff([]time.Duration{5, 1, 4, 2, 3}, times); diff != "" {
		t.Errorf("percentile sorted its input (-want +got):\n%s", diff)
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("the median of nothing is %d, want 0", got)
	}
}

func TestGeneratorMakesTheSameRealisticRecordsEachTime(t *testing.T) {
	const count = 3000
	first, again := newGenerator(count, 0).batch(count), newGenerator(count, 0).batch(count+1)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Fatalf("a second generator made others (-first +second):\n%s", diff)
	}
	rare, last := 0, record.Timestamp(0)
	seen := map[record.ID]bool{}
	for _, r := range first {
		base := r.Base()
		if base.UserID == breakGlass {
			rare++
		}
		if base.Time < last || base.Time.Time().Before(monthStart()) || !base.Time.Time().Before(monthEnd()) {
			t.Fatalf("the record at %s comes after one at %s, or is outside of the month", base.Time, last)
		}
		last = base.Time
		if seen[base.ID] {
			t.Fatalf("the id %s occurs twice", base.ID)
		}
		seen[base.ID] = true
	}
	if rare != rareRecords {
		t.Errorf("%d records have the rare user, want %d", rare, rareRecords)
	}
	mean, err := meanBytes()
	if err != nil {
		t.Fatal(err)
	}
	if mean < 800 || mean > 900 {
		t.Errorf("a record has %d bytes on average, want about 850", mean)
	}
}

func TestParseRefusesWhatItCannotMeasure(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"an unknown part":    {[]string{"-only=sqlite,postgres"}, "the parts are"},
		"too few records":    {[]string{"-records=10"}, "at least 20000"},
		"an argument":        {[]string{"sqlite"}, "is not expected"},
		"too few iterations": {[]string{"-iterations=1"}, "at least 20"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tc.args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("parse(%q) = %v, want an error with %q", tc.args, err, tc.want)
			}
		})
	}
}

func TestSamplesAreAddedByNameAndLabels(t *testing.T) {
	s := samples{
		`runs_total{kind="AuditQuery",result="succeeded"}`: 3,
		`runs_total{kind="AuditQuery",result="failed"}`:    1,
		`runs_total_other{result="succeeded"}`:             10,
		`plain`:                                            7,
	}
	for name, tc := range map[string]struct {
		got, want float64
	}{
		"all of a name":            {s.sum("runs_total"), 4},
		"those with a label":       {s.sum("runs_total", `result="succeeded"`), 3},
		"a name without labels":    {s.sum("plain"), 7},
		"a name that nothing has":  {s.sum("absent"), 0},
		"a label that nothing has": {s.sum("runs_total", `result="stalled"`), 0},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("the sum is %v, want %v", tc.got, tc.want)
			}
		})
	}
}
