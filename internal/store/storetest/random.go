package storetest

import (
	"context"
	"fmt"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

const (
	randomRecords = 1200
	randomTimes   = 200
)

// Purposes of random sources. They never change: a seed found by one run must
// repeat it.
const (
	forRecords = iota + 1
	forQueries
	forPlaces
	forPaging
	forBatch
)

// fill stores random records and returns them and the reference.
func fill(ctx context.Context, b *Backend, s settings) ([]record.Record, *naive, error) {
	records := newGenerator(s.random(forRecords)).records(randomRecords)
	want := newNaive()
	if err := want.add(records...); err != nil {
		return nil, nil, err
	}
	return records, want, appendAll(ctx, b, records)
}

// randomAnswers: random records and random queries give the answers of the
// reference, and every document comes back byte for byte.
func randomAnswers(ctx context.Context, b *Backend, s settings) error {
	records, want, err := fill(ctx, b, s)
	if err != nil {
		return err
	}
	for _, kind := range record.Kinds() {
		all := query.Query{Kind: kind, Scope: query.All(), Limit: query.MaxLimit}
		if err := sameWalk(ctx, b.Store, want, all); err != nil {
			return describe(all, err)
		}
	}
	ask, places := newAsker(s.random(forQueries), records), s.random(forPlaces)
	for n := range s.queries {
		q, err := ask.query()
		if err != nil {
			return fmt.Errorf("random query %d is not valid: %w", n, err)
		}
		if err := sameAnswers(ctx, b.Store, want, q, places); err != nil {
			return fmt.Errorf("random query %d: %w", n, err)
		}
	}
	return randomGets(ctx, b, s, records, want)
}

// randomGets fetches records by id, in scopes that may hide them, and under
// the kind that they do not have.
func randomGets(ctx context.Context, b *Backend, s settings, records []record.Record, want *naive) error {
	random := s.random(forPlaces)
	ask := newAsker(random, records)
	for range s.queries {
		q, err := ask.query()
		if err != nil {
			return err
		}
		id := pick(random, records).Base().ID
		if random.IntN(10) == 0 {
			id[7] ^= 0x55
		}
		if err := sameGet(ctx, b.Store, want, q.Kind, id, q.Scope); err != nil {
			return describe(q, err)
		}
	}
	return nil
}

// filterKinds asks each kind of filter with each value of the pools on its
// own, so that no defect hides behind the luck of a seed.
func filterKinds(ctx context.Context, b *Backend, s settings) error {
	records, want, err := fill(ctx, b, s)
	if err != nil {
		return err
	}
	for _, q := range systematicQueries() {
		q, err := validated(q)
		if err != nil {
			return err
		}
		if err := sameWalk(ctx, b.Store, want, q); err != nil {
			return describe(q, err)
		}
		count, err := b.Store.Count(ctx, q, 0)
		if err != nil {
			return describe(q, err)
		}
		if err := rightCount(count, int64(len(want.matching(q))), 0); err != nil {
			return describe(q, err)
		}
	}
	return hits(want, records)
}

// hits makes sure that the pools still meet: a suite in which nothing is ever
// found would pass for nothing.
func hits(want *naive, records []record.Record) error {
	found := 0
	queries := systematicQueries()
	for _, q := range queries {
		q, err := validated(q)
		if err != nil {
			return err
		}
		if n := len(want.matching(q)); n > 0 && n < len(records) {
			found++
		}
	}
	if found < len(queries)*3/4 {
		return fmt.Errorf("only %d of %d queries find anything: the suite's values do not fit together", found, len(queries))
	}
	return nil
}

// pair compares two stores with one another.
func pair(ctx context.Context, a, b *Backend, s settings) error {
	records, _, err := fill(ctx, a, s)
	if err != nil {
		return fmt.Errorf("first store: %w", err)
	}
	if _, _, err := fill(ctx, b, s); err != nil {
		return fmt.Errorf("second store: %w", err)
	}
	ask := newAsker(s.random(forQueries), records)
	for n := range s.queries {
		q, err := ask.query()
		if err != nil {
			return fmt.Errorf("random query %d is not valid: %w", n, err)
		}
		q.Limit = max(q.Limit, 7)
		if err := samePair(ctx, a.Store, b.Store, q); err != nil {
			return fmt.Errorf("random query %d: %w", n, describe(q, err))
		}
	}
	return nil
}

// samePair takes the second store's answers as those that are right.
func samePair(ctx context.Context, a, b store.Reader, q query.Query) error {
	countA, errA := a.Count(ctx, q, 0)
	countB, errB := b.Count(ctx, q, 0)
	if errA != nil || errB != nil || countA != countB {
		return fmt.Errorf("counts %+v (%v) and %+v (%v)", countA, errA, countB, errB)
	}
	for page := 1; ; page++ {
		pageA, errA := a.List(ctx, q)
		pageB, errB := b.List(ctx, q)
		if errA != nil || errB != nil {
			return fmt.Errorf("page %d: errors %v and %v", page, errA, errB)
		}
		if err := samePage(pageA, pageB); err != nil {
			return fmt.Errorf("page %d of the first store, as the second has it: %w", page, err)
		}
		if pageA.Next == nil {
			return nil
		}
		q.After = pageA.Next
	}
}
