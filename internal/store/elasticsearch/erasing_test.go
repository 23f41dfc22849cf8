package elasticsearch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// errDead is what a process sees that is cut off, and what it does no more.
var errDead = errors.New("the process is cut off")

// tapped is the network, with a hand on it: before is called with the number of
// each request, and after with the answer to it.
type tapped struct {
	network http.RoundTripper
	count   atomic.Int64
	before  func(number int64) error
	after   func(number int64) error
	// cutAt is how the path of the first request ends that is not sent any
	// more, nor is any behind it.
	cutAt string
	cut   atomic.Bool
}

func (t *tapped) RoundTrip(r *http.Request) (*http.Response, error) {
	number := t.count.Add(1)
	if t.cut.Load() || (t.cutAt != "" && strings.HasSuffix(r.URL.Path, t.cutAt)) {
		t.cut.Store(true)
		return nil, errDead
	}
	if t.before != nil {
		if err := t.before(number); err != nil {
			return nil, err
		}
	}
	res, err := t.network.RoundTrip(r)
	if err == nil && t.after != nil {
		if err := t.after(number); err != nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			return nil, err
		}
	}
	return res, err
}

// openTapped opens a store that sends no request twice.
func (p *place) openTapped(tap *tapped) *Store {
	p.t.Helper()
	network := &http.Transport{DisableCompression: true}
	p.t.Cleanup(network.CloseIdleConnections)
	tap.network = network
	return p.open(func(o *Options) { o.transport, o.MaxRetries = tap, -1 })
}

// inSeptember is record number n of a month that is over.
func inSeptember(n int) *record.Audit {
	return audit(1, func(a *record.Audit) {
		a.ID = record.BulkID(record.KindAudit, "erasing", fmt.Sprint(n), time.Time{})
		a.Time = record.At(date(2026, 9, 1).Add(time.Duration(n) * time.Second))
	})
}

func (p *place) september() string { return p.prefix + "-audit-2026.09" }

// mustRefresh makes what was appended visible.
func (p *place) mustRefresh() {
	p.t.Helper()
	if err := p.refresh(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// appendEventually sends a record as a shipper does: what is not to be sent again
// ends the test.
func appendEventually(t *testing.T, s *Store, r record.Record) {
	t.Helper()
	for range 100 {
		outcomes, err := s.Append(t.Context(), []record.Record{r})
		switch o := outcomes[0]; {
		case o.Result == store.Stored || o.Result == store.Duplicate:
			return
		case o.Result != store.Failed || !store.IsUnavailable(o.Err):
			t.Fatalf("a record was %s: %v, %v", o.Result, o.Err, err)
		}
	}
	t.Fatal("a record could not be stored in 100 tries")
}

// TestAProcessDiesInTheMiddleOfAnErasure cuts the eraser off at each of its
// requests, before it is sent or before it is answered. Readers never notice,
// writers at most have to send again, and afterwards all is there or all gone.
func TestAProcessDiesInTheMiddleOfAnErasure(t *testing.T) {
	for name, lost := range map[string]bool{"a request is not sent": false, "an answer is lost": true} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			reader, next := p.open(), 0
			for dies, ended := int64(1), false; !ended; dies++ {
				mustAppendSeptember(t, p, reader, &next)
				held := next
				cut := func(number int64) error {
					if number >= dies {
						return errDead
					}
					return nil
				}
				tap := &tapped{before: cut}
				if lost {
					tap = &tapped{after: cut}
				}
				_, err := p.openTapped(tap).EraseStretch(t.Context(), record.KindAudit, p.september(), nil)
				ended = err == nil
				if !ended && !store.IsUnavailable(err) {
					t.Fatalf("request %d: %v, want Unavailable", dies, err)
				}
				checkAfterDeath(t, p, reader, dies, held, &next)
			}
		})
	}
}

// mustAppendSeptember stores a few records, numbered from next.
func mustAppendSeptember(t *testing.T, p *place, s *Store, next *int) {
	t.Helper()
	for range 3 {
		appendEventually(t, s, inSeptember(*next))
		*next++
	}
	p.mustRefresh()
}

func checkAfterDeath(t *testing.T, p *place, reader *Store, dies int64, held int, next *int) {
	t.Helper()
	found, err := reader.Count(t.Context(), allAudits(1), 0)
	if err != nil || (found.Records != int64(held) && found.Records != 0) {
		t.Fatalf("request %d: a reader counts %d of %d: %v", dies, found.Records, held, err)
	}
	outcomes, _ := reader.Append(t.Context(), []record.Record{inSeptember(*next)})
	if o := outcomes[0]; o.Result != store.Stored && (o.Result != store.Failed || !store.IsUnavailable(o.Err)) {
		t.Fatalf("request %d: a record was %s: %v", dies, o.Result, o.Err)
	}
	again := p.open()
	if err := again.FinishErasing(t.Context()); err != nil {
		t.Fatalf("request %d: finish: %v", dies, err)
	}
	appendEventually(t, again, inSeptember(*next))
	*next++
	p.mustRefresh()
	left, err := reader.Count(t.Context(), allAudits(1), 0)
	if err != nil || (left.Records != int64(held)+1 && left.Records != 1) {
		t.Fatalf("request %d: %d of %d are left: %v", dies, left.Records, held+1, err)
	}
	if left.Records == 1 {
		*next = 1
		again = p.open() // the numbering begins anew, with a record that is there
		if _, err := eraseEvery(t, again, allAudits(1)); err != nil {
			t.Fatal(err)
		}
		*next = 0
		return
	}
	if *next != int(left.Records) {
		t.Fatalf("request %d: %d records are left, want %d", dies, left.Records, *next)
	}
}

// eraseEvery erases all that q matches.
func eraseEvery(t *testing.T, s *Store, q query.Query) (int, error) {
	t.Helper()
	erasure, err := s.Erase(t.Context(), q)
	if err != nil {
		return 0, err
	}
	defer func() { _ = erasure.Close(t.Context()) }()
	for total := 0; ; {
		erased, err := erasure.Next(t.Context(), store.MaxErasureBatch)
		if total += erased; errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// TestAnEraserIsStoppedAndGoesOnLater stops the eraser before each of its
// requests, lets another process take over, and stores a record that is to be
// kept. Whatever the eraser does when it goes on, the record stays.
func TestAnEraserIsStoppedAndGoesOnLater(t *testing.T) {
	takeovers := map[string]func(t *testing.T, p *place, other *Store, kept record.Record){
		"another undoes it": func(t *testing.T, _ *place, other *Store, kept record.Record) {
			if err := other.FinishErasing(t.Context()); err != nil {
				t.Fatal(err)
			}
			appendEventually(t, other, kept)
		},
		"another erases the index": func(t *testing.T, p *place, other *Store, kept record.Record) {
			_, err := other.EraseStretch(t.Context(), record.KindAudit, p.september(), nil)
			if err != nil && !store.IsNotFound(err) {
				t.Fatal(err)
			}
			if err := other.FinishErasing(t.Context()); err != nil {
				t.Fatal(err)
			}
			appendEventually(t, other, kept)
		},
		"another undoes it, and dies when it has begun itself": func(t *testing.T, p *place, other *Store, kept record.Record) {
			if err := other.FinishErasing(t.Context()); err != nil {
				t.Fatal(err)
			}
			appendEventually(t, other, kept)
			_, err := p.openTapped(&tapped{cutAt: "/_block/write"}).EraseStretch(t.Context(), record.KindAudit, p.september(), nil)
			if !store.IsUnavailable(err) {
				t.Fatal(err)
			}
		},
	}
	for name, takeOver := range takeovers {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			other := p.open()
			for stops, reached, n := int64(1), true, 0; reached; stops++ {
				appendEventually(t, other, inSeptember(n))
				kept := inSeptember(n + 1)
				n += 2
				reached = false
				tap := &tapped{before: func(number int64) error {
					if number == stops {
						reached = true
						takeOver(t, p, other, kept)
					}
					return nil
				}}
				doomed := query.Not{Filter: query.Equal{Field: fieldID, Value: kept.ID.String()}}
				_, err := p.openTapped(tap).EraseStretch(t.Context(), record.KindAudit, p.september(), doomed)
				if !reached {
					break
				}
				if err := other.FinishErasing(t.Context()); err != nil {
					t.Fatal(err)
				}
				p.mustRefresh()
				if _, failed := other.Get(t.Context(), record.KindAudit, kept.ID, query.All()); failed != nil {
					t.Fatalf("stopped before request %d: the record is gone (%v), the eraser returned %v", stops, failed, err)
				}
				appendEventually(t, other, inSeptember(n)) // no block was left behind
			}
			p.mustHaveNoToken()
		})
	}
}

func TestReadersNeverNoticeAnErasure(t *testing.T) {
	const months = 10
	p := newPlace(t)
	writer := p.open()
	for month := 1; month <= months; month++ {
		mustAppend(t, writer, inMonth(month))
	}
	p.mustRefresh()
	erased := make(chan struct{})
	var reading sync.WaitGroup
	for range 2 {
		s := p.open()
		reading.Go(func() {
			for {
				if err := readEverything(t, s); err != nil {
					t.Errorf("a reader noticed: %v", err)
					return
				}
				select {
				case <-erased:
					return
				default:
				}
			}
		})
	}
	eraser := p.open()
	for month := 1; month <= months; month++ {
		name := fmt.Sprintf("%s-audit-2026.%02d", p.prefix, month)
		if got, err := eraser.EraseStretch(t.Context(), record.KindAudit, name, nil); err != nil || got.Records != 1 {
			t.Errorf("%s: erased %+v: %v", name, got, err)
		}
	}
	close(erased)
	reading.Wait()
	mustList(t, p.open(), allAudits(100), 0)
	if found := p.do(http.MethodGet, "/"+p.prefix+"-*/_settings/index.uuid", ""); strings.Contains(found, "-audit-") {
		t.Errorf("there is an index left: %s", found)
	}
	p.mustHaveNoToken()
}

func (p *place) mustHaveNoToken() {
	p.t.Helper()
	if found := p.do(http.MethodGet, "/"+p.prefix+"-state/_alias", ""); strings.Contains(found, "erasing") {
		p.t.Errorf("there is a token left: %s", found)
	}
}

// readEverything reads in each way that there is.
func readEverything(t *testing.T, s *Store) error {
	_, errList := s.List(t.Context(), allAudits(100))
	_, errCount := s.Count(t.Context(), ofMonths(2, 9), 0)
	var questions []store.Question
	for month := 1; month < 10; month++ {
		questions = append(questions, store.Question{Query: ofMonths(month, month+1), CountAtMost: 10})
	}
	failures := []error{errList, errCount}
	for _, answer := range s.Search(t.Context(), questions) {
		failures = append(failures, answer.Err)
	}
	_, errStretches := s.Stretches(t.Context(), record.KindAudit)
	return errors.Join(append(failures, errStretches)...)
}

// TestAWriterWithAnOldSnapshot writes into an index that was erased, or erased and
// made anew, since the writer looked.
func TestAWriterWithAnOldSnapshot(t *testing.T) {
	for name, anew := range map[string]bool{"the index is gone": false, "the index is another": true} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			writer := p.open(func(o *Options) { o.Clock = func() time.Time { return date(2026, 11, 24) } })
			mustAppend(t, writer, inSeptember(1))
			other := p.open()
			if _, err := other.EraseStretch(t.Context(), record.KindAudit, p.september(), nil); err != nil {
				t.Fatal(err)
			}
			if anew {
				mustAppend(t, other, inSeptember(2))
			}
			outcomes, err := writer.Append(t.Context(), []record.Record{inSeptember(3), inMonth(11)})
			if err != nil || outcomes[1].Result != store.Stored {
				t.Errorf("the record of another month was %s: %v", outcomes[1].Result, err)
			}
			if o := outcomes[0]; o.Result != store.Failed || !store.IsUnavailable(o.Err) {
				t.Errorf("the record was %s: %v, want failed and Unavailable", o.Result, o.Err)
			}
			appendEventually(t, writer, inSeptember(3))
			p.mustRefresh()
			want := 1
			if anew {
				want = 2
			}
			mustList(t, writer, ofMonths(9, 10), want)
		})
	}
}

func namesOf(stretches []store.Stretch) []string {
	var out []string
	for _, s := range stretches {
		out = append(out, s.Name)
	}
	slices.Sort(out)
	return out
}
