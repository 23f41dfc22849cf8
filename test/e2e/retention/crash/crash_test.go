// Package crash_test kills the eraser at random moments of its runs, on both stores,
// while records go on to arrive: nothing is ever gone that was not due, and whoever
// runs next finishes with exactly what the rules leave.
package crash_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"auditquery.dev/auditquery/test/e2e/retention/trail"
	"auditquery.dev/auditquery/test/elastic"
)

const (
	// kills is how often the eraser dies on each store.
	kills = 50
	// records are there at first.
	records = 8000
)

var shared = elastic.NewShared(elastic.Options{})

func TestMain(m *testing.M) {
	if path := os.Getenv(orderEnv); path != "" {
		os.Exit(erase(path))
	}
	os.Exit(shared.Run(m))
}

func TestKilledAtRandomMomentsItErasesNothingElseAndFinishes(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		place := trail.Place{Path: filepath.Join(t.TempDir(), "records.db")}
		kill(t, newWorld(t, place, place), afterCalls)
	})
	t.Run("Elasticsearch", func(t *testing.T) {
		cluster := shared.Cluster(t)
		g := trail.NewTrigger(t, cluster.URL())
		w := newWorld(t, trail.Place{URL: cluster.URL(), IndexPrefix: "crash"}, trail.Place{URL: g.URL(), IndexPrefix: "crash"})
		kill(t, w, atRequest(g))
	})
}

// kill kills the eraser until it has died often enough. Each time that it comes to
// the end a month passes, and there is more to erase.
func kill(t *testing.T, w *world, murder murderer) {
	died, finished, worked, began := 0, 0, 0, time.Now()
	for died < kills {
		done := w.life(t, murder)
		if w.Verify(t, false).Erased > 0 {
			worked++
		}
		if !done {
			died++
			continue
		}
		w.finish(t)
		finished++
		w.MonthPasses(t)
	}
	w.finish(t)
	t.Logf("in %s it was killed %d times and came to the end %d times; in %d of these lives something was erased; "+
		"%d records arrived meanwhile, %d were refused; %d are left", time.Since(began).Round(time.Second),
		died, finished, worked, w.Arrived.Load(), w.Refused.Load(), w.Trail.Len())
	if worked < kills/5 || finished == 0 {
		t.Error("that proves little")
	}
}
