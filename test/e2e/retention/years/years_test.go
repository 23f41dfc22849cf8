// Package years_test lets three years pass over the records of forty organisations,
// on both stores: policies and holds come, change and go, records arrive late, and
// after each run the store holds exactly what the six rules leave.
package years_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	eraser "auditquery.dev/auditquery/controllers/retention"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention/oracle"
	"auditquery.dev/auditquery/test/e2e/retention/trail"
	"auditquery.dev/auditquery/test/elastic"
)

// records is how many there are, in all three years and the one before.
const records = 200_000

var shared = elastic.NewShared(elastic.Options{})

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

func TestAfterEachStepOfThreeYearsTheStoreHoldsWhatTheRulesLeave(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel() // Elasticsearch has waits of its own
		live(t, trail.Place{Path: filepath.Join(t.TempDir(), "records.db")})
	})
	t.Run("Elasticsearch", func(t *testing.T) {
		t.Parallel()
		cluster := shared.Cluster(t)
		foreign := notOurs(t, cluster)
		live(t, trail.Place{URL: cluster.URL(), IndexPrefix: "years"})
		for _, index := range foreign {
			if _, err := cluster.Do(t.Context(), http.MethodGet, "/"+index, nil); err != nil {
				t.Errorf("an index that is not ours: %v", err)
			}
		}
	})
}

// notOurs makes indices that are none of ours, though their names are much alike.
func notOurs(t *testing.T, cluster *elastic.Cluster) []string {
	t.Helper()
	names := []string{"years-audits-2019.03", "yearsaudit-2019.03", "other-audit-2019.03"}
	for _, name := range names {
		if _, err := cluster.Do(t.Context(), http.MethodPut, "/"+name, []byte(`{"settings":{"number_of_replicas":0}}`)); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// life is a store and all that happens to it.
type life struct {
	place    trail.Place
	store    *counting
	trail    *trail.Trail
	maker    *trail.Maker
	clock    *clocktesting.FakePassiveClock
	api      *trail.API
	declared trail.Declared
	oracle   *oracle.Oracle
	eraser   *eraser.Eraser
	// until is when the last records were made.
	until time.Time
	// made is how many there are, gone how many of them are erased.
	made, gone int
}

func live(t *testing.T, place trail.Place) {
	l := begin(t, place)
	for _, s := range timeline() {
		t.Run(s.what, func(t *testing.T) { l.step(t, s) })
		if t.Failed() {
			return // what follows would say the same once more
		}
	}
	l.wantAllWays(t)
}

func begin(t *testing.T, place trail.Place) *life {
	t.Helper()
	opened, err := place.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &life{
		place: place, store: &counting{Store: opened}, trail: trail.New(), maker: trail.NewMaker(1),
		clock: clocktesting.NewFakePassiveClock(began), api: trail.NewAPI(trail.Declared{}), oracle: &oracle.Oracle{},
		until: oldest,
	}
	l.eraser, err = trail.NewEraser(l.store, l.api, l.clock, func(o *eraser.EraserOptions) { o.BatchSize = 5000 })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// step lets time pass until an instant, changes something, and runs.
func (l *life) step(t *testing.T, s step) {
	start := time.Now()
	now := s.at()
	l.arrive(t, now)
	arrived := time.Since(start)
	if s.change != nil {
		s.change(&l.declared)
	}
	l.clock.SetTime(now)
	l.api.Set(l.declared)
	l.oracle.Observe(l.declared.Policies, l.declared.Holds, now)
	start = time.Now()
	if _, err := trail.Finished(t.Context(), l.eraser); err != nil {
		t.Fatal(err)
	}
	ran := time.Since(start)
	start = time.Now()
	report, err := l.compare(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d records arrived in %s; %d were erased in %s; %d are left, compared in %s", now.Format(time.DateTime),
		l.made, short(arrived), report.Erased, short(ran), report.Read, short(time.Since(start)))
	if s.nothing && report.Erased > 0 {
		t.Errorf("%d records were erased", report.Erased)
	}
	l.gone += report.Erased
}

// compare walks through the store.
func (l *life) compare(ctx context.Context, now time.Time) (trail.Report, error) {
	if err := l.place.Refresh(ctx); err != nil {
		return trail.Report{}, err
	}
	due := func(r record.Record) bool { return l.oracle.Due(r, now) }
	return l.trail.Verify(ctx, l.store, trail.Rule{Due: due, Done: true})
}

// arrive stores what happened since the last step, a few records that come late, by
// up to three years, and some of exactly the instants that decide.
func (l *life) arrive(t *testing.T, now time.Time) {
	t.Helper()
	steps := timeline()
	first, last := oldest, steps[len(steps)-1].at()
	n := int(float64(records) * now.Sub(l.until).Seconds() / last.Sub(first).Seconds())
	var all []record.Record
	if l.until.Before(now) {
		all = l.maker.Between(n-n/50, l.until, now)
		all = append(all, l.maker.Late(n/50, now.AddDate(-3, 0, 0), now)...)
	}
	for _, p := range l.declared.Policies {
		for _, age := range []interface{ Before(time.Time) time.Time }{p.Rule.Keep, p.Rule.MinKeep, p.Rule.MaxKeep} {
			all = append(all, l.maker.Around(10, age.Before(now), now)...)
		}
	}
	if err := l.trail.AppendAll(t.Context(), l.store, all); err != nil {
		t.Fatal(err)
	}
	if err := l.place.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.made, l.until = l.made+len(all), now
}

// wantAllWays makes sure that the years were worth it.
func (l *life) wantAllWays(t *testing.T) {
	t.Helper()
	t.Logf("of %d records %d were erased; %d stretches were erased at once, %d parts in %d batches",
		l.made, l.gone, l.store.stretches, l.store.parts, l.store.batches)
	if l.made < records || l.gone < records/4 || l.store.stretches == 0 || l.store.parts == 0 {
		t.Error(fmt.Errorf("too little of it to prove anything"))
	}
}

func short(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
