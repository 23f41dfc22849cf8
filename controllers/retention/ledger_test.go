package retention

import (
	"errors"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

// holdNames are those that are remembered.
func holdNames(seen observation) string {
	var names []string
	for _, state := range seen.memory.Holds() {
		names = append(names, state.Name+" "+string(state.Phase))
	}
	return strings.Join(names, ", ")
}

func TestWhatAnotherProcessRememberedIsNotOverwritten(t *testing.T) {
	b := newBench(t)
	ours, theirs := b.eraser(t).ledger, b.eraser(t).ledger
	b.api.holds = []retention.Hold{hold("first")}
	overtaken := false
	b.store.watch(func(call string) error {
		if call == "write "+ledgerNote && !overtaken {
			// Another process sees a hold, and writes before we do.
			overtaken = true
			b.api.change(func(a *fakeAPI) { a.holds = append(a.holds, hold("second")) })
			if _, err := theirs.observe(t.Context()); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	seen, err := ours.observe(t.Context())
	if err != nil || holdNames(seen) != "first Pending, second Pending" {
		t.Errorf("%q, %v", holdNames(seen), err)
	}
	// What only they saw is missed by us as well.
	b.api.change(func(a *fakeAPI) { a.holds = nil })
	if seen, err = ours.observe(t.Context()); err != nil || holdNames(seen) != "first Missing, second Missing" {
		t.Errorf("%q, %v", holdNames(seen), err)
	}
}

func TestAnObservationThatIsAlwaysOvertakenFails(t *testing.T) {
	b := newBench(t)
	b.api.holds = []retention.Hold{hold("first")}
	b.store.watch(func(call string) error {
		if call == "write "+ledgerNote {
			return &store.Error{Reason: store.Conflict, Op: "write", Message: "another version is there"}
		}
		return nil
	})
	if _, err := b.eraser(t).ledger.observe(t.Context()); err == nil {
		t.Error("there was no error")
	}
	if n := b.store.made("write " + ledgerNote); n != maxLedgerTries {
		t.Errorf("%d tries", n)
	}
}

func TestANoteThatCannotBeReadForgetsNothing(t *testing.T) {
	b := newBench(t)
	b.api.holds = []retention.Hold{hold("first")}
	b.settle(t)
	note, err := b.store.ReadNote(t.Context(), ledgerNote)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.WriteNote(t.Context(), ledgerNote, []byte("{"), note.Version); err != nil {
		t.Fatal(err)
	}
	if seen, err := b.eraser(t).ledger.observe(t.Context()); err == nil {
		t.Errorf("what cannot be read was read as %q", holdNames(seen))
	}
	if after, err := b.store.ReadNote(t.Context(), ledgerNote); err != nil || string(after.Data) != "{" {
		t.Errorf("the note is %q now, %v", after.Data, err)
	}
}

func TestSeeingTheSameAgainWritesNothing(t *testing.T) {
	b := newBench(t, policy("default"))
	b.settle(t)
	b.settle(t) // The change has settled, which is worth a write.
	b.store.watch(nil)
	l := b.eraser(t).ledger
	for range 3 {
		if _, err := l.observe(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.clock.SetTime(b.clock.Now().Add(time.Second))
	}
	if n := b.store.made("write " + ledgerNote); n > 1 {
		t.Errorf("%d writes", n)
	}
}

func TestAnAPIThatFailsIsNotAnEmptyOne(t *testing.T) {
	b := newBench(t)
	b.api.holds = []retention.Hold{hold("first")}
	b.settle(t)
	b.api.change(func(a *fakeAPI) { a.holds, a.err = nil, errors.New("the API server is down") })
	if _, err := b.eraser(t).ledger.observe(t.Context()); err == nil {
		t.Error("there was no error")
	}
	b.api.change(func(a *fakeAPI) { a.err = ErrNotServed })
	seen, err := b.eraser(t).ledger.observe(t.Context())
	if err != nil || !seen.noHolds || holdNames(seen) != "first Missing" {
		t.Errorf("%q, %t, %v", holdNames(seen), seen.noHolds, err)
	}
}
