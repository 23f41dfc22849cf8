package ship

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"auditquery.dev/auditquery/internal/ingest/ledger"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
)

func TestTheGroupInHandIsFinished(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.store.behave(func(ctx context.Context, _ []record.Prepared) error { return pause(ctx, 5*time.Second) })
		r.append(0, 5000)
		r.after(2 * time.Second)
		at := time.Now()
		r.stop()
		if err := <-r.err; err != nil {
			t.Error(err)
		}
		r.err <- nil
		if took := time.Since(at); took != 3*time.Second+50*time.Millisecond && took > 4*time.Second {
			t.Errorf("it took %s", took)
		}
		if r.spool.confirmed != 2000 || r.missing(0, 2000) > 0 || len(r.store.callsSince(at)) > 0 {
			t.Errorf("%d confirmed, %d calls after the stop", r.spool.confirmed, len(r.store.callsSince(at)))
		}
	})
}

func TestAStoreThatHangsDoesNotKeepUsFromStopping(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.store.behave(func(ctx context.Context, _ []record.Prepared) error {
			<-ctx.Done()
			return ctx.Err()
		})
		r.append(0, 100)
		r.after(time.Second)
		at := time.Now()
		r.stop()
		if err := <-r.err; err != nil {
			t.Error(err)
		}
		r.err <- nil
		if took := time.Since(at); took != 20*time.Second {
			t.Errorf("it took %s", took)
		}
		if r.spool.confirmed != 0 {
			t.Errorf("%d are confirmed", r.spool.confirmed)
		}
	})
}

func TestACallToTheStoreIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.store.behave(func(ctx context.Context, _ []record.Prepared) error {
			<-ctx.Done()
			return ctx.Err()
		})
		r.append(0, 100)
		r.after(61 * time.Second)
		r.store.behave(nil)
		r.after(61 * time.Second)
		if r.missing(0, 100) > 0 {
			t.Error("the records wait for a call that hangs")
		}
	})
}

func TestAClosedSpoolEndsRun(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.append(0, 10)
		r.after(time.Second)
		r.spool.fail(spool.ErrClosed)
		if err := <-r.err; !errors.Is(err, spool.ErrClosed) {
			t.Errorf("ended with %v", err)
		}
		r.err <- nil
		if r.spool.confirmed != 10 {
			t.Errorf("%d are confirmed", r.spool.confirmed)
		}
	})
}

func TestTheLagIsMeasured(t *testing.T) {
	var asked int
	inBubble(t, func(t *testing.T, r *rig) {
		r.append(0, 1000)
		r.after(10 * time.Second)
		r.append(1000, 1001)
		r.after(10 * time.Second)
		registry := r.registry
		if err := registry.Register(r.ledger); err != nil {
			t.Fatal(err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() != "auditquery_ingest_lag_seconds" {
				continue
			}
			h := family.GetMetric()[0].GetHistogram()
			// A second in the sender, 50 ms of lingering but for the first,
			// 600 ms until the third question finds it.
			if h.GetSampleCount() != 2 || h.GetSampleSum() < 2.8 || h.GetSampleSum() > 3.4 {
				t.Errorf("%d samples, sum %v", h.GetSampleCount(), h.GetSampleSum())
			}
		}
		if asked != 6 {
			t.Errorf("asked %d times", asked)
		}
	}, func(o *Options) {
		o.Searchable = func(context.Context, record.Kind, record.ID, record.Timestamp) (bool, error) {
			asked++
			if asked%3 == 1 {
				return false, errors.New("the store is busy")
			}
			return asked%3 == 0, nil
		}
	})
}

func TestOptionsThatCannotWork(t *testing.T) {
	whole := Options{Spool: newFakeSpool(), Writer: &fakeStore{}, Letters: &fakeLetters{}, Ledger: ledger.New(nil), Log: logr.Discard()}
	if _, err := New(whole); err != nil {
		t.Error(err)
	}
	for name, modify := range map[string]func(*Options){
		"no spool":   func(o *Options) { o.Spool = nil },
		"no store":   func(o *Options) { o.Writer = nil },
		"no letters": func(o *Options) { o.Letters = nil },
		"no ledger":  func(o *Options) { o.Ledger = nil },
	} {
		o := whole
		modify(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
