package disk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/faults"
	"auditquery.dev/auditquery/test/receiver"
)

const (
	mib = 1 << 20
	// batch is how many events a request holds, some 200 kB.
	batch = 200
	// plenty is more than any disk of these tests holds.
	plenty = 1_000_000
	// smallSegments has the spool give space back in small parts.
	smallSegments = "--spool-segment-bytes=4Mi"
)

// TestTheDiskFills fills the disk below the spool while the store is away: by
// something else first, then by the spool itself.
func TestTheDiskFills(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	d := mountDisk(t, 28*mib)
	p := newPlace(t, "disk-fills", faults.Fault{Kind: faults.Refuse}, receiver.Options{
		SpoolDir: filepath.Join(d.path, "spool"), Args: []string{smallSegments},
	})
	p.wantReady(t, http.StatusOK)
	giveBack := d.leave(t, 10*mib)

	p.wantFull(t)
	first := p.acknowledged.Len()
	if first == 0 {
		t.Fatal("nothing was acknowledged before the disk was full")
	}
	p.wantStillFull(t)
	t.Run("a receiver that starts on a full disk", func(t *testing.T) {
		p.kill(t)
		if err := p.Launch(); err != nil {
			t.Fatal(err)
		}
		if err := p.Process().WaitUntil(t.Context(), "the receiver lives", p.live); err != nil {
			t.Fatal(err)
		}
		p.wantFull(t)
		p.wantStillFull(t)
	})

	giveBack()
	// Nobody sends to a receiver that is not ready, so it must find out by itself.
	await.Nil(t, "it is ready, for there is space again", p.ready)
	if a := p.post(t, batch); a.status != http.StatusOK {
		t.Fatalf("with space again the answer is %s", a)
	}
	if got := p.counted(t); got.Stored != 0 || got.InSpool == 0 {
		t.Errorf("the store was to be away: %+v", got)
	}

	p.wantFull(t)
	if p.acknowledged.Len() < 2*first {
		t.Errorf("the disk took %d events, and %d when less than half of it was free", p.acknowledged.Len(), first)
	}
	p.set(t, faults.Fault{})
	await.Nil(t, "it is ready, for the spool has given space back", p.ready)
	if a := p.post(t, batch); a.status != http.StatusOK {
		t.Errorf("with the store back the answer is %s", a)
	}
	counted := p.wantWhole(t)
	t.Logf("%d of %d events were acknowledged; the last process: %+v", p.acknowledged.Len(), p.sent.Len(), counted)
	await.Nil(t, "the spool has given its space back", func(context.Context) error {
		if free := d.free(t); free < 20*mib {
			return fmt.Errorf("%d bytes are free", free)
		}
		return nil
	})
}

// wantFull sends until the disk is full, of which the sender and whoever asks for
// readiness are told.
func (p *place) wantFull(t *testing.T) {
	t.Helper()
	p.postUntil(t, batch, plenty).wantRefused(t)
	p.wantReady(t, http.StatusServiceUnavailable)
	if err := p.live(t.Context()); err != nil {
		t.Error(err)
	}
}

// wantStillFull sends some more. A small batch may still find room where a larger
// one did not.
func (p *place) wantStillFull(t *testing.T) {
	t.Helper()
	const tries = 20
	refused := 0
	for range tries {
		if a := p.post(t, batch); a.status != http.StatusOK {
			a.wantRefused(t)
			refused++
		}
	}
	if refused < tries-1 {
		t.Errorf("a full disk refused %d of %d batches", refused, tries)
	}
	if err := p.counted(t).Check(); err != nil {
		t.Error(err)
	}
}

// ready is nil when the receiver takes records.
func (p *place) ready(ctx context.Context) error {
	status, err := p.Ready(ctx)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/readyz answers %d", status)
	}
	return err
}

// counted is what the receiver says of itself.
func (p *place) counted(t *testing.T) receiver.Metrics {
	t.Helper()
	metrics, err := p.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return metrics
}

// TestTheDiskOfTheDeadLettersFills: what cannot be put aside is not acknowledged,
// and what was acknowledged stays in the spool until it can be.
func TestTheDiskOfTheDeadLettersFills(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	d := mountDisk(t, 2*mib)
	p := newPlace(t, "letters-fill", faults.Fault{}, receiver.Options{DeadLetterDir: filepath.Join(d.path, "letters")})
	if a := p.post(t, batch); a.status != http.StatusOK {
		t.Fatal(a)
	}
	giveBack := d.leave(t, 0)

	p.postBody(t, p.poisoned()).wantRefused(t)
	if a := p.post(t, batch); a.status != http.StatusOK {
		t.Errorf("events that need no dead letter are answered %s", a)
	}
	if a := p.postBody(t, p.altered(7)); a.status != http.StatusOK {
		t.Fatalf("an event with an id that is taken is answered %s", a)
	}
	if a := p.post(t, batch); a.status != http.StatusOK {
		t.Fatal(a)
	}
	await.Nil(t, "all but the collision are stored", func(context.Context) error {
		if got := p.counted(t); got.InSpool != 1 || got.DeadLettered != 0 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	p.wantReady(t, http.StatusOK)

	giveBack()
	await.Nil(t, "the collision is put aside", func(context.Context) error {
		got := p.counted(t)
		if got.InSpool != 0 || got.DeadLetters["collision"] != 1 {
			return fmt.Errorf("%+v", got)
		}
		return got.Check()
	})
	if a := p.postBody(t, p.poisoned()); a.status != http.StatusOK {
		t.Errorf("with space again a batch with a malformed event is answered %s", a)
	}
	counted, report := p.drained(t)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if counted.DeadLetters["malformed"] != 1 || counted.DeadLettered != 2 {
		t.Errorf("dead letters: %v", counted.DeadLetters)
	}
}

// poisoned is a list of a malformed event between two that were sent before.
func (p *place) poisoned() []byte {
	return builders.EventList(p.source.Event(0), json.RawMessage(`{"auditID":"poison","stage":7}`), p.source.Event(1))
}

// altered is a list of one event: another one with the identity of a number.
func (p *place) altered(n int) []byte {
	event := p.source.Event(n)
	event.ResponseStatus.Code = 418
	return builders.EventList(event)
}
