package spool_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/ingest/spool/spooltest"
)

const dir = "/spool"

// rig is a spool on a disk in memory, with what it reported.
type rig struct {
	t    *testing.T
	disk *spooltest.Disk
	o    spool.Options
	*spool.Spool

	mu      sync.Mutex
	now     time.Time
	damage  []spool.Damage
	refusal error
}

type change func(*spool.Options)

func newRig(t *testing.T, changes ...change) *rig {
	t.Helper()
	r := &rig{t: t, disk: spooltest.New(), now: time.UnixMicro(1_800_000_000_000_000)}
	r.o = spool.Options{
		Dir: dir, MaxBytes: 1 << 20, SegmentBytes: 4 << 10, PendingBytes: 256 << 10,
		// Only what a test waits for is done in the background.
		ProgressEvery: time.Hour, ProbeEvery: time.Hour,
		Now: func() time.Time {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.now
		},
		Damaged: func(d spool.Damage) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.refusal != nil {
				return r.refusal
			}
			r.damage = append(r.damage, d)
			return nil
		},
	}
	for _, c := range changes {
		c(&r.o)
	}
	r.open()
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func (r *rig) open() {
	r.t.Helper()
	r.o.FS = r.disk.FS()
	s, err := spool.Open(r.t.Context(), r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Spool = s
}

// reopen closes the spool cleanly and opens it again.
func (r *rig) reopen() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// kill ends the process and starts another.
func (r *rig) kill() {
	r.t.Helper()
	r.disk.Kill()
	_ = r.Close()
	r.open()
}

// powerCut cuts the power and starts again.
func (r *rig) powerCut(random *rand.Rand) {
	r.t.Helper()
	r.disk.PowerCut(random)
	_ = r.Close()
	r.open()
}

func (r *rig) step(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) damaged() []spool.Damage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.damage
}

func (r *rig) refuse(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusal = err
}

// entry is the one with this number: its number and bytes that follow from it.
func entry(id uint64) []byte {
	random := rand.New(rand.NewPCG(id, 1))
	b := binary.BigEndian.AppendUint64(nil, id)
	for range random.IntN(300) {
		b = append(b, byte(1+random.IntN(255)))
	}
	if random.IntN(20) == 0 {
		b = append(b, bytes.Repeat([]byte{7}, random.IntN(6000))...)
	}
	return b
}

// idOf is the number of an entry, and whether it is whole.
func idOf(data []byte) (uint64, bool) {
	if len(data) < 8 {
		return 0, false
	}
	id := binary.BigEndian.Uint64(data)
	return id, bytes.Equal(data, entry(id))
}

func batch(ids ...uint64) *spool.Batch {
	var b spool.Batch
	for _, id := range ids {
		b.Add(func(dst []byte) []byte { return append(dst, entry(id)...) })
	}
	return &b
}

func span(from, to uint64) []uint64 {
	var ids []uint64
	for id := from; id < to; id++ {
		ids = append(ids, id)
	}
	return ids
}

// append appends entries, each id in a batch of its own.
func (r *rig) append(ids ...uint64) {
	r.t.Helper()
	for _, id := range ids {
		if err := r.Append(r.t.Context(), batch(id)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// taken is an entry that was taken, by its id.
type taken struct {
	id, seq uint64
}

// take takes at most n entries, which must be there.
func (r *rig) take(n int) []taken {
	r.t.Helper()
	got, err := r.Take(r.t.Context(), n, 1<<30)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []taken
	for _, e := range got {
		id, whole := idOf(e.Data)
		if !whole {
			r.t.Fatalf("entry %d was altered", e.Seq)
		}
		out = append(out, taken{id: id, seq: e.Seq})
	}
	return out
}

const sentinel = 1 << 40

// drain takes all that is there, and the ids of it.
func (r *rig) drain() (ids []uint64, all []taken) {
	r.t.Helper()
	r.append(sentinel)
	for {
		for _, e := range r.take(100) {
			if e.id == sentinel {
				r.Confirm(e.seq)
				return ids, all
			}
			ids = append(ids, e.id)
			all = append(all, e)
		}
	}
}

func (r *rig) confirm(all ...taken) {
	for _, e := range all {
		r.Confirm(e.seq)
	}
}

// segments are the names of the segments, the oldest first.
func (r *rig) segments() []string {
	r.t.Helper()
	names, err := r.disk.FS().Names(dir)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, name := range names {
		if strings.HasSuffix(name, ".v1") || strings.HasSuffix(name, ".done") {
			out = append(out, name)
		}
	}
	return out
}

func (r *rig) path(name string) string { return filepath.Join(dir, name) }

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still not: %s", what)
		}
	}
}

var errMade = errors.New("made to fail")

func describe(damage []spool.Damage) string {
	var b strings.Builder
	for _, d := range damage {
		fmt.Fprintf(&b, "%s at %d, %d bytes: %d records, doubtful %t\n", d.Segment, d.Offset, d.Length, d.Records, d.Doubtful)
	}
	return b.String()
}
