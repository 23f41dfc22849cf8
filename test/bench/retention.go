package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store/elasticsearch"
)

const (
	// smallMonth is how many records the month has that a large one is compared with.
	smallMonth = 10_000
	// expiryTurns is how often each of the two is erased.
	expiryTurns = 5
	// largePrefix begins the names of the indices of the month that is large.
	largePrefix = "retention-large"
)

// retained is the part retention, and the months that it erases: each is made once
// and restored from a snapshot as often as it is needed.
type retained struct {
	bench *bench
	large *elasticsearch.Store
	// prefixes are of what must be deleted at the end.
	prefixes []string
	streams  uint64
}

// erasing measures what it costs that records expire: whole months, batches, what
// batches cost those who read meanwhile, and planning.
func erasing(ctx context.Context, b *bench) (figures []figure, err error) {
	if err := b.startElasticsearch(ctx); err != nil {
		return nil, err
	}
	r := &retained{bench: b}
	defer func() { err = errors.Join(err, r.clear()) }()
	if err := r.makeRepository(ctx); err != nil {
		return nil, err
	}
	for _, measure := range []func(context.Context) ([]figure, error){r.expiry, r.batches, r.listsMeanwhile, b.planning} {
		found, err := measure(ctx)
		if err != nil {
			return nil, err
		}
		figures = append(figures, found...)
	}
	return figures, nil
}

// expiry times the erasure of a whole month, of one with many records and of one
// with few by turns.
func (r *retained) expiry(ctx context.Context) ([]figure, error) {
	b := r.bench
	large, err := r.makeMonth(ctx, largePrefix, b.settings.records)
	if err != nil {
		return nil, err
	}
	r.large = large.store
	small, err := r.makeMonth(ctx, "retention-small", smallMonth)
	if err != nil {
		return nil, err
	}
	if err := small.store.Close(); err != nil {
		return nil, err
	}
	b.progress.step("measuring the erasure of whole months")
	many, few := &side{name: fmt.Sprintf("%d records", large.records)}, &side{name: fmt.Sprintf("%d records", smallMonth)}
	sides := []struct {
		month keptMonth
		times *side
	}{{large, many}, {small, few}}
	// The first turn warms up.
	for turn := range expiryTurns + 1 {
		if turn == 1 {
			many.times, few.times = nil, nil
		}
		for k := range sides {
			s := sides[(turn+k)%len(sides)]
			took, err := r.expire(ctx, s.month, fmt.Sprintf("retention-expire-%d-%d", turn, k))
			if err != nil {
				return nil, fmt.Errorf("erase a month of %d records: %w", s.month.records, err)
			}
			s.times.times = append(s.times.times, took)
		}
		b.progress.at("turns", turn+1, expiryTurns+1)
	}
	b.note("retention, whole months: EraseStretch on an index that was restored from a snapshot, %d times each; "+
		"a policy of another organisation is left out, as the override of a default is", expiryTurns)
	name := fmt.Sprintf("Retention, expiring a month of %d records as a whole ÷ one of %d", large.records, smallMonth)
	return []figure{quotient(name, 2, *many, *few)}, nil
}

// expire restores a month and erases it.
func (r *retained) expire(ctx context.Context, m keptMonth, prefix string) (took time.Duration, err error) {
	s, err := r.restoreStore(ctx, m, prefix)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close(), r.bench.deleteIndices(prefix+"-*")) }()
	doomed := retention.Step{Kind: record.KindAudit, From: monthStart(), Until: monthEnd(), Orgs: []string{"globex"}, Except: true, Whole: true}.Doomed(nil)
	began := time.Now()
	erased, err := s.EraseStretch(ctx, record.KindAudit, ourIndex(prefix), doomed)
	took = time.Since(began)
	if err == nil && erased.Records != int64(m.records) {
		err = fmt.Errorf("%d records are said to be gone, not %d", erased.Records, m.records)
	}
	return took, err
}

// due is what batches erase: the first three weeks of the month, but for what a hold
// on one user keeps.
func due() query.Query {
	step := retention.Step{Kind: record.KindAudit, From: monthStart(), Until: dueUntil(), Except: true}
	return query.Query{
		Kind: record.KindAudit, Scope: query.All(), From: step.From, To: step.Until, Filter: step.Doomed([]retention.HoldSpec{heldUser()}),
	}
}

func dueUntil() time.Time { return monthStart().AddDate(0, 0, 21) }

func heldUser() retention.HoldSpec { return retention.HoldSpec{UserIDs: []string{humanUser(0)}} }

// clear removes what was not removed yet.
func (r *retained) clear() error {
	var failures []error
	if r.large != nil {
		failures = append(failures, r.large.Close())
	}
	for _, prefix := range r.prefixes {
		failures = append(failures, r.bench.deleteIndices(prefix+"-*"))
	}
	return errors.Join(append(failures, r.removeRepository())...)
}
