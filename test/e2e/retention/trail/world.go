package trail

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	eraser "auditquery.dev/auditquery/controllers/retention"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/retention/oracle"
)

// Began is when a World begins. Its policies have been there for a month then, and
// its oldest records are 14 months old.
func Began() time.Time { return time.Date(2021, 3, 31, 10, 30, 0, 0, time.UTC) }

// monthly is how many records each month brings.
const monthly = 300

// World is a store with records of 14 months, under three policies and a hold, in
// which months pass when they are told to.
type World struct {
	Place    Place
	Store    Store
	Trail    *Trail
	Maker    *Maker
	API      *API
	Clock    *clocktesting.FakePassiveClock
	Random   *rand.Rand
	Declared Declared

	// Arrived were stored while an eraser ran, Refused were not.
	Arrived, Refused atomic.Int64

	oracle *oracle.Oracle
	months int
}

// NewWorld fills a store with records.
func NewWorld(t testing.TB, place Place, records int) *World {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("what is random is drawn from %d", seed)
	opened, err := place.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	began := Began()
	seen := began.AddDate(0, -1, 0)
	w := &World{
		Place: place, Store: opened, Trail: New(), Maker: NewMaker(seed), API: NewAPI(Declared{}),
		Clock: clocktesting.NewFakePassiveClock(seen), Random: rand.New(rand.NewPCG(seed, 1)), Declared: declared(),
		oracle: &oracle.Oracle{},
	}
	w.append(t, w.Maker.Between(records, began.AddDate(0, -14, 0), began))
	w.Declare()
	w.Finish(t, w.Eraser(t))
	w.Clock.SetTime(began)
	w.Declare()
	return w
}

// declared has a policy for all, one with a floor for some, and one with a duty to
// erase that contradicts it for the orgs 3 and 4.
func declared() Declared {
	return Declared{
		Policies: []retention.Policy{
			Policy("default", "7mo"),
			Policy("payments", "12mo", func(r *retention.Rule) { r.OrgIDs, r.MinKeep = Named(0, 4), Age("9mo") }),
			Policy("duty-to-erase", "60d", func(r *retention.Rule) {
				r.Kinds, r.OrgIDs, r.MaxKeep = []record.Kind{record.KindAuthAudit}, Named(3, 10), Age("3mo")
			}),
		},
		Holds: []retention.Hold{Hold("fraud", func(h *retention.HoldSpec) {
			h.OrgIDs, h.UserIDs = Named(0, 8), []string{User(3), User(4)}
			h.From, h.To = Began().AddDate(0, -12, 0), Began().AddDate(0, -6, 0)
		})},
	}
}

// Declare has the API, and the oracle, see what is declared now.
func (w *World) Declare() {
	w.API.Set(w.Declared)
	w.oracle.Observe(w.Declared.Policies, w.Declared.Holds, w.Clock.Now())
}

// Eraser is one that works here, in small batches.
func (w *World) Eraser(t testing.TB, modify ...func(*eraser.EraserOptions)) *eraser.Eraser {
	t.Helper()
	e, err := NewEraser(w.Store, w.API, w.Clock, modify...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Finish runs an eraser to its end, and compares all records.
func (w *World) Finish(t testing.TB, e *eraser.Eraser) Report {
	t.Helper()
	if _, err := Finished(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return w.Verify(t, true)
}

// Verify compares all records with what the rules leave; with done, those that are
// due have to be gone.
func (w *World) Verify(t testing.TB, done bool) Report {
	t.Helper()
	if err := w.Place.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := w.Trail.Verify(t.Context(), w.Store, Rule{Due: w.Due, Done: done})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// Due tells whether the rules let a record go now.
func (w *World) Due(r record.Record) bool { return w.oracle.Due(r, w.Clock.Now()) }

// MonthPasses brings records, some of them late, and changes holds.
func (w *World) MonthPasses(t testing.TB) {
	t.Helper()
	before := w.Clock.Now()
	now := before.AddDate(0, 1, 0)
	w.Clock.SetTime(now)
	w.months++
	w.append(t, append(w.Maker.Between(monthly, before, now), w.Maker.Late(monthly/10, now.AddDate(0, -14, 0), now)...))
	const name = "case"
	switch w.months % 4 {
	case 1:
		w.Declared.Holds = append(w.Declared.Holds, Hold(name, func(h *retention.HoldSpec) {
			h.UserIDs = []string{User(w.Random.IntN(Users))}
			h.From = now.AddDate(0, -w.Random.IntN(14), 0)
			h.To = h.From.AddDate(0, 3, 0)
		}))
	case 3:
		w.Declared.Hold(name).Deleting = true
	case 0:
		w.Declared.DropHold(name)
	}
	w.Declare()
}

func (w *World) append(t testing.TB, records []record.Record) {
	t.Helper()
	if err := w.Trail.AppendAll(t.Context(), w.Store, records); err != nil {
		t.Fatal(err)
	}
	if err := w.Place.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Write has records of any time arrive, one after the other, until it is stopped.
func (w *World) Write(t testing.TB) (stop func()) {
	const pause = 10 * time.Millisecond
	maker, now := NewMaker(w.Random.Uint64()), w.Clock.Now()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			// Not ctx: it would leave in doubt what is stored.
			refused, err := w.Trail.Append(t.Context(), w.Store, maker.Between(1, now.AddDate(0, -14, 0), now))
			if err != nil {
				t.Errorf("a record that arrives while an eraser runs: %v", err)
				return
			}
			w.Arrived.Add(int64(1 - refused))
			w.Refused.Add(int64(refused))
			LetPass(ctx, pause)
		}
	})
	return func() { cancel(); running.Wait() }
}

// LetPass waits for so long: for tests about a random moment.
func LetPass(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
