package hindered_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	eraser "auditquery.dev/auditquery/controllers/retention"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/test/e2e/retention/trail"
)

// TestAHoldThatArrivesDuringARunIsHonoured has a hold appear before a batch, as often
// as a run allows. What it holds and was still there then stays.
func TestAHoldThatArrivesDuringARunIsHonoured(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		holdsArrive(t, trail.Place{Path: filepath.Join(t.TempDir(), "records.db")})
	})
	t.Run("Elasticsearch", func(t *testing.T) { holdsArrive(t, place(shared.Cluster(t), "arrival")) })
}

func holdsArrive(t *testing.T, at trail.Place) {
	const months, small, often, most = 4, 20, 12, 4
	w := trail.NewWorld(t, at, records)
	e := w.Eraser(t, func(o *eraser.EraserOptions) { o.BatchSize = small })
	arrived, held := 0, 0
	for range months {
		next, left := 1+w.Random.IntN(often), most
		w.API.Listed = func() {
			if next--; next != 0 || left == 0 {
				return
			}
			left--
			next = 1 + w.Random.IntN(often)
			w.Verify(t, false)
			arrived++
			h := anyHold(w, fmt.Sprintf("arrival-%d", arrived))
			held += len(w.Trail.Select(func(r record.Record) bool { return w.Due(r) && h.Spec.Holds(r) }))
			w.Declared.Holds = append(w.Declared.Holds, h)
			w.Declare()
		}
		w.Finish(t, e)
		w.API.Listed = nil
		release(w)
		w.Finish(t, e)
		w.MonthPasses(t)
	}
	t.Logf("%d holds arrived during runs, and held %d records that would have gone", arrived, held)
	if arrived < months || held == 0 {
		t.Error("that proves little")
	}
}

// anyHold is of two persons' records of half a year.
func anyHold(w *trail.World, name string) retention.Hold {
	from := w.Clock.Now().AddDate(0, -3-w.Random.IntN(12), 0)
	return trail.Hold(name, func(h *retention.HoldSpec) {
		h.UserIDs = []string{trail.User(w.Random.IntN(trail.Users)), trail.User(w.Random.IntN(trail.Users))}
		h.From, h.To = from, from.AddDate(0, 6, 0)
	})
}

// release has the holds that arrived be deleted, and takes away those that were
// deleted a month ago.
func release(w *trail.World) {
	arrived := func(h retention.Hold) bool { return strings.HasPrefix(h.Name, "arrival-") }
	w.Declared.Holds = slices.DeleteFunc(w.Declared.Holds, func(h retention.Hold) bool { return arrived(h) && h.Deleting })
	for i := range w.Declared.Holds {
		h := &w.Declared.Holds[i]
		h.Deleting = h.Deleting || arrived(*h)
	}
	w.Declare()
}
