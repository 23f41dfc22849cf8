package disk_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/faults"
	"auditquery.dev/auditquery/test/receiver"
	"auditquery.dev/auditquery/test/sender"
)

// stopTime is more than a receiver may take to stop, whatever its store does.
const stopTime = 40 * time.Second

// lateStore answers for the shared Elasticsearch, each batch late: when the answer
// comes the records are stored for long.
type lateStore struct {
	delay atomic.Int64 // nanoseconds
	*httptest.Server
}

func newLateStore(t *testing.T) *lateStore {
	t.Helper()
	target, err := url.Parse(server.Cluster(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	late := &lateStore{}
	late.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(response *http.Response) error {
			if strings.HasSuffix(response.Request.URL.Path, "/_bulk") {
				<-time.After(time.Duration(late.delay.Load()))
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0), // clients that go away are meant to
	})
	t.Cleanup(late.Close)
	return late
}

// TestAStopFinishesWhatIsInHand stops a receiver under load, by SIGTERM, while its
// store takes seconds for every batch. Were a batch left in the middle, the next
// process would send it again, and the store would call its records duplicates.
func TestAStopFinishesWhatIsInHand(t *testing.T) {
	late := newLateStore(t)
	p := newPlaceBefore(t, late.URL, "stop", faults.Fault{}, receiver.Options{})
	// The first records have the store make their indices, which is many requests.
	if a := p.post(t, batch); a.status != http.StatusOK {
		t.Fatal(a)
	}
	first, _ := p.drained(t)
	late.delay.Store(int64(2 * time.Second))
	source := p.source
	source.Run = "10ad"
	load, err := sender.Start(t.Context(), sender.Options{
		URL: p.URL(), Client: p.client, Source: source, Writers: 4, Batch: batch, Rate: 1500,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(load.Abort)
	await.Nil(t, "some are stored, and more are in the spool", func(context.Context) error {
		if got := p.counted(t); got.Stored == first.Stored || got.InSpool < batch {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	p.stop(t)
	for status, times := range load.Counts().Answers {
		// A request that comes while the receiver leaves is sent away.
		if status != http.StatusOK && status != http.StatusServiceUnavailable {
			t.Errorf("%d requests were answered %d", times, status)
		}
	}

	late.delay.Store(0)
	p.start(t)
	found := p.counted(t).Found
	acknowledged := load.Counts().Acknowledged
	await.True(t, "the senders go on", func() bool { return load.Counts().Acknowledged > acknowledged+10*batch })
	load.Stop()
	if err := load.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	counted, report := p.drainedOf(t, p.run(), load.Run())
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if found == 0 {
		t.Error("nothing was left in the spool, so the stop shows little")
	}
	if counted.Duplicate != 0 || counted.DeadLettered != 0 {
		t.Errorf("%d records were sent to the store twice, %d are dead letters", counted.Duplicate, counted.DeadLettered)
	}
	t.Logf("acknowledged %d events, found %d records after the stop; answers: %v", load.Counts().Acknowledged, found, load.Counts().Answers)
}

// stop ends the receiver by SIGTERM, in time.
func (p *place) stop(t *testing.T) {
	t.Helper()
	began := time.Now()
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("it stopped in %s", took.Round(10*time.Millisecond))
	if took > stopTime {
		t.Errorf("it took %s to stop", took)
	}
}

// TestTheStoreIsAwayAtStart: a receiver needs no store to begin with, nor to stop.
func TestTheStoreIsAwayAtStart(t *testing.T) {
	for name, test := range map[string]struct {
		prefix string
		state  faults.Fault
		// stops says that it is stopped meanwhile, for which a batch in hand that is
		// not answered has 20 s: too long for every run.
		stops bool
	}{
		"it refuses connections": {prefix: "refuses", state: faults.Fault{Kind: faults.Refuse}, stops: true},
		"it never answers":       {prefix: "hangs", state: faults.Fault{Kind: faults.Hang}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, test.prefix, test.state, receiver.Options{})
			p.wantReady(t, http.StatusOK)
			for range 5 {
				if a := p.post(t, batch); a.status != http.StatusOK {
					t.Fatal(a)
				}
			}
			if test.stops || soak() {
				p.wantRestart(t, int64(5*p.perBatch()))
			}
			if a := p.post(t, batch); a.status != http.StatusOK {
				t.Error(a)
			}
			// What hangs would do so for a minute.
			p.set(t, faults.Fault{Kind: faults.Refuse})
			p.set(t, faults.Fault{})
			if counted := p.wantWhole(t); counted.Stored != int64(6*p.perBatch()) {
				t.Errorf("%+v", counted)
			}
		})
	}
}

// wantRestart stops the receiver and starts it again with what it had.
func (p *place) wantRestart(t *testing.T, records int64) {
	t.Helper()
	p.stop(t)
	p.start(t)
	p.wantReady(t, http.StatusOK)
	if got := p.counted(t); got.Found != records || got.InSpool != records {
		t.Errorf("after a stop there are in the spool: %+v, want %d records", got, records)
	}
}

// soak tells whether tests are to take their time.
func soak() bool { return os.Getenv("AUDITQUERY_SOAK") != "" }

// perBatch is how many records a batch gives: some events give two.
func (p *place) perBatch() int {
	records := 0
	for n := range batch {
		made, err := p.source.Records(n)
		if err != nil {
			return -1 // as no receiver counts
		}
		records += len(made)
	}
	return records
}
