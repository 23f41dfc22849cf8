package durability_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/ingest/spool/spooltest"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/sender"
)

// TestThePowerIsCutItLosesNothing puts the parts of a receiver on a disk that loses
// what was not synced. The power goes before an operation of the disk that is drawn,
// while senders send, records are shipped, or the spool is being opened.
func TestThePowerIsCutItLosesNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("the moments are drawn from %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	p := newPlant(t, random)
	p.send(t, sender.Events{Run: "1", Cluster: cluster, OwnCluster: ownCluster, Start: time.Now()}, 4, 7)
	p.send(t, sender.Lines{Run: "2", Org: "acme", Start: time.Now()}, 2, 5)

	cuts, began := either(150, 5000), time.Now()
	opening, again, damages := 0, 0, 0
	for range cuts {
		fuse := newFuse(p.disk, random, operations(random))
		l, err := p.start(t, fuse)
		switch {
		case err == nil:
			fuse.wait(t)
		case errors.Is(err, spooltest.ErrPowerCut):
			opening++
			continue
		default:
			t.Fatal(err)
		}
		l.end(t)
		again += int(l.account().Duplicate)
		damages += l.damages
	}
	t.Logf("%d power cuts in %s, %d of them while the spool was opened; %d records were stored again; "+
		"%d stretches were torn behind what was acknowledged", cuts, time.Since(began).Round(100*time.Millisecond), opening, again, damages)
	p.finish(t)
}

// operations is after how many changes of the disk the power is cut.
func operations(random *rand.Rand) int {
	switch random.IntN(8) {
	case 0, 1:
		return 1 + random.IntN(5) // while the spool is opened, or soon after
	case 2:
		return 100 + random.IntN(150) // so that what earlier lives left is done with as well
	default:
		return 5 + random.IntN(55)
	}
}

// fuse cuts the power before one of the next operations of a disk.
type fuse struct {
	disk   *spooltest.Disk
	random *rand.Rand
	mutex  sync.Mutex
	left   int
	blown  chan struct{}
}

func newFuse(disk *spooltest.Disk, random *rand.Rand, operations int) *fuse {
	return &fuse{disk: disk, random: random, left: operations, blown: make(chan struct{})}
}

// burn is called before each operation that changes something.
func (f *fuse) burn() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.left--; f.left == 0 {
		f.disk.PowerCut(f.random)
		close(f.blown)
	}
}

func (f *fuse) wait(t *testing.T) {
	t.Helper()
	timer := time.NewTimer(patience())
	defer timer.Stop()
	select {
	case <-f.blown:
	case <-timer.C:
		t.Fatal("the disk was not used any more")
	}
}

// fusedFS burns a fuse with each change; to read changes nothing.
type fusedFS struct {
	spool.FS
	fuse *fuse
}

func (f fusedFS) Create(name string) (spool.File, error) {
	f.fuse.burn()
	return f.file(f.FS.Create(name))
}

func (f fusedFS) Open(name string) (spool.File, error) {
	return f.file(f.FS.Open(name))
}

func (f fusedFS) file(file spool.File, err error) (spool.File, error) {
	if err != nil {
		return nil, err
	}
	return fusedFile{File: file, fuse: f.fuse}, nil
}

func (f fusedFS) Rename(from, to string) error {
	f.fuse.burn()
	return f.FS.Rename(from, to)
}

func (f fusedFS) Remove(name string) error {
	f.fuse.burn()
	return f.FS.Remove(name)
}

func (f fusedFS) SyncDir(dir string) error {
	f.fuse.burn()
	return f.FS.SyncDir(dir)
}

// fusedFile is a file of a fusedFS.
type fusedFile struct {
	spool.File
	fuse *fuse
}

func (f fusedFile) WriteAt(p []byte, at int64) (int, error) {
	f.fuse.burn()
	return f.File.WriteAt(p, at)
}

func (f fusedFile) Truncate(size int64) error {
	f.fuse.burn()
	return f.File.Truncate(size)
}

func (f fusedFile) Sync() error {
	f.fuse.burn()
	return f.File.Sync()
}

// forgetful is a store whose answer gets lost now and then, after it has stored
// what it was given, or a part of it.
type forgetful struct {
	store.PreparedWriter
	mutex  sync.Mutex
	random *rand.Rand
}

var errLost = &store.Error{Reason: store.Unavailable, Op: "append", Message: "the answer was lost"}

func (f *forgetful) AppendPrepared(ctx context.Context, records []record.Prepared) ([]store.Outcome, error) {
	f.mutex.Lock()
	n := f.random.IntN(20)
	f.mutex.Unlock()
	if n == 0 {
		records = records[:len(records)/2]
	}
	outcomes, err := f.PreparedWriter.AppendPrepared(ctx, records)
	if n < 3 {
		return nil, errLost
	}
	return outcomes, err
}

// front is the machine's address: it answers for whoever lives now.
type front struct {
	mutex sync.Mutex
	now   http.Handler
}

func (f *front) set(h http.Handler) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.now = h
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mutex.Lock()
	now := f.now
	f.mutex.Unlock()
	if now == nil {
		panic(http.ErrAbortHandler) // there is nobody
	}
	now.ServeHTTP(w, r)
}
