package spool_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/ingest/spool"
)

func TestEntriesComeOutInOrderAndOnce(t *testing.T) {
	r := newRig(t)
	if err := r.Append(t.Context(), batch(span(0, 50)...)); err != nil {
		t.Fatal(err)
	}
	r.append(span(50, 60)...)
	ids, all := r.drain()
	if diff := cmp.Diff(span(0, 60), ids); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if got := r.Stats().Records; got != 60 {
		t.Errorf("%d records before any was confirmed, want 60", got)
	}
	r.confirm(all...)
	r.confirm(all...)
	r.Confirm(0, 1<<50)
	if got := r.Stats().Records; got != 0 {
		t.Errorf("%d records after all were confirmed", got)
	}
}

func TestTakeIsBounded(t *testing.T) {
	r := newRig(t)
	r.append(span(0, 10)...)
	if got := r.take(3); len(got) != 3 {
		t.Errorf("took %d entries, want 3", len(got))
	}
	for _, step := range []struct{ maxBytes, want int }{
		{maxBytes: len(entry(3)) + len(entry(4)), want: 2},
		{maxBytes: 0, want: 1},
		{maxBytes: 1 << 20, want: 4},
	} {
		got, err := r.Take(t.Context(), 100, step.maxBytes)
		if err != nil || len(got) != step.want {
			t.Errorf("took %d entries of at most %d bytes (%v), want %d", len(got), step.maxBytes, err, step.want)
		}
	}
}

func TestWhatIsConfirmedStaysConfirmed(t *testing.T) {
	tests := map[string]struct {
		again func(r *rig)
		want  []uint64
	}{
		"after a clean end": {again: (*rig).reopen, want: []uint64{1, 7, 8, 9}},
		"after the process was killed, before the progress was written, all is given out again": {
			again: (*rig).kill, want: span(0, 10),
		},
		"when the progress file is damaged, all is given out again": {
			again: func(r *rig) {
				if err := r.Close(); err != nil {
					r.t.Fatal(err)
				}
				r.disk.Damage(r.path("progress"), func(b []byte) []byte { b[10] ^= 1; return b })
				r.open()
			},
			want: span(0, 10),
		},
		"after two clean ends": {
			again: func(r *rig) { r.reopen(); r.reopen() }, want: []uint64{1, 7, 8, 9},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *spool.Options) { o.SegmentBytes = 100 << 10 })
			r.append(span(0, 10)...)
			got := r.take(7)
			r.confirm(got[0])
			r.confirm(got[2:]...)
			test.again(r)
			if st := r.Stats(); st.Found != int64(len(test.want)) || st.Records != st.Found {
				t.Errorf("found %d records of %d, want %d", st.Found, st.Records, len(test.want))
			}
			ids, _ := r.drain()
			if diff := cmp.Diff(test.want, ids); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			if d := r.damaged(); len(d) != 0 {
				t.Errorf("damage was reported:\n%s", describe(d))
			}
		})
	}
}

func TestConfirmedSegmentsAreRemoved(t *testing.T) {
	r := newRig(t)
	r.append(span(0, 200)...)
	before := len(r.segments())
	_, all := r.drain()
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	kept := all[0]
	r.confirm(all[1:]...)
	eventually(t, "the segments are removed but two", func() bool { return r.Stats().Segments <= 2 })
	if before < 5 {
		t.Fatalf("there were only %d segments", before)
	}
	r.reopen()
	ids, again := r.drain()
	if diff := cmp.Diff([]uint64{kept.id}, ids); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	r.confirm(again...)
	r.reopen()
	eventually(t, "all segments are removed", func() bool { return len(r.segments()) == 0 })
	if st := r.Stats(); st.Bytes != 0 || st.Found != 0 {
		t.Errorf("%d bytes and %d records are left", st.Bytes, st.Found)
	}
	if d := r.damaged(); len(d) != 0 {
		t.Errorf("damage was reported:\n%s", describe(d))
	}
}

func TestAPlaceholderKeepsTheCountOfTheSegmentBeforeIt(t *testing.T) {
	r := newRig(t)
	r.append(span(0, 100)...)
	_, all := r.drain()
	r.confirm(all[1:]...)
	eventually(t, "the segments are removed but two", func() bool { return r.Stats().Segments <= 2 })
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	// Without the progress, only the names say where the first segment ends.
	r.disk.Damage(r.path("progress"), func([]byte) []byte { return nil })
	r.open()
	_, _ = r.drain()
	if d := r.damaged(); len(d) != 0 {
		t.Errorf("damage was reported:\n%s", describe(d))
	}
}

func TestAppendRefuses(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	large := func(size int) *spool.Batch {
		var b spool.Batch
		b.Add(func(dst []byte) []byte { return append(dst, make([]byte, size)...) })
		return &b
	}
	tests := map[string]struct {
		before func(r *rig)
		ctx    context.Context
		batch  *spool.Batch
		want   error
	}{
		"nothing is appended at once":            {batch: &spool.Batch{}},
		"an entry that is too large":             {batch: large(spool.MaxEntry + 1), want: spool.ErrTooLarge},
		"a batch that is larger than the spool":  {batch: large(1 << 20), want: spool.ErrFull},
		"a context that has ended":               {batch: batch(1), ctx: ended, want: context.Canceled},
		"a spool that is closed":                 {before: func(r *rig) { _ = r.Close() }, batch: batch(1), want: spool.ErrClosed},
		"a batch larger than what may wait goes": {batch: large(300 << 10)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if test.before != nil {
				test.before(r)
			}
			ctx := test.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			if err := r.Append(ctx, test.batch); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if st := r.Stats(); st.FreePending != r.o.PendingBytes {
				t.Errorf("%d bytes may wait, want %d", st.FreePending, r.o.PendingBytes)
			}
		})
	}
}

func TestABatchCanBeUsedAgain(t *testing.T) {
	r := newRig(t)
	b := batch(1, 2)
	want := len(entry(1)) + len(entry(2)) + 2*spool.HeaderSize
	if b.Len() != 2 || b.Bytes() != want {
		t.Errorf("%d entries of %d bytes, want 2 of %d", b.Len(), b.Bytes(), want)
	}
	for range 2 {
		if err := r.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	b.Reset()
	b.Add(func(dst []byte) []byte { return append(dst, entry(3)...) })
	if err := r.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	ids, _ := r.drain()
	if diff := cmp.Diff([]uint64{1, 2, 1, 2, 3}, ids); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestTakeWaits(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 3)
	for range 2 {
		go func() {
			_, err := r.Take(ctx, 1, 1)
			results <- err
		}()
	}
	cancel()
	for range 2 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's error", err)
		}
	}
	go func() {
		_, err := r.Take(context.Background(), 1, 1)
		results <- err
	}()
	r.append(1)
	if err := <-results; err != nil {
		t.Error(err)
	}
	go func() {
		_, err := r.Take(context.Background(), 1, 1)
		results <- err
	}()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := <-results; !errors.Is(err, spool.ErrClosed) {
		t.Errorf("got %v, want %v", err, spool.ErrClosed)
	}
}

func TestTheFolderIsLocked(t *testing.T) {
	r := newRig(t)
	if _, err := spool.Open(t.Context(), r.o); !errors.Is(err, spool.ErrLocked) {
		t.Errorf("got %v, want %v", err, spool.ErrLocked)
	}
	r.append(1)
}

func TestAnotherVersionsSegmentIsRefused(t *testing.T) {
	r := newRig(t)
	_ = r.Close()
	r.disk.Put(r.path("0000000001-00000000000000000001-0100000000000000.v2"), nil)
	if _, err := spool.Open(t.Context(), r.o); err == nil {
		t.Error("it was opened")
	}
}

func TestTheAgeOfTheOldestRecord(t *testing.T) {
	r := newRig(t)
	start := r.now
	at := func(want time.Duration) {
		t.Helper()
		if got := r.Stats().OldestAppended; !got.Equal(start.Add(want)) {
			t.Errorf("the oldest is of %s, want %s", got.Sub(start), want)
		}
	}
	none := func() {
		t.Helper()
		if got := r.Stats().OldestAppended; !got.IsZero() {
			t.Errorf("the oldest is of %s, want none", got)
		}
	}
	none()
	r.append(1)
	r.step(time.Minute)
	r.append(2)
	at(0)
	got := r.take(2)
	r.confirm(got[0])
	at(time.Minute)
	r.reopen()
	r.step(time.Minute)
	r.append(3)
	got = append(r.take(1), r.take(1)...)
	at(time.Minute)
	r.confirm(got[0])
	at(2 * time.Minute)
	r.confirm(got[1])
	none()
	r.step(time.Minute)
	r.append(4)
	at(3 * time.Minute)
}
