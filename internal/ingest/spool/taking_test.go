package spool

import (
	"slices"
	"testing"
)

// TestTheProgressWhileEntriesAreTaken stops between reading an entry and giving it out: a
// progress that is written at that moment must not call it confirmed. A crash after it
// would lose the entry.
func TestTheProgressWhileEntriesAreTaken(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	var b Batch
	b.Add(func(dst []byte) []byte { return append(dst, "an entry"...) })
	if err := s.Append(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	f, more, err := s.step(true)
	if err != nil || !more || !f.ok {
		t.Fatalf("%+v, %v: %v", f, more, err)
	}
	s.reader.off, s.reader.last = f.end, f.seq // as collect has it in hand
	if _, more, err := s.step(false); err != nil || more {
		t.Fatalf("there is more than was appended (%v)", err)
	}
	if p := s.progressNow(); p.next > f.seq && !slices.Contains(p.outstanding, f.seq) {
		t.Errorf("entry %d is in hand, and the progress says that all before %d are confirmed but %v", f.seq, p.next, p.outstanding)
	}
}
