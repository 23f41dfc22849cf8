package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// way is a way to append records.
type way func(context.Context, Store, []record.Record) ([]store.Outcome, error)

func asRecords(ctx context.Context, s Store, records []record.Record) ([]store.Outcome, error) {
	return s.Append(ctx, records)
}

func asPrepared(ctx context.Context, s Store, records []record.Record) ([]store.Outcome, error) {
	return s.AppendPrepared(ctx, prepare(records))
}

func prepare(records []record.Record) []record.Prepared {
	prepared := make([]record.Prepared, 0, len(records))
	for _, r := range records {
		prepared = append(prepared, record.Prepare(r))
	}
	return prepared
}

// alternately takes the ways in turn, so that each meets what the other stored.
func alternately() way {
	calls := 0
	return func(ctx context.Context, s Store, records []record.Record) ([]store.Outcome, error) {
		calls++
		return []way{asRecords, asPrepared}[calls%2](ctx, s, records)
	}
}

func appendOutcomes(appending way) func(context.Context, *Backend, settings) error {
	return func(ctx context.Context, b *Backend, _ settings) error { return checkOutcomes(ctx, b, appending) }
}

// checkOutcomes: what becomes of a record that is there already, in the same
// batch or in an earlier one.
func checkOutcomes(ctx context.Context, b *Backend, appending way) error {
	later := func(a *record.Audit) { record.Normalize(a, ingested().AddDate(0, 0, 3)) }
	other := func(a *record.Audit) { a.UserID = "mallory" }
	otherDetails := func(a *record.Audit) { a.Details = json.RawMessage(`{"a":1}`) }
	otherTime := func(a *record.Audit) { a.Time++ }
	late := func(n int) *record.Audit {
		a := audit(n)
		later(a)
		return a
	}
	stored, duplicate, collision := store.Stored, store.Duplicate, store.Collision
	steps := []struct {
		name    string
		records []record.Record
		want    []store.Result
	}{
		{"no record at all", nil, []store.Result{}},
		{"a new record", audits(1, 2), []store.Result{stored}},
		{"the same again", audits(1, 2), []store.Result{duplicate}},
		{"the same, taken in later", []record.Record{late(1)}, []store.Result{duplicate}},
		{"the same id with another user", audits(1, 2, other), []store.Result{collision}},
		{"the same id with other details", audits(1, 2, otherDetails), []store.Result{collision}},
		{"the same id a microsecond later", audits(1, 2, otherTime), []store.Result{collision}},
		{
			"new, old, changed and repeated in one batch",
			[]record.Record{audit(2), audit(1), audit(1, other), audit(2), audit(3), audit(2, other), late(3), audit(4)},
			[]store.Result{stored, duplicate, collision, duplicate, stored, collision, duplicate, stored},
		},
		{"the changed one again", audits(2, 3, other), []store.Result{collision}},
		{"all of them again", audits(1, 5), []store.Result{duplicate, duplicate, duplicate, duplicate}},
	}
	for _, step := range steps {
		if err := appendStep(ctx, b, appending, step.records, step.want); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	want := newNaive()
	if err := want.add(audits(1, 5)...); err != nil {
		return err
	}
	if err := sameWalk(ctx, b.Store, want, everyAudit(query.MaxLimit)); err != nil {
		return fmt.Errorf("afterwards, what was stored first must be untouched: %w", err)
	}
	return nil
}

func appendStep(ctx context.Context, b *Backend, appending way, records []record.Record, want []store.Result) error {
	outcomes, err := appending(ctx, b.Store, records)
	if err != nil {
		return err
	}
	if err := checkResults(outcomes, want); err != nil {
		return err
	}
	return b.refresh(ctx)
}

func checkResults(outcomes []store.Outcome, want []store.Result) error {
	results := make([]store.Result, 0, len(outcomes))
	for i, o := range outcomes {
		results = append(results, o.Result)
		if failed := o.Result != store.Stored && o.Result != store.Duplicate; failed != (o.Err != nil) {
			return fmt.Errorf("outcome %d is %s with the error %v", i, o.Result, o.Err)
		}
	}
	if !slices.Equal(results, want) {
		return fmt.Errorf("outcomes %v, want %v", results, want)
	}
	return nil
}

// appendMany: one call takes more than any batch of a store, in order, across
// kinds and months.
func appendMany(appending way) func(context.Context, *Backend, settings) error {
	return func(ctx context.Context, b *Backend, s settings) error {
		const count = 2500
		want := newNaive()
		records := newGenerator(s.random(forRecords)).records(count)
		if err := want.add(records...); err != nil {
			return err
		}
		if err := appendWant(ctx, b.Store, appending, records, store.Stored); err != nil {
			return err
		}
		if err := appendWant(ctx, b.Store, appending, records, store.Duplicate); err != nil {
			return fmt.Errorf("the second time: %w", err)
		}
		if err := b.refresh(ctx); err != nil {
			return err
		}
		for _, kind := range record.Kinds() {
			q := query.Query{Kind: kind, Scope: query.All(), Limit: query.MaxLimit}
			if err := sameWalk(ctx, b.Store, want, q); err != nil {
				return describe(q, err)
			}
		}
		return nil
	}
}

// appendTogether: several writers with the same records store each of them
// once and tell exactly one writer so, while readers read.
func appendTogether(ctx context.Context, b *Backend, _ settings) error {
	const writers, count, batch = 4, 300, 50
	records := audits(0, count)
	results := make([][]store.Result, writers)
	failures := make([]error, writers+1)
	var working sync.WaitGroup
	for w := range writers {
		working.Go(func() { results[w], failures[w] = appendInBatches(ctx, b.Store, records, batch) })
	}
	working.Go(func() {
		for range 20 {
			page, err := b.Store.List(ctx, everyAudit(query.MaxLimit))
			if err == nil {
				err = newSightings().add(page)
			}
			failures[writers] = errors.Join(failures[writers], err)
		}
	})
	working.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	for i := range records {
		stored := 0
		for w := range writers {
			switch results[w][i] {
			case store.Stored:
				stored++
			case store.Duplicate:
			default:
				return fmt.Errorf("record %d was %s for writer %d", i, results[w][i], w)
			}
		}
		if stored != 1 {
			return fmt.Errorf("record %d was stored for %d writers", i, stored)
		}
	}
	want := newNaive()
	if err := errors.Join(want.add(records...), b.refresh(ctx)); err != nil {
		return err
	}
	return sameWalk(ctx, b.Store, want, everyAudit(query.MaxLimit))
}

func appendInBatches(ctx context.Context, s Store, records []record.Record, batch int) ([]store.Result, error) {
	var results []store.Result
	appending := alternately()
	for start := 0; start < len(records); start += batch {
		outcomes, err := appending(ctx, s, records[start:start+batch])
		if err != nil {
			return nil, err
		}
		if len(outcomes) != batch {
			return nil, fmt.Errorf("%d outcomes of %d records", len(outcomes), batch)
		}
		for _, o := range outcomes {
			results = append(results, o.Result)
		}
	}
	return results, nil
}
