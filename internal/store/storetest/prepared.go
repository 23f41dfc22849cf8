package storetest

import (
	"context"
	"errors"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// preparedLent: a store keeps no memory of the prepared records that it is given.
// Whoever lends them writes the next ones over them.
func preparedLent(ctx context.Context, b *Backend, s settings) error {
	const count = 200
	want := newNaive()
	records := newGenerator(s.random(forRecords)).records(count)
	if err := want.add(records...); err != nil {
		return err
	}
	lent := prepare(records)
	if _, err := b.Store.AppendPrepared(ctx, lent); err != nil {
		return err
	}
	for _, p := range lent {
		clear(p.Document)
		clear(p.Words)
	}
	if err := b.refresh(ctx); err != nil {
		return err
	}
	for _, kind := range record.Kinds() {
		q := query.Query{Kind: kind, Scope: query.All(), Limit: query.MaxLimit}
		if err := sameWalk(ctx, b.Store, want, q); err != nil {
			return describe(q, err)
		}
		q.Filter = query.Text{Words: []string{"web"}}
		if err := sameWalk(ctx, b.Store, want, q); err != nil {
			return describe(q, err)
		}
	}
	return nil
}

// preparedSpoiled: a prepared record that is none is rejected, and its
// neighbours are stored.
func preparedSpoiled(ctx context.Context, b *Backend, _ settings) error {
	spoil := func(n int, change func(*record.Prepared)) record.Prepared {
		p := record.Prepare(audit(n))
		change(&p)
		return p
	}
	given := []record.Prepared{
		record.Prepare(audit(1)),
		spoil(2, func(p *record.Prepared) { p.Document = nil }),
		spoil(3, func(p *record.Prepared) { p.Document = p.Document[:len(p.Document)-1] }),
		spoil(4, func(p *record.Prepared) { p.Document[20] = '\n' }),
		spoil(5, func(p *record.Prepared) { p.Document[len(p.Document)-2] = '\n' }),
		spoil(6, func(p *record.Prepared) { p.ID = audit(60).ID }),
		spoil(7, func(p *record.Prepared) { p.Time++ }),
		spoil(8, func(p *record.Prepared) { p.Kind = "Event" }),
		spoil(9, func(p *record.Prepared) { *p = record.Prepared{} }),
		record.Prepare(audit(10)),
	}
	results := make([]store.Result, len(given))
	for i := range results {
		results[i] = store.Rejected
	}
	results[0], results[len(results)-1] = store.Stored, store.Stored
	outcomes, err := b.Store.AppendPrepared(ctx, given)
	if err != nil {
		return err
	}
	want := newNaive()
	if err := errors.Join(checkResults(outcomes, results), want.add(audit(1), audit(10)), b.refresh(ctx)); err != nil {
		return err
	}
	return sameWalk(ctx, b.Store, want, everyAudit(query.MaxLimit))
}
