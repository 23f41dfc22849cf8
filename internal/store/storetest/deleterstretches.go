package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// stretchesTell: stretches hold every record once, per org, and only that.
func stretchesTell(ctx context.Context, b *DeleterBackend, s settings) error {
	if err := b.sameStretches(ctx, newNaive()); err != nil {
		return fmt.Errorf("a store in which nothing was ever stored: %w", err)
	}
	want, err := b.fill(ctx, newGenerator(s.random(forRecords)).records(randomRecords))
	if err != nil {
		return err
	}
	return b.sameStretches(ctx, want)
}

// stretchOfManyOrgs: more orgs than one answer of a store may list.
func stretchOfManyOrgs(ctx context.Context, b *DeleterBackend, _ settings) error {
	const orgs = 2_300
	records := make([]record.Record, 0, orgs)
	for n := range orgs {
		records = append(records, audit(n, func(a *record.Audit) {
			if a.OrgID = fmt.Sprintf("org-%d", n); n%100 == 0 {
				a.OrgID = ""
			}
		}))
	}
	want, err := b.fill(ctx, records)
	if err != nil {
		return err
	}
	return b.sameStretches(ctx, want)
}

// sameStretches compares the stretches of a store with what it must hold.
func (b *DeleterBackend) sameStretches(ctx context.Context, want *naive) error {
	for _, kind := range record.Kinds() {
		stretches, err := b.Store.Stretches(ctx, kind)
		if err != nil {
			return fmt.Errorf("stretches of %s: %w", kind, err)
		}
		if err := wellFormed(stretches, kind); err != nil {
			return err
		}
		held := 0
		for _, stretch := range stretches {
			for _, stock := range stretch.Orgs {
				records, err := want.checkStock(stretch, stock)
				if err != nil {
					return err
				}
				held += records
			}
		}
		if all := len(want.matching(query.Query{Kind: kind, Scope: query.All()})); held != all {
			return fmt.Errorf("the stretches of %s hold %d records, want %d", kind, held, all)
		}
	}
	return nil
}

func wellFormed(stretches []store.Stretch, kind record.Kind) error {
	names := map[string]bool{}
	for i, s := range stretches {
		switch {
		case s.Kind != kind || s.Name == "" || names[s.Name]:
			return fmt.Errorf("the stretch %q of %s is listed twice, or among those of %s", s.Name, s.Kind, kind)
		case s.From.IsZero() || !s.From.Before(s.To) || s.Bytes < 0:
			return fmt.Errorf("the stretch %q is from %v to %v and takes %d bytes", s.Name, s.From, s.To, s.Bytes)
		case i > 0 && s.From.Before(stretches[i-1].From):
			return fmt.Errorf("the stretch %q is older than the one before it", s.Name)
		case !slices.IsSortedFunc(s.Orgs, func(a, b store.Stock) int { return strings.Compare(a.OrgID, b.OrgID) }):
			return fmt.Errorf("the orgs of the stretch %q are not sorted", s.Name)
		}
		names[s.Name] = true
	}
	return nil
}

// checkStock compares what a stretch says of an org. Every record of the window
// is in it: the suite makes no stretches that overlap.
func (n *naive) checkStock(stretch store.Stretch, stock store.Stock) (int, error) {
	q := query.Query{Kind: stretch.Kind, Scope: query.All(), From: stretch.From, To: stretch.To, Filter: ofOrg(stock.OrgID)}
	found := n.matching(q)
	if int64(len(found)) != stock.Records || len(found) == 0 {
		return 0, fmt.Errorf("the stretch %q holds %d records of the org %q, want %d",
			stretch.Name, stock.Records, brief([]byte(stock.OrgID)), len(found))
	}
	newest, oldest := found[0].record.Base().Time.Time(), found[len(found)-1].record.Base().Time.Time()
	if early := oldest.Sub(stock.Oldest); early < 0 || early >= time.Millisecond {
		return 0, fmt.Errorf("the stretch %q says its oldest is of %v, want %v", stretch.Name, stock.Oldest, oldest)
	}
	if late := stock.Newest.Sub(newest); late < 0 || late >= time.Millisecond {
		return 0, fmt.Errorf("the stretch %q says its newest is of %v, want %v", stretch.Name, stock.Newest, newest)
	}
	return len(found), nil
}

func ofOrg(id string) query.Filter {
	if id == "" {
		return query.Not{Filter: query.Exists{Field: "org_id"}}
	}
	return query.Equal{Field: "org_id", Value: id}
}

// stretchAt returns the stretch of audits that an instant is in.
func stretchAt(ctx context.Context, s store.Deleter, at time.Time) (store.Stretch, error) {
	stretches, err := s.Stretches(ctx, record.KindAudit)
	if err != nil {
		return store.Stretch{}, err
	}
	for _, stretch := range stretches {
		if !at.Before(stretch.From) && at.Before(stretch.To) {
			return stretch, nil
		}
	}
	return store.Stretch{}, fmt.Errorf("no stretch is at %v", at)
}

// eraseWholeStretch: all of it goes at once, its neighbours stay, and it can be
// written to as if it had never been.
func eraseWholeStretch(ctx context.Context, b *DeleterBackend, s settings) error {
	want, err := b.fill(ctx, newGenerator(s.random(forRecords)).records(randomRecords))
	if err != nil {
		return err
	}
	at := spanStart().AddDate(0, 3, 10)
	for round, doomed := range []query.Filter{nil, query.And{}, query.Or{query.Not{Filter: query.Equal{Field: "org_id", Value: "none such"}}}} {
		stretch, err := stretchAt(ctx, b.Store, at)
		if err != nil {
			return err
		}
		q := query.Query{Kind: record.KindAudit, Scope: query.All(), From: stretch.From, To: stretch.To}
		gone := want.matching(q)
		erased, err := b.Store.EraseStretch(ctx, record.KindAudit, stretch.Name, doomed)
		if err != nil {
			return fmt.Errorf("erase the stretch %q: %w", stretch.Name, err)
		}
		if erased.Records != int64(want.erase(q)) || erased.Records == 0 || erased.Bytes < 0 {
			return fmt.Errorf("round %d erased %+v, want %d records", round, erased, len(gone))
		}
		if err := b.sameHoldings(ctx, want); err != nil {
			return err
		}
		if _, err := b.Store.EraseStretch(ctx, record.KindAudit, stretch.Name, doomed); !store.IsNotFound(err) {
			return fmt.Errorf("the same stretch again: error %v, want NotFound", err)
		}
		if err := b.Store.FinishErasing(ctx); err != nil {
			return err
		}
		late := recordsOf(gone[:1+len(gone)/2])
		if err := errors.Join(want.add(late...), appendAll(ctx, b.plain(), late)); err != nil {
			return fmt.Errorf("late records of the stretch: %w", err)
		}
		if err := b.sameHoldings(ctx, want); err != nil {
			return fmt.Errorf("with late records: %w", err)
		}
	}
	return nil
}

func recordsOf(entries []entry) []record.Record {
	var records []record.Record
	for _, e := range entries {
		records = append(records, e.record)
	}
	return records
}

// eraseWithSurvivors: one record that is not doomed saves all of them, even one
// that no search can find yet.
func eraseWithSurvivors(ctx context.Context, b *DeleterBackend, _ settings) error {
	want, err := b.fill(ctx, audits(0, 300))
	if err != nil {
		return err
	}
	stretch, err := stretchAt(ctx, b.Store, spanStart())
	if err != nil {
		return err
	}
	held := audits(300, 301, func(a *record.Audit) { a.OrgID = "held" })
	outcomes, err := b.Store.Append(ctx, held)
	if err := errors.Join(err, want.add(held...), checkResults(outcomes, []store.Result{store.Stored})); err != nil {
		return err
	}
	other := query.Not{Filter: query.Equal{Field: "org_id", Value: "held"}}
	for name, doomed := range map[string]query.Filter{
		"all but an org": other, "nothing": query.Or{}, "what no record is": query.Equal{Field: "user_id", Value: "bob"},
	} {
		if _, err := b.Store.EraseStretch(ctx, record.KindAudit, stretch.Name, doomed); !errors.Is(err, store.ErrSurvivors) {
			return fmt.Errorf("%s is doomed: error %v, want ErrSurvivors", name, err)
		}
		if err := b.sameHoldings(ctx, want); err != nil {
			return err
		}
		more := audits(len(want.positions), len(want.positions)+1)
		if err := errors.Join(want.add(more...), appendAll(ctx, b.plain(), more)); err != nil {
			return fmt.Errorf("a record that arrives after survivors: %w", err)
		}
	}
	return nil
}

// appendingDuringErasing: writers of late records, a part of which must be kept,
// against erasures of their stretch. What was acknowledged and is to be kept is
// there in the end; what could not be taken may be sent again.
func appendingDuringErasing(ctx context.Context, b *DeleterBackend, _ settings) error {
	const writers, months, each = 3, 6, 12
	if _, err := b.fill(ctx, audits(0, 50)); err != nil {
		return err
	}
	stop := make(chan struct{})
	failures := make([]error, writers+1)
	var writing, erasing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range months * each {
				r := audit(1_000*(w+1)+n, func(a *record.Audit) {
					a.Time = record.At(spanStart().AddDate(0, n/each, w))
					if n%each == each-1 {
						a.OrgID = "keep"
					}
				})
				if failures[w] = appendUntilStored(ctx, b.Store, r); failures[w] != nil {
					return
				}
			}
		})
	}
	erasing.Go(func() { failures[writers] = eraseUntil(ctx, b.Store, stop) })
	writing.Wait()
	close(stop)
	erasing.Wait()
	if err := errors.Join(append(failures, b.refresh(ctx))...); err != nil {
		return err
	}
	q := everyAudit(query.MaxLimit)
	q.Filter = query.Equal{Field: "org_id", Value: "keep"}
	count, err := b.Store.Count(ctx, q, 0)
	if want := int64(writers * months); err != nil || count.Records != want {
		return fmt.Errorf("%d records that are to be kept are there (%v), want %d", count.Records, err, want)
	}
	return nil
}

// appendUntilStored sends a record as a shipper does.
func appendUntilStored(ctx context.Context, s store.Writer, r record.Record) error {
	for ctx.Err() == nil {
		outcomes, err := s.Append(ctx, []record.Record{r})
		if len(outcomes) != 1 {
			return fmt.Errorf("append: %d outcomes: %w", len(outcomes), err)
		}
		switch o := outcomes[0]; {
		case o.Result == store.Stored || o.Result == store.Duplicate:
			return nil
		case o.Result != store.Failed || !store.IsUnavailable(o.Err):
			return fmt.Errorf("a record was %s (%w) while its stretch was erased, want failed and Unavailable", o.Result, o.Err)
		}
	}
	return ctx.Err()
}

// eraseUntil erases every stretch, but for one org, again and again.
func eraseUntil(ctx context.Context, s DeleterStore, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		stretches, err := s.Stretches(ctx, record.KindAudit)
		if err != nil {
			return err
		}
		for _, stretch := range stretches {
			if err := eraseWholeOrPart(ctx, s, stretch); err != nil {
				return fmt.Errorf("erase while records arrive: %w", err)
			}
		}
	}
}

func eraseWholeOrPart(ctx context.Context, s DeleterStore, stretch store.Stretch) error {
	doomed := query.Not{Filter: query.Equal{Field: "org_id", Value: "keep"}}
	_, err := s.EraseStretch(ctx, record.KindAudit, stretch.Name, doomed)
	switch {
	case err == nil || store.IsNotFound(err):
		return nil
	case !errors.Is(err, store.ErrSurvivors):
		return err
	}
	q := query.Query{Kind: record.KindAudit, Scope: query.All(), From: stretch.From, To: stretch.To, Filter: doomed}
	_, err = eraseAll(ctx, s, q, 5)
	return err
}
