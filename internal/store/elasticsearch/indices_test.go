package elasticsearch

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// inMonth is a record of a month of 2026.
func inMonth(month int) *record.Audit {
	return audit(month, func(a *record.Audit) {
		a.Time = record.At(time.Date(2026, time.Month(month), 3, 4, 5, 6, 7000, time.UTC))
		a.IngestTime = a.Time
	})
}

// ofMonths asks for the records between two months of 2026.
func ofMonths(from, to int) query.Query {
	q := allAudits(100)
	q.From, q.To = date(2026, from, 1), date(2026, to, 1)
	return q
}

func mustAppend(t *testing.T, s *Store, records ...record.Record) {
	t.Helper()
	outcomes, err := s.Append(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if o.Result != store.Stored {
			t.Fatalf("record %d was %s: %v", i, o.Result, o.Err)
		}
	}
}

func mustList(t *testing.T, s *Store, q query.Query, want int) {
	t.Helper()
	page, err := s.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Documents) != want {
		t.Fatalf("the page holds %d documents, want %d", len(page.Documents), want)
	}
}

// mustRefuse demands an error that names an index.
func mustRefuse(t *testing.T, err error, reason store.Reason, index string) {
	t.Helper()
	if store.ReasonOf(err) != reason || !strings.Contains(fmt.Sprint(err), index) {
		t.Fatalf("error %v, want %v that names %s", err, reason, index)
	}
}

// TestAnIndexThatIsNotAsItWasLeft does to a month what somebody may do behind our
// back. Questions that touch it fail; the others do not notice.
func TestAnIndexThatIsNotAsItWasLeft(t *testing.T) {
	cases := map[string]struct {
		do         func(p *place, index string)
		wantReason store.Reason
	}{
		"closed":  {func(p *place, index string) { p.do(http.MethodPost, "/"+index+"/_close", "") }, store.Unavailable},
		"deleted": {func(p *place, index string) { p.do(http.MethodDelete, "/"+index, "") }, store.Conflict},
		"made anew without our template": {func(p *place, index string) {
			p.do(http.MethodDelete, "/"+index, "")
			p.do(http.MethodDelete, "/_index_template/"+p.prefix+"-audit", "")
			p.do(http.MethodPut, "/"+index, `{"mappings":{"properties":{"time":{"type":"date"}}}}`)
		}, store.Conflict},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			s, other := p.open(), p.open()
			mustAppend(t, s, inMonth(8), inMonth(9), inMonth(10))
			if err := p.refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			mustList(t, other, ofMonths(8, 11), 3)

			index := p.prefix + "-audit-2026.09"
			c.do(p, index)
			// Whoever has a snapshot of before learns it from Elasticsearch,
			// or, of an index made anew, with the next snapshot.
			other.catalogue.latest.taken = time.Time{}
			for reader, s := range map[string]*Store{"a new reader": p.open(), "a reader of before": other} {
				_, err := s.List(t.Context(), ofMonths(8, 11))
				mustRefuse(t, err, c.wantReason, index)
				_, err = s.List(t.Context(), allAudits(1))
				mustRefuse(t, err, c.wantReason, index)
				_, err = s.Count(t.Context(), ofMonths(9, 10), 0)
				mustRefuse(t, err, c.wantReason, index)
				answers := s.Search(t.Context(), []store.Question{{Query: ofMonths(9, 10)}, {Query: ofMonths(8, 9)}})
				mustRefuse(t, answers[0].Err, c.wantReason, index)
				if err := answers[1].Err; err != nil {
					t.Errorf("%s: a question beside it: %v", reader, err)
				}
				mustList(t, s, ofMonths(8, 9), 1)
				mustList(t, s, ofMonths(10, 11), 1)
			}
			outcomes, err := p.open().Append(t.Context(), []record.Record{audit(99, func(a *record.Audit) { a.Time = inMonth(9).Time })})
			if outcomes[0].Result != store.Failed {
				t.Errorf("a record for it was %s (%v), want failed", outcomes[0].Result, err)
			}
		})
	}
}

func TestADeletedIndexIsNoticedWithoutANewSnapshot(t *testing.T) {
	p := newPlace(t)
	s := p.open(func(o *Options) { o.Clock = func() time.Time { return date(2026, 11, 24) } })
	mustAppend(t, s, inMonth(9))
	p.do(http.MethodDelete, "/"+p.prefix+"-audit-2026.09", "")
	_, err := s.List(t.Context(), ofMonths(9, 10))
	mustRefuse(t, err, store.Conflict, p.prefix+"-audit-2026.09")
}

func TestAMonthThatAnotherProcessMadeIsFoundAtOnce(t *testing.T) {
	p := newPlace(t)
	reader := p.open(func(o *Options) { o.Clock = func() time.Time { return date(2026, 11, 24) } })
	mustList(t, reader, ofMonths(8, 11), 0)
	mustAppend(t, p.open(), inMonth(9))
	if err := p.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustList(t, reader, ofMonths(8, 11), 1)
	mustList(t, reader, allAudits(5), 1)
}

func TestTheStateIsGone(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	mustAppend(t, s, inMonth(9))
	p.do(http.MethodDelete, "/"+p.prefix+"-state", "")
	s.catalogue.latest.taken = time.Time{}
	for name, s := range map[string]*Store{"a reader of before": s, "a new reader": p.open()} {
		_, err := s.List(t.Context(), ofMonths(9, 10))
		if store.ReasonOf(err) != store.Conflict {
			t.Errorf("%s: %v, want a conflict", name, err)
		}
	}
	_, err := p.open().Append(t.Context(), []record.Record{inMonth(10)})
	mustRefuse(t, err, store.Conflict, p.prefix+"-state")
}

func TestAnIndexOfADayIsUsedForThatDay(t *testing.T) {
	p := newPlace(t)
	daily := func(o *Options) { o.Period = Daily }
	mustAppend(t, p.open(daily), inMonth(9))
	monthly := p.open()
	same := inMonth(9)
	outcomes, err := monthly.Append(t.Context(), []record.Record{same})
	if err != nil || outcomes[0].Result != store.Duplicate {
		t.Fatalf("the record again was %v, %v, want a duplicate", outcomes, err)
	}
	otherDay := audit(20, func(a *record.Audit) { a.Time = inMonth(9).Time + dayMicros })
	mustAppend(t, monthly, otherDay)
	mustAppend(t, p.open(daily), audit(21, func(a *record.Audit) { a.Time = otherDay.Time + dayMicros }))
	found := p.do(http.MethodGet, "/"+p.prefix+"-audit-*/_settings/index.uuid", "")
	for _, index := range []string{"-audit-2026.09.03", "-audit-2026.09\""} {
		if !strings.Contains(found, p.prefix+index) {
			t.Errorf("there is no index %s", index)
		}
	}
	if strings.Count(found, "uuid") != 2 {
		t.Errorf("there are other indices than two: %s", found)
	}
}

func TestABulkRequestIntoAnIndexThatIsGoneMakesNone(t *testing.T) {
	p := newPlace(t)
	s := p.open(func(o *Options) { o.Clock = func() time.Time { return date(2026, 11, 24) } })
	mustAppend(t, s, inMonth(9))
	p.do(http.MethodDelete, "/"+p.prefix+"-audit-2026.09", "")
	_, err := s.Append(t.Context(), []record.Record{audit(50, func(a *record.Audit) { a.Time = inMonth(9).Time })})
	mustRefuse(t, err, store.Conflict, p.prefix+"-audit-2026.09")
	if found := p.do(http.MethodGet, "/"+p.prefix+"-audit-*/_settings/index.uuid", ""); found != "{}" {
		t.Errorf("there is an index again: %s", found)
	}
}

func TestTheStoredDocumentIsWhatWasWritten(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	r := inMonth(9)
	r.Details = []byte(`{"n":1.50,"big":1e400,"text":"\u00e9 \/ \ud83d\ude00","words":["x"],"id_low":[1]}`)
	record.Normalize(r, r.IngestTime.Time())
	want := documentOf(t, r)
	mustAppend(t, s, r)
	if err := p.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), record.KindAudit, r.ID, query.All())
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	_, err = s.Get(t.Context(), record.KindAudit, r.ID, query.Scope{Name: "namespace/a", Restrict: query.Or{}})
	if !store.IsNotFound(err) {
		t.Errorf("out of scope: %v", err)
	}
}

func TestTwoWritersOfANewMonth(t *testing.T) {
	p := newPlace(t)
	results := make(chan error)
	for i := range 4 {
		s := p.open()
		go func() {
			outcomes, err := s.Append(t.Context(), []record.Record{audit(i+1, func(a *record.Audit) { a.Time = inMonth(9).Time })})
			if err == nil && outcomes[0].Result != store.Stored {
				err = errors.New(outcomes[0].Result.String())
			}
			results <- err
		}()
	}
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if err := p.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustList(t, p.open(), ofMonths(9, 10), 4)
}

func TestCompressedRequestsAndAnswers(t *testing.T) {
	p := newPlace(t)
	s := p.open(func(o *Options) { o.Compress = true })
	mustAppend(t, s, inMonth(9), inMonth(10))
	if err := p.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustList(t, s, ofMonths(8, 11), 2)
}
