package spool_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/ingest/spool"
)

// BenchmarkAppend appends batches of records of 1 KiB from several writers, beside
// the same bytes written and synced without a spool by one.
func BenchmarkAppend(b *testing.B) {
	record := bytes.Repeat([]byte("r"), 1<<10)
	for _, records := range []int{1, 100} {
		b.Run(fmt.Sprintf("bare/records=%d", records), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			data := bytes.Repeat(record, records)
			b.SetBytes(int64(len(data)))
			timed(b, 1, func(int) error {
				if _, err := f.Write(data); err != nil {
					return err
				}
				return f.Sync()
			})
		})
		for _, writers := range []int{1, 4, 16, 64} {
			b.Run(fmt.Sprintf("spool/records=%d/writers=%d", records, writers), func(b *testing.B) {
				s, err := spool.Open(b.Context(), spool.Options{Dir: b.TempDir(), MaxBytes: 64 << 30})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				go takeForEver(s)
				batches := make([]spool.Batch, writers)
				b.SetBytes(int64(records * len(record)))
				timed(b, writers, func(writer int) error {
					batch := &batches[writer]
					batch.Reset()
					for range records {
						batch.Add(func(dst []byte) []byte { return append(dst, record...) })
					}
					return s.Append(b.Context(), batch)
				})
			})
		}
	}
}

func takeForEver(s *spool.Spool) {
	for {
		got, err := s.Take(context.Background(), 1000, 4<<20)
		if err != nil {
			return
		}
		for _, e := range got {
			s.Confirm(e.Seq)
		}
	}
}

// timed does something b.N times from several goroutines, and reports how long the
// slowest in a hundred took.
func timed(b *testing.B, writers int, do func(writer int) error) {
	took := make([][]time.Duration, writers)
	var all sync.WaitGroup
	b.ResetTimer()
	for writer := range writers {
		all.Go(func() {
			for i := writer; i < b.N; i += writers {
				start := time.Now()
				if err := do(writer); err != nil {
					b.Error(err)
					return
				}
				took[writer] = append(took[writer], time.Since(start))
			}
		})
	}
	all.Wait()
	b.StopTimer()
	every := slices.Concat(took...)
	slices.Sort(every)
	b.ReportMetric(float64(every[len(every)*99/100].Microseconds()), "p99-µs")
}
