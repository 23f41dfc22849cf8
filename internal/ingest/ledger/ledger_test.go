package ledger

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/test/builders"
)

func TestTheLedgerAddsUp(t *testing.T) {
	tests := map[string]struct {
		write       func(*Ledger)
		spool       SpoolState
		wantMissing int64
	}{
		"nothing at all":          {write: func(*Ledger) {}},
		"what was found is there": {write: func(*Ledger) {}, spool: SpoolState{Found: 5, Records: 5}},
		"every way that a record can go": {
			write: func(l *Ledger) {
				l.Acknowledged("a", 10)
				l.Stored("a", 4)
				l.Duplicate("a", 3)
				l.DeadLettered("a", deadletter.Rejected, 1)
			},
			spool: SpoolState{Found: 1, Records: 3},
		},
		"records at the door": {
			write: func(l *Ledger) {
				l.Received("a", 3)
				l.DeadLettered("a", deadletter.Malformed, 2)
				l.Acknowledged("a", 2)
			},
		},
		"a lost record":                  {write: func(l *Ledger) { l.Acknowledged("a", 2); l.Stored("b", 1) }, wantMissing: 1},
		"a record that was found and is": {write: func(*Ledger) {}, spool: SpoolState{Found: 3, Records: 1}, wantMissing: 2},
		"a record too many":              {write: func(l *Ledger) { l.Stored("a", 1) }, wantMissing: -1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := New(builders.Time)
			l.Watch(func() SpoolState { return test.spool })
			test.write(l)
			err := l.Check()
			var imbalance *ImbalanceError
			if got := l.Balance().Missing(); got != test.wantMissing {
				t.Errorf("missing %d", got)
			}
			if test.wantMissing == 0 && err != nil || test.wantMissing != 0 && (!errors.As(err, &imbalance) || imbalance.Missing() != test.wantMissing) {
				t.Errorf("check: %v", err)
			}
		})
	}
}

// Records move from place to place while the ledger is read: none may look lost.
func TestNothingLooksLostWhileRecordsMove(t *testing.T) {
	l := New(nil)
	var mutex sync.Mutex
	records := int64(0)
	move := func(n int64) {
		mutex.Lock()
		defer mutex.Unlock()
		records += n
	}
	l.Watch(func() SpoolState {
		mutex.Lock()
		defer mutex.Unlock()
		return SpoolState{Records: records}
	})
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 5000 {
				move(1)
				l.Acknowledged("a", 1)
				l.Stored("a", 1)
				move(-1)
			}
		})
	}
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if missing := l.Balance().Missing(); missing > 0 {
			t.Fatalf("%d look lost", missing)
		}
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
}

func TestNothingLooksLostThatMovesWhileTheSpoolIsAsked(t *testing.T) {
	tests := map[string]func(l *Ledger, records *int64){
		"a record is stored": func(l *Ledger, records *int64) { l.Stored("a", 1); *records-- },
		"a record comes":     func(l *Ledger, records *int64) { *records++; l.Acknowledged("a", 1) },
		"one comes and goes": func(l *Ledger, _ *int64) { l.Acknowledged("a", 1); l.Duplicate("a", 1) },
		"one is set aside":   func(l *Ledger, records *int64) { l.DeadLettered("a", deadletter.Rejected, 1); *records-- },
	}
	for name, move := range tests {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, before the answer: %t", name, first), func(t *testing.T) {
				l := New(nil)
				records := int64(1)
				l.Acknowledged("a", 1)
				l.Watch(func() SpoolState {
					if first {
						move(l, &records)
						return SpoolState{Records: records}
					}
					defer move(l, &records)
					return SpoolState{Records: records}
				})
				if missing := l.Balance().Missing(); missing > 0 {
					t.Errorf("%d look lost", missing)
				}
			})
		}
	}
}

func TestSourcesAreBounded(t *testing.T) {
	l := New(builders.Time)
	for n := range MaxSources + 50 {
		l.Received(fmt.Sprintf("source%d", n), 1)
	}
	l.Received("source0", 1)
	l.Received("not \xff valid", 1)
	accounts := l.Accounts()
	if len(accounts) != MaxSources+1 || accounts[Other].Received != 51 || accounts["source0"].Received != 2 {
		t.Errorf("%d sources, %+v", len(accounts), accounts[Other])
	}
	if n := testutil.CollectAndCount(l, "auditquery_ingest_records_received_total"); n != MaxSources+1 {
		t.Errorf("%d series", n)
	}
}

func TestASourceThatIsNoText(t *testing.T) {
	l := New(builders.Time)
	l.Received("cert:\xff", 1)
	l.Received("cert:\xff", 1)
	if diff := cmp.Diff(map[string]Account{"cert:?": {Received: 2, DeadLettered: map[deadletter.Cause]int64{}}}, l.Accounts()); diff != "" {
		t.Error(diff)
	}
	if n := testutil.CollectAndCount(l, "auditquery_ingest_records_received_total"); n != 1 {
		t.Errorf("%d series", n)
	}
}

// gather returns each metric's value, or sum, by its name and labels.
func gather(t *testing.T, l *Ledger) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(l); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "auditquery_ingest_")
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
		}
	}
	return values
}

func TestMetrics(t *testing.T) {
	l := New(builders.Time)
	l.Watch(func() SpoolState {
		return SpoolState{Records: 7, Bytes: 900, MaxBytes: 1000, Found: 2, Oldest: builders.Time().Add(-90 * time.Second)}
	})
	l.WatchLetters(func() (deadletter.Usage, error) { return deadletter.Usage{Bytes: 10, MaxBytes: 20}, nil })
	l.Received("kubernetes/prod", 5)
	l.Acknowledged("kubernetes/prod", 5)
	l.Stored("kubernetes/prod", 3)
	l.Duplicate("kubernetes/prod", 2)
	l.DeadLettered("kubernetes/prod", deadletter.TooLarge, 1)
	l.Lag(3 * time.Second)
	want := map[string]float64{
		"records_received_total kubernetes/prod":                5,
		"records_acknowledged_total kubernetes/prod":            5,
		"records_stored_total kubernetes/prod":                  3,
		"records_duplicate_total kubernetes/prod":               2,
		"records_dead_lettered_total too_large kubernetes/prod": 1,
		"spool_records":                   7,
		"spool_records_found_at_start":    2,
		"spool_bytes":                     900,
		"spool_max_bytes":                 1000,
		"spool_oldest_record_age_seconds": 90,
		"dead_letters_bytes":              10,
		"dead_letters_max_bytes":          20,
		"lag_seconds":                     3,
	}
	for _, cause := range deadletter.Causes() {
		if cause != deadletter.TooLarge {
			want["records_dead_lettered_total "+string(cause)+" kubernetes/prod"] = 0
		}
	}
	if diff := cmp.Diff(want, gather(t, l)); diff != "" {
		t.Error(diff)
	}
	if problems, err := testutil.CollectAndLint(l); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}
