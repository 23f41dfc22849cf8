package sender_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/store/sqlite"
	"auditquery.dev/auditquery/test/sender"
)

func start() time.Time { return time.Date(2026, 11, 2, 10, 30, 0, 123456789, time.UTC) }

func events() sender.Events {
	return sender.Events{Run: "a1", Cluster: "prod", OwnCluster: "local", Start: start()}
}

func lines() sender.Lines { return sender.Lines{Run: "b2", Org: "acme", Start: start()} }

// fake is a receiver that refuses each body as often as it is told.
type fake struct {
	mutex    sync.Mutex
	refusals int
	refused  map[string]int
	bodies   []string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.refused[string(body)]++
	switch n := f.refused[string(body)]; {
	case n > f.refusals:
		f.bodies = append(f.bodies, string(body))
		fmt.Fprint(w, `{"accepted":3,"rejected_total":2}`)
	case n == 1:
		panic(http.ErrAbortHandler)
	case n == 2:
		http.Error(w, "the spool is full", http.StatusServiceUnavailable)
	default:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

func startFake(t *testing.T, refusals int) (*fake, sender.Options) {
	t.Helper()
	f := &fake{refusals: refusals, refused: map[string]int{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, sender.Options{URL: server.URL, Client: server.Client(), Source: events(), Pause: time.Millisecond}
}

func send(t *testing.T, o sender.Options) *sender.Sender {
	t.Helper()
	s, err := sender.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Abort)
	return s
}

func TestWhatIsRefusedIsSentAgain(t *testing.T) {
	f, o := startFake(t, 3)
	o.Limit, o.Batch, o.Writers = 25, 10, 3
	s := send(t, o)
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := s.Counts()
	want := sender.Counts{
		Begun: 25, Acknowledged: 25, Requests: 12, Broken: 3, Rejected: 6, WithoutRetryAfter: 6,
		Answers: map[int]int{200: 3, 429: 3, 503: 3}, LastAnswer: got.LastAnswer,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(got.LastAnswer, "429") && !strings.HasPrefix(got.LastAnswer, "503") {
		t.Errorf("the last refusal is %q", got.LastAnswer)
	}
	if n := len(s.Latencies()); n != 3 || len(f.bodies) != 3 {
		t.Errorf("%d latencies of %d bodies, want 3", n, len(f.bodies))
	}
}

func TestPreparedBodiesAreTheSame(t *testing.T) {
	f, o := startFake(t, 0)
	o.Limit, o.Batch, o.Prepare, o.Gzip = 7, 4, true, true
	if err := send(t, o).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{string(events().Body(nil, 0, 4)), string(events().Body(nil, 4, 3))}
	var got []string
	for _, body := range f.bodies {
		r, err := gzip.NewReader(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(text))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestStopEndsAfterWhatWasBegun(t *testing.T) {
	_, o := startFake(t, 0)
	o.Rate, o.Batch = 1000, 1
	s := send(t, o)
	s.Stop()
	s.Stop()
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAReceiverThatIsAwayIsWaitedFor(t *testing.T) {
	_, o := startFake(t, 0)
	o.URL = "http://127.0.0.1:1"
	s := send(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting ended with %v", err)
	}
	s.Abort()
	if err := s.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "gave up") {
		t.Errorf("after the end: %v", err)
	}
}

func TestSourcesMakeWhatStoresTake(t *testing.T) {
	for name, source := range map[string]sender.Source{"events": events(), "lines": lines()} {
		t.Run(name, func(t *testing.T) {
			kinds := map[record.Kind]int{}
			for n := range 200 {
				records, err := source.Records(n)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					kinds[r.Kind()]++
					if changes := record.Normalize(r, start().Add(time.Minute)); changes.Any() {
						t.Errorf("event %d had to be changed: %+v", n, changes)
					}
					if got, ok := source.Number(r); !ok || got != n {
						t.Errorf("event %d is taken for %d (%t)", n, got, ok)
					}
				}
			}
			want := map[string]map[record.Kind]int{
				"events": {record.KindAudit: 200, record.KindAuthAudit: 8}, "lines": {record.KindAudit: 180, record.KindAuthAudit: 20},
			}[name]
			if diff := cmp.Diff(want, kinds); diff != "" {
				t.Error(diff)
			}
			body := source.Body(nil, 0, 100)
			if size := len(body) / 100; size < 500 || size > 2000 {
				t.Errorf("an event has %d bytes", size)
			}
			if !bytes.Equal(body, source.Body(nil, 0, 100)) {
				t.Error("the same numbers gave other bytes")
			}
		})
	}
}

// stored writes records of events and lines as a receiver would.
func stored(t *testing.T, change func(n int, r record.Record) []record.Record) store.Reader {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "records.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	var batch []record.Record
	for n := range 100 {
		for _, source := range []sender.Source{events(), lines()} {
			records, err := source.Records(n)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				if r.Base().ID.IsZero() {
					r.Base().ID = record.BulkID(r.Kind(), "test", fmt.Sprint(n), start())
				}
				r.Base().IngestTime = record.At(start().Add(time.Minute))
				batch = append(batch, change(n, r)...)
			}
		}
	}
	if _, err := db.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	return db
}

func isEvent(r record.Record) bool { return r.Base().SourceType == record.SourceKubernetes }

func TestVerify(t *testing.T) {
	as := func(r record.Record) []record.Record { return []record.Record{r} }
	cases := map[string]struct {
		change func(n int, r record.Record) []record.Record
		// unsent is an event that was never sent, unacknowledged one that was not
		// acknowledged.
		unsent, unacknowledged int
		want                   sender.Report
	}{
		"all is well": {
			change: func(_ int, r record.Record) []record.Record { return as(r) },
			want:   sender.Report{},
		},
		"the second record of an event is missing": {
			change: func(n int, r record.Record) []record.Record {
				if n == 24 && isEvent(r) && r.Kind() == record.KindAuthAudit {
					return nil
				}
				return as(r)
			},
			want: sender.Report{Missing: 1},
		},
		"the only record of an event is missing": {
			change: func(n int, r record.Record) []record.Record {
				if n == 0 && isEvent(r) {
					return nil
				}
				return as(r)
			},
			want: sender.Report{Missing: 1},
		},
		"what was not acknowledged may be missing": {
			change: func(n int, r record.Record) []record.Record {
				if n == 99 && isEvent(r) {
					return nil
				}
				return as(r)
			},
			unacknowledged: 99,
			want:           sender.Report{Events: -1},
		},
		"what was not acknowledged may be there": {
			change:         func(_ int, r record.Record) []record.Record { return as(r) },
			unacknowledged: 99,
			want:           sender.Report{Events: -1},
		},
		"one was never sent": {
			change:         func(_ int, r record.Record) []record.Record { return as(r) },
			unsent:         98,
			unacknowledged: 98,
			want:           sender.Report{Events: -1, Unknown: 1},
		},
		"one field is another": {
			change: func(n int, r record.Record) []record.Record {
				if n == 7 {
					r.Base().UserAgent = "another"
				}
				return as(r)
			},
			want: sender.Report{Altered: 2},
		},
		"one is there twice, under another id": {
			change: func(n int, r record.Record) []record.Record {
				if n == 7 && !isEvent(r) {
					again := *r.(*record.Audit)
					again.ID[0]++
					return []record.Record{r, &again}
				}
				return as(r)
			},
			want: sender.Report{Repeated: 1},
		},
		"one is of nobody": {
			change: func(n int, r record.Record) []record.Record {
				if n == 8 && !isEvent(r) {
					r.Base().TraceID = "x"
				}
				return as(r)
			},
			want: sender.Report{Unknown: 1, Missing: 1},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			reader := stored(t, c.change)
			whole := &sender.Numbers{}
			whole.Add(0, 100)
			sent, acknowledged := without(c.unsent), without(c.unacknowledged)
			report, err := sender.Verify(t.Context(), reader,
				sender.Run{Source: events(), Sent: sent, Acknowledged: acknowledged},
				sender.Run{Source: lines(), Sent: whole, Acknowledged: whole})
			if err != nil {
				t.Fatal(err)
			}
			failed := report.Err()
			c.want.Events += 200
			c.want.Records, c.want.Examples = report.Records, report.Examples
			if diff := cmp.Diff(c.want, report); diff != "" {
				t.Errorf("%s\n%v", diff, failed)
			}
			if bad := report.Missing+report.Altered+report.Repeated+report.Unknown > 0; bad != (failed != nil) {
				t.Errorf("the verdict is %v", failed)
			}
		})
	}
}

// without returns 0 to 99 but one; 0 for all of them.
func without(n int) *sender.Numbers {
	numbers := &sender.Numbers{}
	numbers.Add(0, 100)
	if n == 0 {
		return numbers
	}
	numbers = &sender.Numbers{}
	numbers.Add(0, n)
	numbers.Add(n+1, 99-n)
	return numbers
}
