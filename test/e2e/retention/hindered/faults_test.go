package hindered_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	eraser "auditquery.dev/auditquery/controllers/retention"
	"auditquery.dev/auditquery/test/e2e/retention/trail"
	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/faults"
)

// hindrance is something that gets in the way of a run and ends.
type hindrance struct {
	begin, end func(*testing.T)
	// lists is how often holds are listed before it ends by itself; 0: it lasts as
	// long as the run.
	lists int
	// passable: a run may come to its end in spite of it.
	passable bool
}

// TestElasticsearchFailsInTheMiddle has each fault begin before one of the first
// batches of a run, while records arrive.
func TestElasticsearchFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	cluster := shared.Cluster(t)
	proxy, err := faults.Start(cluster.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	o := newObstacle(t, cluster, proxy.URL(), "faults")
	set := func(f faults.Fault) func(*testing.T) {
		return func(t *testing.T) {
			if err := proxy.Set(f); err != nil {
				t.Error(err)
			}
		}
	}
	block := func(pattern, block string, on bool) func(*testing.T) {
		return func(t *testing.T) { setBlock(t, cluster, pattern, block, on) }
	}
	fault := func(f faults.Fault) hindrance { return hindrance{begin: set(f), end: set(faults.Fault{})} }
	slow := fault(faults.Fault{Delay: 300 * time.Millisecond})
	slow.lists, slow.passable = 6, true
	tooSlow := fault(faults.Fault{Delay: 2 * patience})
	searches := fault(faults.Fault{Kind: faults.Hang, SearchesOnly: true})
	searches.lists = 8
	for what, h := range map[string]hindrance{
		"it takes no connection":           fault(faults.Fault{Kind: faults.Refuse}),
		"it has no time":                   fault(faults.Fault{Kind: faults.Rejected}),
		"connections break":                fault(faults.Fault{Kind: faults.Cut}),
		"answers end too early":            fault(faults.Fault{Kind: faults.MissingBody}),
		"answers are cut":                  fault(faults.Fault{Kind: faults.ShortBody}),
		"answers are pages for people":     fault(faults.Fault{Kind: faults.NotJSON}),
		"searches see half of the records": fault(faults.Fault{Kind: faults.FailedShard}),
		"searches have not enough time":    fault(faults.Fault{Kind: faults.TimedOut}),
		"searches are not answered":        searches,
		"it is slow":                       slow,
		"it is slower than anybody waits":  tooSlow,
		"its disk is full": {
			begin: block(o.all(), "read_only_allow_delete", true), end: block(o.all(), "read_only_allow_delete", false),
		},
		"its disk is full but for our state": {
			begin: block(o.all()+",-"+o.w.Place.IndexPrefix+"-state", "read_only_allow_delete", true),
			end:   block(o.all(), "read_only_allow_delete", false),
		},
		"an operator has made it read-only": {
			begin: block(o.all(), "read_only", true), end: block(o.all(), "read_only", false),
		},
	} {
		t.Run(what, func(t *testing.T) { o.hinder(t, h) })
	}
}

// patience is that of the eraser's store for one request.
const patience = 2 * time.Second

// obstacle is a world whose eraser has a way of its own to Elasticsearch.
type obstacle struct {
	w       *trail.World
	through trail.Store
	cluster *elastic.Cluster
}

func newObstacle(t *testing.T, cluster *elastic.Cluster, url, prefix string) *obstacle {
	t.Helper()
	o := &obstacle{w: trail.NewWorld(t, place(cluster, prefix), records), cluster: cluster}
	var err error
	if o.through, err = (trail.Place{URL: url, IndexPrefix: prefix, Patience: patience}).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.through.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

// all is the pattern of the world's indices.
func (o *obstacle) all() string { return o.w.Place.IndexPrefix + "-*" }

// hinder lets a month pass and puts something in the way of its run.
func (o *obstacle) hinder(t *testing.T, h hindrance) {
	const small, early = 20, 6
	w := o.w
	w.MonthPasses(t)
	e := w.Eraser(t, func(options *eraser.EraserOptions) { options.Store, options.BatchSize = o.through, small })
	start, listed, over := 2+w.Random.IntN(early), 0, false
	w.API.Listed = func() {
		switch listed++; {
		case listed == start:
			h.begin(t)
		case h.lists > 0 && listed == start+h.lists:
			h.end(t)
			over = true
		}
	}
	stop := w.Write(t)
	began := time.Now()
	_, err := trail.Finished(t.Context(), e)
	took := time.Since(began)
	stop()
	w.API.Listed = nil
	if !over {
		h.end(t)
	}
	if listed < start {
		t.Fatalf("the run ended before it was hindered: %v", err)
	}
	if err == nil && !h.passable {
		t.Error("the run says that it was finished")
	}
	t.Logf("after %s: %v", took.Round(time.Millisecond), err)
	before := w.Verify(t, false)
	after := w.Finish(t, e)
	t.Logf("%d records went in spite of it, %d later", before.Erased, after.Erased)
}

// TestElasticsearchDiesInTheMiddle kills it during a run and starts it again.
func TestElasticsearchDiesInTheMiddle(t *testing.T) {
	t.Parallel()
	cluster := elastic.StartForTest(t, elastic.Options{JavaOptions: []string{"-XX:TieredStopAtLevel=1"}})
	o := newObstacle(t, cluster, cluster.URL(), "dies")
	node := cluster.Nodes()[0]
	o.hinder(t, hindrance{
		begin: func(t *testing.T) {
			if err := node.Kill(); err != nil {
				t.Error(err)
			}
		},
		end: func(t *testing.T) {
			if err := node.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := cluster.Do(t.Context(), http.MethodGet, fmt.Sprintf("/_cluster/health/%s?wait_for_status=yellow&timeout=60s", o.all()), nil); err != nil {
				t.Fatal(err)
			}
		},
	})
}
