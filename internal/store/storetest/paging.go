package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

func everyAudit(limit int) query.Query {
	return query.Query{Kind: record.KindAudit, Scope: query.All(), Limit: limit}
}

// pageSizes: walks in steps of one and of the greatest page, over numbers of
// records at, below and above whole pages, end exactly where they should.
func pageSizes(ctx context.Context, b *Backend, _ settings) error {
	want := newNaive()
	stored := 0
	for _, total := range []int{0, 1, 2, 19, 499, 500, 501, 999, 1000, 1001} {
		more := audits(stored, total)
		stored = total
		if err := errors.Join(want.add(more...), appendAll(ctx, b, more)); err != nil {
			return err
		}
		limits := []int{query.MaxLimit, 499, max(total, 1) % query.MaxLimit}
		if total < 20 {
			limits = append(limits, 1, 2)
		}
		for _, limit := range limits {
			if err := sameWalk(ctx, b.Store, want, everyAudit(max(limit, 1))); err != nil {
				return fmt.Errorf("%d records in pages of %d: %w", total, limit, err)
			}
		}
	}
	return nil
}

// pagingBetweenAppends: records that arrive between two pages, before, at and
// after the cursor, are on the pages that they belong to, and every record
// that was there from the beginning is returned exactly once.
func pagingBetweenAppends(ctx context.Context, b *Backend, s settings) error {
	const initial = 400
	want, random := newNaive(), s.random(forPaging)
	first := audits(0, initial)
	if err := errors.Join(want.add(first...), appendAll(ctx, b, first)); err != nil {
		return err
	}
	seen := newSightings()
	q := everyAudit(37)
	for number := initial; ; {
		page, err := b.Store.List(ctx, q)
		if err != nil {
			return err
		}
		if err := samePage(page, want.page(q)); err != nil {
			return err
		}
		if err := seen.add(page); err != nil {
			return err
		}
		if page.Next == nil {
			return seen.once(first)
		}
		q.After = page.Next
		cursor := record.Timestamp(page.Next.Micros)
		var arrivals []record.Record
		for _, offset := range []record.Timestamp{0, 0, 1, -1, 500_000, record.Timestamp(random.Int64N(1e9)), -record.Timestamp(random.Int64N(1e8))} {
			number++
			arrivals = append(arrivals, audit(number, func(a *record.Audit) { a.Time = cursor + offset }))
		}
		if err := errors.Join(want.add(arrivals...), appendAll(ctx, b, arrivals)); err != nil {
			return err
		}
	}
}

// pagingDuringAppends: the same while another goroutine appends all the time,
// where only the earlier records can be foretold.
func pagingDuringAppends(ctx context.Context, b *Backend, s settings) error {
	const initial, walks = 600, 5
	first := audits(0, initial)
	if err := appendAll(ctx, b, first); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := make(chan struct{})
	var appending sync.WaitGroup
	var failure error
	appending.Go(func() { failure = appendUntil(ctx, b, s, initial, stop) })
	err := func() error {
		for range walks {
			seen := newSightings()
			q := everyAudit(41)
			for {
				page, err := b.Store.List(ctx, q)
				if err != nil {
					return err
				}
				if err := seen.add(page); err != nil {
					return err
				}
				if page.Next == nil {
					break
				}
				q.After = page.Next
			}
			if err := seen.once(first); err != nil {
				return err
			}
		}
		return nil
	}()
	close(stop)
	appending.Wait()
	return errors.Join(err, failure)
}

// appendUntil appends records at random places among the first ones, a bounded
// number so that a walk comes to an end.
func appendUntil(ctx context.Context, b *Backend, s settings, first int, stop <-chan struct{}) error {
	const most = 4000
	random := s.random(forPaging)
	for number := first; number < first+most; number += 10 {
		select {
		case <-stop:
			return nil
		default:
		}
		batch := audits(number, number+10, func(a *record.Audit) {
			a.Time = record.At(spanStart()) + record.Timestamp(random.Int64N(int64(first)*1e6))
		})
		if err := appendAll(ctx, b, batch); err != nil {
			return err
		}
	}
	return nil
}

// sightings are the records that a walk returned, in order.
type sightings struct {
	times map[record.ID]int
	last  *query.Position
}

func newSightings() *sightings { return &sightings{times: map[record.ID]int{}} }

// add notes a page and demands the total order, also across pages.
func (s *sightings) add(page store.Page) error {
	records, err := record.DecodeAll(record.KindAudit, page.Documents)
	if err != nil {
		return err
	}
	for _, r := range records {
		s.times[r.Base().ID]++
		place := store.PositionOf(r)
		if s.last != nil && !behind(entry{record: r}, *s.last) {
			return fmt.Errorf("the record at %v came after the one at %v", place, *s.last)
		}
		s.last = &place
	}
	return nil
}

// once demands that each record was returned exactly once.
func (s *sightings) once(records []record.Record) error {
	for _, r := range records {
		if n := s.times[r.Base().ID]; n != 1 {
			return fmt.Errorf("the record %s was returned %d times", r.Base().ID, n)
		}
	}
	return nil
}

// largePages: a page that would pass store.MaxPageBytes ends early, says where
// to go on, and nothing is lost.
func largePages(ctx context.Context, b *Backend, _ settings) error {
	const count = 420 // of 60 kB: one and a half pages
	want := newNaive()
	large := audits(0, count, func(a *record.Audit) {
		a.Details = json.RawMessage(`{"large":"` + strings.Repeat("<", 60_000) + `"}`)
	})
	if err := errors.Join(want.add(large...), appendAll(ctx, b, large)); err != nil {
		return err
	}
	seen := newSightings()
	q := everyAudit(query.MaxLimit)
	for pages := 1; ; pages++ {
		page, err := b.Store.List(ctx, q)
		if err != nil {
			return err
		}
		size := 0
		for _, document := range page.Documents {
			size += len(document)
		}
		switch {
		case size > store.MaxPageBytes:
			return fmt.Errorf("page %d has %d bytes, more than %d", pages, size, store.MaxPageBytes)
		case len(page.Documents) == 0 && page.Next != nil:
			return fmt.Errorf("page %d is empty and not the last: a walk might never end", pages)
		case page.Next == nil && pages == 1:
			return fmt.Errorf("%d records of 60 kB came in one page", len(page.Documents))
		}
		if err := seen.add(page); err != nil {
			return err
		}
		if page.Next == nil {
			break
		}
		q.After = page.Next
	}
	return seen.once(large)
}

// equalTimes: records of one instant are ordered by their ids as unsigned
// bytes, on both sides of the sign bits of both halves.
func equalTimes(ctx context.Context, b *Backend, _ settings) error {
	halves := []string{
		"0000000000000000", "0000000000000001", "001fffffffffffff", "0020000000000001", "7fffffffffffffff",
		"8000000000000000", "8000000000000001", "fffffffffffffffe", "ffffffffffffffff",
	}
	want := newNaive()
	var records []record.Record
	for i, high := range halves {
		for j, low := range halves {
			id, err := record.ParseID(high + low)
			if err != nil {
				return err
			}
			if id.IsZero() {
				continue
			}
			n := (i*len(halves) + j) * 7 % (len(halves) * len(halves)) // not in their order
			records = append(records, audit(n, func(a *record.Audit) { a.ID, a.Time = id, record.At(spanStart()) }))
		}
	}
	if err := errors.Join(want.add(records...), appendAll(ctx, b, records)); err != nil {
		return err
	}
	for _, limit := range []int{1, 2, 9, len(records), query.MaxLimit} {
		if err := sameWalk(ctx, b.Store, want, everyAudit(limit)); err != nil {
			return fmt.Errorf("in pages of %d: %w", limit, err)
		}
	}
	return nil
}
