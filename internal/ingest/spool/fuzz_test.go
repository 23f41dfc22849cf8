package spool_test

import (
	"bytes"
	"context"
	"testing"

	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/ingest/spool/spooltest"
)

// FuzzSegment opens a spool whose first segment holds any bytes, alone or before
// another one. Whatever these are, the spool opens, each record that it counts is
// given out or reported damaged, in order, and what is given out stands in the
// bytes; appending goes on, and all is gone when it is confirmed.
func FuzzSegment(f *testing.F) {
	whole := spool.Frames(1, 0, []byte("first"), nil, bytes.Repeat([]byte("x"), 700), []byte("last"))
	seeds := [][]byte{nil, whole, whole[:len(whole)-3], whole[17:], append(bytes.Clone(whole), whole...), make([]byte, 2000)}
	for at := 0; at < len(whole); at += 29 {
		seeds = append(seeds, flip(at)(bytes.Clone(whole)))
	}
	for _, seed := range seeds {
		f.Add(seed, true, []byte{})
		f.Add(seed, false, []byte("garbage"))
	}
	f.Fuzz(func(t *testing.T, data []byte, last bool, progress []byte) {
		if len(data) > 64<<10 {
			t.Skip("a larger segment says no more")
		}
		disk := spooltest.New()
		disk.Put(dir+"/"+spool.Name(1, 1), data)
		disk.Put(dir+"/progress", progress)
		if !last {
			disk.Put(dir+"/"+spool.Name(2, 5), spool.Frames(5, 0, []byte("after")))
		}
		lost := int64(0)
		s, err := spool.Open(t.Context(), spool.Options{
			Dir: dir, FS: disk.FS(),
			Damaged: func(d spool.Damage) error {
				if d.Length < 0 || d.Records < 1 || d.Offset+d.Length > int64(len(data)) {
					t.Errorf("damage: %+v", d)
				}
				lost += int64(d.Records)
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		found := s.Stats().Found
		seqs := takeAll(t, s, data, last)
		if int64(len(seqs))+lost != found+1 {
			t.Errorf("%d records were found, but %d given out and %d lost", found, len(seqs)-1, lost)
		}
		s.Confirm(seqs...)
		if st := s.Stats(); st.Records != 0 {
			t.Errorf("%d records are left", st.Records)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// takeAll appends an entry and takes all up to it.
func takeAll(t *testing.T, s *spool.Spool, data []byte, last bool) []uint64 {
	end := []byte("the end of it all")
	var b spool.Batch
	b.Add(func(dst []byte) []byte { return append(dst, end...) })
	if err := s.Append(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	for {
		got, err := s.Take(context.Background(), 7, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range got {
			if len(seqs) > 0 && e.Seq <= seqs[len(seqs)-1] {
				t.Errorf("%d came after %d", e.Seq, seqs[len(seqs)-1])
			}
			seqs = append(seqs, e.Seq)
			if bytes.Equal(e.Data, end) {
				return seqs
			}
			if !bytes.Contains(data, e.Data) && (last || string(e.Data) != "after") {
				t.Errorf("invented: %q", e.Data)
			}
		}
	}
}

// FuzzProgress: a progress file with the right checksum was written by us, but any
// file may be found.
func FuzzProgress(f *testing.F) {
	f.Add([]byte{}, uint64(3), uint64(9))
	f.Fuzz(func(t *testing.T, data []byte, low, high uint64) {
		spool.CheckProgress(t.Errorf, data, low, high)
	})
}
