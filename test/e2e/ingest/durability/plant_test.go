package durability_test

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/ingest"
	"auditquery.dev/auditquery/internal/ingest/auth"
	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/ledger"
	"auditquery.dev/auditquery/internal/ingest/ship"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/ingest/spool/spooltest"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store/sqlite"
	"auditquery.dev/auditquery/test/certs"
	"auditquery.dev/auditquery/test/sender"
)

// ownCluster is the receiver's own.
const ownCluster = "local"

// plant is what outlives a power cut: the disk, the store, the machine's address,
// and the senders.
type plant struct {
	disk    *spooltest.Disk
	records *sqlite.Store
	writer  *forgetful
	letters *deadletter.Folder
	senders []*sender.Sender

	front  *front
	server *httptest.Server
	client *http.Client
}

func newPlant(t *testing.T, random *rand.Rand) *plant {
	t.Helper()
	p := &plant{disk: spooltest.New(), front: &front{}}
	var err error
	if p.records, err = sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "records.db")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.records.Close(); err != nil {
			t.Error(err)
		}
	})
	p.writer = &forgetful{PreparedWriter: p.records, random: rand.New(rand.NewPCG(random.Uint64(), 3))}
	if p.letters, err = deadletter.Open(deadletter.Options{Dir: filepath.Join(t.TempDir(), "letters")}); err != nil {
		t.Fatal(err)
	}
	p.listen(t)
	return p
}

// listen serves whoever is at the front.
func (p *plant) listen(t *testing.T) {
	t.Helper()
	ca, err := certs.NewCA("power")
	if err != nil {
		t.Fatal(err)
	}
	serving, err := ca.IssueServing("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	mine, err := ca.IssueClient(cluster)
	if err != nil {
		t.Fatal(err)
	}
	var certificates [2]tls.Certificate
	for i, pair := range []certs.Pair{serving, mine} {
		if certificates[i], err = pair.TLS(); err != nil {
			t.Fatal(err)
		}
	}
	p.server = httptest.NewUnstartedServer(p.front)
	p.server.TLS = &tls.Config{Certificates: certificates[:1], ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ca.Pool()}
	p.server.StartTLS()
	t.Cleanup(p.server.Close)
	p.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: ca.Pool(), Certificates: certificates[1:]},
		MaxIdleConnsPerHost: 16,
	}}
}

// send starts a sender that ends with the test.
func (p *plant) send(t *testing.T, source sender.Source, writers, batch int) {
	t.Helper()
	const pause = 2 * time.Millisecond
	s, err := sender.Start(t.Context(), sender.Options{URL: p.server.URL, Client: p.client, Source: source,
		Writers: writers, Batch: batch, Pause: pause, MaxPause: pause})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Abort)
	p.senders = append(p.senders, s)
}

// life is the receiver from one power cut to the next.
type life struct {
	plant   *plant
	spool   *spool.Spool
	ledger  *ledger.Ledger
	cancel  context.CancelFunc
	shipped chan error
	// damages are stretches that no write had finished.
	damages int
}

// start opens the spool and goes to work. The error is of opening it.
func (p *plant) start(t *testing.T, f *fuse) (*life, error) {
	t.Helper()
	l := &life{plant: p, ledger: ledger.New(time.Now), shipped: make(chan error, 1)}
	files := p.disk.FS()
	if f != nil {
		files = fusedFS{FS: files, fuse: f}
	}
	setAside := ship.SetAside(p.letters, l.ledger, time.Now)
	var err error
	l.spool, err = spool.Open(t.Context(), spool.Options{
		Dir: "/spool", MaxBytes: 4 << 20, SegmentBytes: 24 << 10, ProgressEvery: 5 * time.Millisecond, FS: files,
		Damaged: func(d spool.Damage) error {
			if !d.Doubtful {
				t.Errorf("%d records are lost in %d bytes of %s from %d on", d.Records, d.Length, d.Segment, d.Offset)
			}
			l.damages++
			return setAside(d)
		},
	})
	if err != nil {
		return nil, err
	}
	l.ledger.Watch(func() ledger.SpoolState {
		s := l.spool.Stats()
		return ledger.SpoolState{Records: s.Records, Bytes: s.Bytes, MaxBytes: s.MaxBytes, Found: s.Found, Oldest: s.OldestAppended}
	})
	l.work(t)
	return l, nil
}

// work starts what takes records in and what ships them.
func (l *life) work(t *testing.T) {
	t.Helper()
	known := ingest.NewKnown()
	senders, err := auth.New(auth.Options{ClientOrgs: map[string][]string{cluster: {auth.EveryOrg}}})
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := ingest.NewReceiver(ingest.Options{
		Spool: l.spool, Letters: l.plant.letters, Ledger: l.ledger, Known: known, Senders: senders,
		Events: record.KubernetesOptions{OwnCluster: ownCluster},
	})
	if err != nil {
		t.Fatal(err)
	}
	shipper, err := ship.New(ship.Options{
		Spool: l.spool, Writer: l.plant.writer, Letters: l.plant.letters, Ledger: l.ledger, Forget: known.Forget,
		MaxRecords: 40, Linger: -1, Stop: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	go func() { l.shipped <- shipper.Run(ctx) }()
	l.plant.front.set(receiver)
}

// end is what is left to do for one that is dead.
func (l *life) end(t *testing.T) {
	t.Helper()
	l.plant.front.set(nil)
	l.cancel()
	if err := <-l.shipped; err != nil {
		t.Errorf("the shipper ended with %v", err)
	}
	// It can't write down any more what was confirmed.
	_ = l.spool.Close()
}

func (l *life) account() ledger.Balance { return l.ledger.Balance() }

// finish starts it for the last time, and waits until all is stored.
func (p *plant) finish(t *testing.T) {
	t.Helper()
	l, err := p.start(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.senders {
		s.Stop()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience())
	defer cancel()
	var runs []sender.Run
	for _, s := range p.senders {
		if err := s.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if c := s.Counts(); c.Rejected > 0 {
			t.Errorf("records were rejected: %s", c)
		}
		runs = append(runs, s.Run())
	}
	wait(t, "the spool is empty", func() bool { return l.spool.Stats().Records == 0 })
	if err := l.ledger.Check(); err != nil {
		t.Error(err)
	}
	l.end(t)
	report, err := sender.Verify(t.Context(), p.records, runs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d acknowledged events, %d records in the store: each is there once and unaltered", report.Events, report.Records)
}
