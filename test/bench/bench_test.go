package main

import (
	"bytes"
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

func TestEventsAreThoseOfAKubeAPIServerAndGiveOneRecordEach(t *testing.T) {
	const count = 400
	month := time.Date(2020, 3, 1, 0, 0, 0, 0, time.UTC)
	body := newEventGenerator(month, 7).list(count)
	if diff := cmp.Diff(string(body), string(newEventGenerator(month, 7).list(count))); diff != "" {
		t.Fatalf("a second generator made others (-first +second):\n%s", diff)
	}
	if mean := len(body) / count; mean < 1000 || mean > 1300 {
		t.Errorf("an event has %d bytes on average, want 1000 to 1300", mean)
	}
	seen, users := map[record.ID]bool{}, map[string]bool{}
	err := record.DecodeEvents(bytes.NewReader(body), record.DecodeLimits{}, func(d record.DecodedEvent) error {
		if d.Err != nil {
			t.Fatalf("event %d: %v\n%s", d.Index, d.Err, d.Raw)
		}
		records, skipped, err := record.KubernetesRecords(d.Event, record.KubernetesOptions{Cluster: benchCluster, OwnCluster: benchCluster})
		if err != nil || skipped != record.SkipNone || len(records) != 1 {
			t.Fatalf("event %d gives %d records, skipped %q, %v", d.Index, len(records), skipped, err)
		}
		base := records[0].Base()
		seen[base.ID], users[base.UserID] = true, true
		if at := base.Time.Time(); at.Before(month) || !at.Before(month.AddDate(0, 1, 0)) {
			t.Errorf("event %d is of %s", d.Index, at)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != count || len(users) < count/10 {
		t.Errorf("%d events have %d ids and %d users", count, len(seen), len(users))
	}
}

func TestOwnRecordsAreLinesThatASenderWrites(t *testing.T) {
	const count = 100
	body, err := newLineGenerator(time.Date(2020, 3, 1, 0, 0, 0, 0, time.UTC), 7).lines(count)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(body, []byte("\n"))
	if len(lines) != count+1 || len(lines[count]) > 0 {
		t.Fatalf("there are %d lines, want %d, each with its end", len(lines)-1, count)
	}
	for i, line := range lines[:count] {
		r, err := record.DecodeOwn(line)
		if err != nil {
			t.Fatalf("line %d: %v\n%s", i, err, line)
		}
		if at := r.Base().Time.Time(); at.Year() != 2020 || at.Month() != time.March {
			t.Errorf("line %d is of %s", i, at)
		}
	}
}

func TestRegroup(t *testing.T) {
	bulk := func(uri, body string) sent { return sent{method: "POST", uri: uri, body: []byte(body)} }
	for name, tc := range map[string]struct {
		bulks     []sent
		want      []string
		wantError string
	}{
		"parts of requests are put together": {
			bulks: []sent{bulk("/a/_bulk?x=1", "1\n1\n2\n2\n3\n3\n"), bulk("/a/_bulk?x=1", "4\n4\n")},
			want:  []string{"1\n1\n2\n2\n", "3\n3\n4\n4\n"},
		},
		"the last one has what is left": {
			bulks: []sent{bulk("/a/_bulk?x=1", "1\n1\n2\n2\n3\n3\n")},
			want:  []string{"1\n1\n2\n2\n", "3\n3\n"},
		},
		"nothing gives nothing": {},
		"requests to two indices": {
			bulks: []sent{bulk("/a/_bulk", "1\n1\n"), bulk("/b/_bulk", "1\n1\n")}, wantError: "writes to /a/_bulk and to /b/_bulk",
		},
		"half a pair": {bulks: []sent{bulk("/a/_bulk", "1\n1\n2\n")}, wantError: "does not end with a pair"},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := regroup(tc.bulks, 2, "raw")
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Fatalf("regroup: %v, want an error with %q", err, tc.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var bodies []string
			for _, s := range made {
				bodies = append(bodies, string(s.body))
				if s.uri != "/raw/_bulk?x=1" {
					t.Errorf("a request goes to %s", s.uri)
				}
			}
			if diff := cmp.Diff(tc.want, bodies); diff != "" {
				t.Errorf("bodies (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseStatPassesOverTheProgramsName(t *testing.T) {
	used, group, err := parseStat([]byte("42 (a) b) S 1 77 77 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 100\n"))
	if err != nil || used != 2*time.Second || group != 77 {
		t.Errorf("parseStat = %s, group %d, %v; want 2s, group 77", used, group, err)
	}
	if _, _, err := parseStat([]byte("42 (a) S 1\n")); err == nil {
		t.Error("a stat that is cut off is no error")
	}
}

func TestLooksBecomeFewer(t *testing.T) {
	var l looks
	const perRecord = 40 * time.Microsecond
	missing, now, count := int64(48_000), time.Unix(0, 0), 0
	began := now
	for ; missing > 0; count++ {
		wait := l.next(now, missing)
		now = now.Add(wait)
		missing -= int64(wait / perRecord)
	}
	if count > 10 {
		t.Errorf("there were %d looks, want a few", count)
	}
	if late := now.Sub(began) - 48_000*perRecord; late > 5*time.Millisecond {
		t.Errorf("the last look came %s too late", late)
	}
}
