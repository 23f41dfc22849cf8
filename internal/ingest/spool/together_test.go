package spool_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/ingest/spool"
)

// TestManyTogether appends, takes and confirms from several goroutines at once,
// some of whose contexts end: each entry comes out once.
func TestManyTogether(t *testing.T) {
	const writers, each, takers = 8, 100, 3
	r := newRig(t, func(o *spool.Options) { o.ProgressEvery, o.PendingBytes = time.Millisecond, 16<<10 })
	var mu sync.Mutex
	acknowledged, withdrawn, out := map[uint64]bool{}, map[uint64]bool{}, map[uint64]int{}
	var appending, taking sync.WaitGroup
	for w := range uint64(writers) {
		appending.Go(func() {
			for i := range uint64(each) {
				id := w*each + i
				ctx, cancel := context.WithCancel(t.Context())
				if i%5 == 0 {
					go cancel()
				}
				err := r.Append(ctx, batch(id))
				for errors.Is(err, spool.ErrBusy) && ctx.Err() == nil {
					err = r.Append(ctx, batch(id))
				}
				cancel()
				mu.Lock()
				switch {
				case err == nil:
					acknowledged[id] = true
				case errors.Is(err, context.Canceled):
					withdrawn[id] = true
				default:
					t.Errorf("append: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	for range takers {
		taking.Go(func() {
			for {
				got, err := r.Take(ctx, 20, 1<<20)
				if err != nil {
					return
				}
				for _, e := range got {
					id, _ := idOf(e.Data)
					mu.Lock()
					out[id]++
					mu.Unlock()
					r.Confirm(e.Seq)
				}
				_ = r.Stats()
			}
		})
	}
	appending.Wait()
	eventually(t, "all is confirmed", func() bool { return r.Stats().Records == 0 })
	stop()
	taking.Wait()
	for id := range acknowledged {
		if out[id] != 1 {
			t.Errorf("entry %d came %d times", id, out[id])
		}
	}
	for id := range withdrawn {
		if out[id] != 0 {
			t.Errorf("entry %d was withdrawn, and came %d times", id, out[id])
		}
	}
	if st := r.Stats(); st.FreePending != r.o.PendingBytes || st.Segments > 2 {
		t.Errorf("at the end: %+v", st)
	}
}

// TestTooMuchWaits: while the disk is slow, no more than PendingBytes wait, and
// who waits can give up.
func TestTooMuchWaits(t *testing.T) {
	r := newRig(t)
	_ = r.Close()
	slow := &slowDisk{FS: r.disk.FS(), syncing: make(chan struct{}, 10), goOn: make(chan struct{})}
	r.o.FS, r.o.PendingBytes = slow, 2000
	s, err := spool.Open(t.Context(), r.o)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 2)
	sized := func(n int) *spool.Batch {
		var b spool.Batch
		b.Add(func(dst []byte) []byte { return append(dst, make([]byte, n)...) })
		return &b
	}
	go func() { results <- s.Append(context.Background(), sized(900)) }()
	<-slow.syncing
	waiting, giveUp := context.WithCancel(t.Context())
	go func() { results <- s.Append(waiting, sized(900)) }()
	eventually(t, "both wait", func() bool { return s.Stats().FreePending < 200 })
	if err := s.Append(t.Context(), sized(900)); !errors.Is(err, spool.ErrBusy) {
		t.Errorf("got %v, want %v", err, spool.ErrBusy)
	}
	giveUp()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	close(slow.goOn)
	if err := <-results; err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.FreePending != 2000 || st.Records != 1 {
		t.Errorf("%d bytes may wait, %d records", st.FreePending, st.Records)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// slowDisk's syncs wait.
type slowDisk struct {
	spool.FS
	syncing, goOn chan struct{}
}

func (d *slowDisk) Create(name string) (spool.File, error) {
	f, err := d.FS.Create(name)
	return &slowFile{File: f, disk: d}, err
}

type slowFile struct {
	spool.File
	disk *slowDisk
}

func (f *slowFile) Sync() error {
	select {
	case f.disk.syncing <- struct{}{}:
	default:
	}
	<-f.disk.goOn
	return f.File.Sync()
}
