package durability_test

import (
	"context"
	"io/fs"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/faults"
	"auditquery.dev/auditquery/test/receiver"
	"auditquery.dev/auditquery/test/sender"
)

func TestElasticsearchIsAway(t *testing.T) {
	c := shared.Cluster(t)
	if len(c.Nodes()) == 0 {
		t.Skipf("the node of %s is not ours to stop", elastic.TestURLEnv)
	}
	node := c.Nodes()[0]
	w := newWorld(t, c, c.URLs())
	const rate = 1000
	s := w.send(t, sender.Options{Source: w.events(rate), Rate: rate, Writers: 4, Batch: 100})
	w.until(t, "records are stored", func(m receiver.Metrics) bool { return m.Stored > 2*rate })

	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	outage := either(60*time.Second, 10*time.Minute)
	letPass(t, outage)
	wantOnlySuccess(t, s)
	before, err := w.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status, err := w.Ready(t.Context()); err != nil || status != http.StatusOK {
		t.Errorf("without its store the receiver says of its readiness: %d, %v", status, err)
	}
	t.Logf("after %s without Elasticsearch %d records, %d MB, are in the spool, the oldest is %s old",
		outage, before.InSpool, before.SpoolBytes>>20, before.OldestAge.Round(time.Second))
	restarted := make(chan error, 1)
	go func() { restarted <- node.Restart(context.WithoutCancel(t.Context())) }()
	w.catchUp(t, before, rate)
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	w.finish(t)
	wantOnlySuccess(t, s)
	w.wantAllStored(t)
}

// catchUp measures how fast the spool empties while records go on to arrive. That it
// does is what is asked for here; how fast depends on what else the machine does.
func (w *world) catchUp(t *testing.T, before receiver.Metrics, rate int64) {
	t.Helper()
	// The first answers come from a store that has just started.
	first := w.until(t, "the first record is stored again", func(m receiver.Metrics) bool { return m.Shipped() > before.Shipped() })
	began := time.Now()
	last := w.until(t, "the spool is empty but for what has just arrived", func(m receiver.Metrics) bool { return m.InSpool < rate })
	took := time.Since(began)
	shipped, arrived := last.Shipped()-first.Shipped(), last.Acknowledged-first.Acknowledged
	if arrived <= 0 || shipped <= arrived {
		t.Fatalf("%d records were shipped and %d arrived in %s", shipped, arrived, took)
	}
	t.Logf("caught up with %d records in %s: %.0f/s were shipped while %.0f/s arrived, %.1f times as many",
		first.InSpool, took.Round(100*time.Millisecond), float64(shipped)/took.Seconds(), float64(arrived)/took.Seconds(),
		float64(shipped)/float64(arrived))
}

func TestTheSpoolIsFull(t *testing.T) {
	c := shared.Cluster(t)
	proxy, err := faults.Start(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := proxy.Set(faults.Fault{Kind: faults.Refuse}); err != nil {
		t.Fatal(err)
	}
	const most = 8 << 20
	w := newWorld(t, c, []string{proxy.URL()}, "--spool-max-bytes=8Mi", "--spool-segment-bytes=1Mi")
	events := w.send(t, sender.Options{Source: w.events(0), Writers: 4, Batch: 100, Limit: 15_000})
	lines := w.send(t, sender.Options{Source: w.lines(0), Writers: 2, Batch: 50, Limit: 5_000})
	refused := func(s *sender.Sender) int {
		c := s.Counts()
		return c.Answers[http.StatusServiceUnavailable] + c.Answers[http.StatusTooManyRequests]
	}
	await.True(t, "both senders are told to come again", func() bool { return refused(events) >= 8 && refused(lines) >= 4 })
	w.wantNotReady(t)
	acknowledged := events.Counts().Acknowledged + lines.Counts().Acknowledged
	if acknowledged == 0 {
		t.Error("nothing was acknowledged before the spool was full")
	}
	// A full spool is not in the way of a start either.
	if err := w.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := w.Launch(); err != nil {
		t.Fatal(err)
	}
	w.wantNotReady(t)
	// Beside the records there is only what it knows of them.
	if size := sizeOf(t, w.SpoolDir()); size > most+most/16 {
		t.Errorf("the folder of the spool has %d bytes, its bound is %d", size, most)
	}
	if err := proxy.Set(faults.Fault{}); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := w.finish(t)
	for what, s := range map[string]*sender.Sender{"events": events, "records": lines} {
		if c := s.Counts(); c.WithoutRetryAfter > 0 {
			t.Errorf("the sender of %s was not told when to come again: %s", what, c)
		}
	}
	t.Logf("%d events were acknowledged when the spool was full, %d were found after a restart, %d shipped since",
		acknowledged, m.Found, m.Shipped())
	w.wantAllStored(t)
}

func (w *world) wantNotReady(t *testing.T) {
	t.Helper()
	await.True(t, "the receiver says that it is not ready", func() bool {
		status, err := w.Ready(t.Context())
		return err == nil && status == http.StatusServiceUnavailable
	})
}

// sizeOf adds the sizes of the files below dir, which may disappear meanwhile.
func sizeOf(t *testing.T, dir string) int64 {
	t.Helper()
	var size int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if info, err := entry.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}
