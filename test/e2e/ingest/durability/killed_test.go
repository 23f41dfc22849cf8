package durability_test

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"auditquery.dev/auditquery/test/faults"
	"auditquery.dev/auditquery/test/sender"
)

// killer ends a receiver again and again, at moments that are drawn.
type killer struct {
	*world
	random *rand.Rand
	proxy  *faults.Proxy
}

func TestKilledAtRandomMomentsItLosesNothing(t *testing.T) {
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
	seed := rand.Uint64()
	t.Logf("the moments are drawn from %d", seed)
	// Small segments, so that kills meet their ends as well.
	k := killer{world: newWorld(t, c, []string{proxy.URL()}, "--spool-segment-bytes=1Mi"), proxy: proxy,
		random: rand.New(rand.NewPCG(seed, 1))}
	const eventRate, lineRate = 600, 200
	events := k.send(t, sender.Options{Source: k.events(eventRate), Rate: eventRate, Writers: 4, Batch: 20})
	lines := k.send(t, sender.Options{Source: k.lines(lineRate), Rate: lineRate, Writers: 2, Batch: 10, Gzip: true})

	kills, began := either(50, 500), time.Now()
	lives := 0
	for range kills {
		before := events.Counts().Acknowledged + lines.Counts().Acknowledged
		k.kill(t)
		if events.Counts().Acknowledged+lines.Counts().Acknowledged > before {
			lives++
		}
		k.fault(t)
		if err := k.Launch(); err != nil {
			t.Fatal(err)
		}
	}
	if err := proxy.Set(faults.Fault{}); err != nil {
		t.Fatal(err)
	}
	if err := k.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills in %s; in %d of these lives something was acknowledged", kills, time.Since(began).Round(time.Second), lives)
	if lives < kills/5 {
		t.Errorf("in %d of %d lives something was acknowledged: the others prove little", lives, kills)
	}
	m := k.finish(t)
	t.Logf("the last one found %d records in its spool and shipped %d, %d of them again; events: %s; records: %s",
		m.Found, m.Shipped(), m.Duplicate, events.Counts(), lines.Counts())
	k.wantAllStored(t)
}

// kill ends the receiver: mostly while it works, now and then while it starts or
// while it stops, and seldom so late that it has put down what is confirmed.
func (k killer) kill(t *testing.T) {
	t.Helper()
	switch n := k.random.IntN(24); {
	case n < 7:
		letPass(t, k.upTo(400*time.Millisecond))
	case n == 7:
		letPass(t, k.upTo(8*time.Second))
	case n < 13:
		if err := k.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		letPass(t, k.upTo(300*time.Millisecond))
		if err := k.Process().Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		letPass(t, k.upTo(200*time.Millisecond))
	default:
		if err := k.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		letPass(t, k.upTo(800*time.Millisecond))
	}
	if err := k.Kill(); err != nil {
		t.Fatal(err)
	}
}

func (k killer) upTo(most time.Duration) time.Duration {
	return time.Duration(k.random.Int64N(int64(most)))
}

// fault changes how well the store answers until the next kill. Answers that get
// lost are the worst: what is in the store already is shipped again.
func (k killer) fault(t *testing.T) {
	t.Helper()
	kinds := []faults.Kind{
		faults.Pass, faults.Pass, faults.Pass, faults.Pass, faults.Pass, faults.Cut, faults.MissingBody, faults.Rejected, faults.Refuse,
	}
	if err := k.proxy.Set(faults.Fault{Kind: kinds[k.random.IntN(len(kinds))]}); err != nil {
		t.Fatal(err)
	}
}
