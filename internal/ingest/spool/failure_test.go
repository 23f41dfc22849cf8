package spool_test

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/ingest/spool/spooltest"
)

// TestAnAppendThatFailsLeavesNothing makes the disk fail in each way. What was
// acknowledged before and after must be all that comes out, then and after a power
// cut.
func TestAnAppendThatFailsLeavesNothing(t *testing.T) {
	tests := map[string]struct {
		fail func(d *spooltest.Disk)
		// wantErr is what the Append says, nil when it succeeds all the same.
		wantErr error
	}{
		"a write fails":                        {fail: func(d *spooltest.Disk) { d.Fail(spooltest.Write, errMade) }, wantErr: errMade},
		"the disk is full":                     {fail: func(d *spooltest.Disk) { d.SetCapacity(d.Used() + 60) }, wantErr: spool.ErrFull},
		"a quota is reached":                   {fail: func(d *spooltest.Disk) { d.Fail(spooltest.Write, syscall.EDQUOT) }, wantErr: spool.ErrFull},
		"the first sync fails":                 {fail: func(d *spooltest.Disk) { d.Fail(spooltest.Sync, errMade) }},
		"the disk is found full by the sync":   {fail: func(d *spooltest.Disk) { d.Fail(spooltest.Sync, syscall.ENOSPC) }},
		"the sync fails in the new segment":    {fail: func(d *spooltest.Disk) { d.Fail(spooltest.Sync, errMade, errMade) }, wantErr: errMade},
		"the new segment can't be made either": {fail: func(d *spooltest.Disk) { d.Fail(spooltest.Sync, errMade); d.Fail(spooltest.Create, errMade) }, wantErr: errMade},
		"the folder can't be synced either":    {fail: func(d *spooltest.Disk) { d.Fail(spooltest.Sync, errMade); d.Fail(spooltest.SyncDir, errMade) }, wantErr: errMade},
		"nor can the file be cut back": {fail: func(d *spooltest.Disk) {
			d.Fail(spooltest.Sync, errMade)
			d.Fail(spooltest.Truncate, errMade, errMade)
		}},
		"a failed write can't be cut back": {fail: func(d *spooltest.Disk) {
			d.Fail(spooltest.Write, errMade)
			d.Fail(spooltest.Truncate, errMade, errMade)
		}, wantErr: errMade},
		"a failed write is cut back, not durably": {fail: func(d *spooltest.Disk) {
			d.Fail(spooltest.Write, errMade)
			d.Fail(spooltest.Sync, errMade)
		}, wantErr: errMade},
	}
	for name, test := range tests {
		for _, first := range []uint64{0, 5} {
			t.Run(name+map[bool]string{true: ", at the first append", false: ""}[first == 0], func(t *testing.T) {
				r := newRig(t, func(o *spool.Options) { o.SegmentBytes = 100 << 10 })
				r.append(span(0, first)...)
				test.fail(r.disk)
				err := r.Append(t.Context(), batch(50))
				if !errors.Is(err, test.wantErr) {
					t.Fatalf("got %v, want %v", err, test.wantErr)
				}
				if st := r.Stats(); !errors.Is(st.Failure, test.wantErr) || st.Full != errors.Is(test.wantErr, spool.ErrFull) {
					t.Errorf("the failure is %v, full %t", st.Failure, st.Full)
				}
				want := span(0, first)
				if test.wantErr == nil {
					want = append(want, 50)
				}
				r.disk.SetCapacity(0)
				r.append(60)
				want = append(want, 60)
				if st := r.Stats(); st.Failure != nil || st.Full || st.Records != int64(len(want)) {
					t.Errorf("after an append: failure %v, full %t, %d records", st.Failure, st.Full, st.Records)
				}
				r.powerCut(rand.New(rand.NewPCG(first, 7)))
				ids, _ := r.drain()
				if diff := cmp.Diff(want, ids); diff != "" {
					t.Errorf("entries (-want +got):\n%s", diff)
				}
				if d := r.damaged(); len(d) != 0 {
					t.Errorf("damage was reported:\n%s", describe(d))
				}
			})
		}
	}
}

// TestAFailedAppendDoesNotComeBack ends the spool right after a failure: in no
// case may what was refused come out then, nor may it come twice what was taken in
// the end.
func TestAFailedAppendDoesNotComeBack(t *testing.T) {
	ends := map[string]func(r *rig, seed uint64){
		"the process is killed": func(r *rig, _ uint64) { r.kill() },
		"the power is cut":      func(r *rig, seed uint64) { r.powerCut(rand.New(rand.NewPCG(seed, 8))) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				r := newRig(t, func(o *spool.Options) { o.SegmentBytes = 100 << 10 })
				r.append(1)
				r.disk.Fail(spooltest.Write, errMade)
				if err := r.Append(t.Context(), batch(span(10, 20)...)); !errors.Is(err, errMade) {
					t.Fatalf("got %v, want %v", err, errMade)
				}
				end(r, seed)
				r.append(2)
				// Written, not synced and not cut back; then taken by a new segment.
				r.disk.Fail(spooltest.Sync, errMade)
				r.disk.Fail(spooltest.Truncate, errMade)
				r.append(3)
				end(r, seed)
				ids, _ := r.drain()
				if diff := cmp.Diff([]uint64{1, 2, 3}, ids); diff != "" {
					t.Fatalf("entries (-want +got):\n%s", diff)
				}
				if d := r.damaged(); len(d) != 0 {
					t.Errorf("damage was reported:\n%s", describe(d))
				}
			}
		})
	}
}

func TestTheBoundOnBytes(t *testing.T) {
	r := newRig(t, func(o *spool.Options) { o.MaxBytes, o.SegmentBytes = 32<<10, 8<<10 })
	n := uint64(0)
	var err error
	for ; err == nil; n++ {
		err = r.Append(t.Context(), batch(n))
	}
	st := r.Stats()
	if !errors.Is(err, spool.ErrFull) || st.Bytes > st.MaxBytes || st.Bytes < st.MaxBytes/2 {
		t.Fatalf("%v at %d bytes of %d", err, st.Bytes, st.MaxBytes)
	}
	if used := r.disk.Used(); used > st.MaxBytes {
		t.Errorf("%d bytes are used, more than %d", used, st.MaxBytes)
	}
	got := r.take(int(n) - 1)
	for uint64(len(got)) < n-1 {
		got = append(got, r.take(int(n))...)
	}
	r.confirm(got[:len(got)/2]...)
	eventually(t, "there is room again", func() bool { return r.Append(t.Context(), batch(1000)) == nil })
}

// TestAFullSpoolOfOneSegmentEmpties: a segment that is not sealed is removed too,
// when all of it is confirmed and its space is needed.
func TestAFullSpoolOfOneSegmentEmpties(t *testing.T) {
	r := newRig(t, func(o *spool.Options) { o.MaxBytes, o.SegmentBytes = 2000, 2000 })
	if err := r.Append(t.Context(), func() *spool.Batch {
		var b spool.Batch
		b.Add(func(dst []byte) []byte { return append(dst, make([]byte, 1900)...) })
		return &b
	}()); err != nil {
		t.Fatal(err)
	}
	if st := r.Stats(); !st.Full {
		t.Fatal("it is not full")
	}
	got, err := r.Take(t.Context(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.Confirm(got[0].Seq)
	eventually(t, "it is empty", func() bool { return !r.Stats().Full })
}

// TestTheDiskIsTriedAgain: who asks whether the spool is usable before they send
// must see it become so without sending.
func TestTheDiskIsTriedAgain(t *testing.T) {
	for name, test := range map[string]struct{ fail, mend func(d *spooltest.Disk) }{
		"a full disk": {
			fail: func(d *spooltest.Disk) { d.SetCapacity(1) },
			mend: func(d *spooltest.Disk) { d.SetCapacity(0) },
		},
		"a disk that fails": {
			fail: func(d *spooltest.Disk) {
				d.Fail(spooltest.Write, errMade, errMade, errMade, errMade)
			},
			mend: func(*spooltest.Disk) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *spool.Options) { o.ProbeEvery = time.Millisecond })
			test.fail(r.disk)
			if err := r.Append(t.Context(), batch(1)); err == nil {
				t.Fatal("an append did not fail")
			}
			test.mend(r.disk)
			eventually(t, "the disk is usable again", func() bool { return r.Stats().Failure == nil })
			if st := r.Stats(); st.Full {
				t.Error("it counts as full")
			}
		})
	}
}

// TestSegmentsThatCantBeRemoved are removed later, and what they held is not given
// out meanwhile.
func TestSegmentsThatCantBeRemoved(t *testing.T) {
	for name, fail := range map[string]spooltest.Operation{
		"removing fails": spooltest.Remove, "renaming fails": spooltest.Rename, "syncing the folder fails": spooltest.SyncDir,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *spool.Options) { o.ProgressEvery = time.Millisecond })
			r.append(span(0, 100)...)
			_, all := r.drain()
			before := r.disk.Calls(fail)
			r.disk.Fail(fail, errMade, errMade, errMade)
			r.confirm(all[1:]...)
			eventually(t, "it is tried again and again", func() bool { return r.disk.Calls(fail) > before+3 })
			eventually(t, "the segments are removed but two", func() bool { return r.Stats().Segments <= 2 })
			r.reopen()
			ids, _ := r.drain()
			if diff := cmp.Diff([]uint64{all[0].id}, ids); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAFullDiskIsEmptied(t *testing.T) {
	r := newRig(t, func(o *spool.Options) { o.SegmentBytes = 1 << 20 })
	r.append(span(0, 20)...)
	r.disk.SetCapacity(1)
	r.disk.Kill()
	_ = r.Close()
	r.disk.Damage(r.path(r.segments()[0]), func(b []byte) []byte { b[len(b)-5] ^= 1; return b })
	r.open()
	got := r.take(19)
	r.confirm(got...)
	if st := r.Stats(); st.Found != 20 || st.Records != 1 {
		t.Errorf("%d records of %d, want 1 of 20", st.Records, st.Found)
	}
}

func TestReadingFails(t *testing.T) {
	r := newRig(t)
	r.append(span(0, 3)...)
	r.disk.Fail(spooltest.Read, errMade)
	if _, err := r.Take(t.Context(), 10, 1<<20); !errors.Is(err, errMade) {
		t.Errorf("got %v, want the disk's error", err)
	}
	if ids, _ := r.drain(); len(ids) != 3 {
		t.Errorf("then %d entries came, want 3", len(ids))
	}
	if d := r.damaged(); len(d) != 0 {
		t.Errorf("damage was reported:\n%s", describe(d))
	}
}
