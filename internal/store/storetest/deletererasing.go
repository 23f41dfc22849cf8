package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// eraseRandomParts: random windows and filters, in batches of any size, take
// what they match and leave the rest, byte for byte.
func eraseRandomParts(ctx context.Context, b *DeleterBackend, s settings) error {
	records := newGenerator(s.random(forRecords)).records(randomRecords)
	want, err := b.fill(ctx, records)
	if err != nil {
		return err
	}
	ask, random := newAsker(s.random(forQueries), records), s.random(forPlaces)
	for n := range min(s.queries, 60) {
		q, err := ask.query()
		if err != nil {
			return err
		}
		q.Scope = query.All()
		if matched := len(want.matching(q)); matched > randomRecords/10 && n%10 != 0 {
			continue // else little is left after a few
		}
		limit := pick(random, []int{1, 7, 100, store.MaxErasureBatch})
		if len(want.matching(q)) > 100 {
			limit = max(limit, 100)
		}
		expected := want.erase(q)
		erased, err := eraseAll(ctx, b.Store, q, limit)
		if err != nil {
			return describe(q, fmt.Errorf("erasure %d in batches of %d: %w", n, limit, err))
		}
		if erased != expected {
			return describe(q, fmt.Errorf("erasure %d in batches of %d erased %d records, want %d", n, limit, erased, expected))
		}
		if again, err := eraseAll(ctx, b.Store, q, limit); err != nil || again != 0 {
			return describe(q, fmt.Errorf("the same erasure again erased %d records (%w), want none", again, err))
		}
		if n%10 == 0 {
			if err := b.sameHoldings(ctx, want); err != nil {
				return describe(q, fmt.Errorf("after erasure %d: %w", n, err))
			}
		}
	}
	return b.sameHoldings(ctx, want)
}

// eraseOldestFirst: an erasure that is given up has erased what is oldest.
func eraseOldestFirst(ctx context.Context, b *DeleterBackend, _ settings) error {
	const count, day = 900, 86_400
	var records []record.Record
	for n := range count {
		records = append(records, audit(n, func(a *record.Audit) { a.Time = record.At(spanStart()) + record.Timestamp(n/2*day*1e6/4) }))
	}
	want, err := b.fill(ctx, records)
	if err != nil {
		return err
	}
	q := everyAudit(1)
	q.From, q.To = spanStart().AddDate(0, 0, 1), spanStart().AddDate(0, 3, 1)
	for _, batches := range []int{1, 3, 0} {
		if err := eraseSome(ctx, b, want, q, batches, 10); err != nil {
			return err
		}
	}
	return b.sameHoldings(ctx, want)
}

// eraseSome erases a few batches, compares, and gives up.
func eraseSome(ctx context.Context, b *DeleterBackend, want *naive, q query.Query, batches, limit int) error {
	erasure, err := b.Store.Erase(ctx, q)
	if err != nil {
		return err
	}
	total := 0
	for range batches {
		erased, err := erasure.Next(ctx, limit)
		if err != nil || erased > limit || erased < 1 {
			return fmt.Errorf("a batch of at most %d records erased %d: %w", limit, erased, err)
		}
		total += erased
	}
	if err := erasure.Close(ctx); err != nil {
		return err
	}
	found := want.matching(q)
	last := found[len(found)-total:]
	part := q
	part.To = found[len(found)-1].record.Base().Time.Time()
	if total > 0 {
		part.To = last[0].record.Base().Time.Time() // all that are older than the last one erased must be gone
	}
	if err := b.refresh(ctx); err != nil {
		return err
	}
	if left, err := b.Store.Count(ctx, part, 0); part.From.Before(part.To) && (err != nil || left.Records != 0) {
		return fmt.Errorf("%d records are left that are older than the last of %d that were erased (%v)", left.Records, total, err)
	}
	left, err := b.Store.Count(ctx, q, 0)
	if err != nil || left.Records != int64(len(found)-total) {
		return fmt.Errorf("%d records are left after %d of %d were erased (%v)", left.Records, total, len(found), err)
	}
	// Which of equal times went is the store's choice: erase them all.
	part.To = part.To.Add(time.Microsecond)
	if _, err := eraseAll(ctx, b.Store, part, limit); err != nil {
		return err
	}
	want.erase(part)
	return nil
}

// eraseBesideHolds: a filter of the form that retention asks: of some orgs, all
// but what holds match.
func eraseBesideHolds(ctx context.Context, b *DeleterBackend, s settings) error {
	want, err := b.fill(ctx, newGenerator(s.random(forRecords)).records(randomRecords))
	if err != nil {
		return err
	}
	const holds = 300
	held := query.Or{
		query.And{
			query.AnyOf{Field: "user_id", Values: []string{"alice", "bob"}},
			query.Range{Field: "time", Min: spanStart().AddDate(0, 2, 0).Format(time.RFC3339Nano), Max: spanStart().AddDate(0, 9, 0).Format(time.RFC3339Nano)},
		},
		query.Equal{Field: "org_id", Value: "ALICE"},
	}
	for n := range holds {
		held = append(held, query.And{
			query.AnyOf{Field: "org_id", Values: []string{fmt.Sprintf("o%d", n), fmt.Sprintf("p%d", n)}},
			query.AnyOf{Field: "user_id", Values: []string{"bob", record8191("x") + "more"}},
		})
	}
	for _, kind := range record.Kinds() {
		q := query.Query{Kind: kind, Scope: query.All(), To: spanStart().AddDate(0, 12, 3).Add(time.Microsecond / 2), Filter: query.And{
			query.Not{Filter: query.AnyOf{Field: "org_id", Values: []string{"bob", record8191("x") + "more"}}}, query.Not{Filter: held},
		}}
		canonical, err := store.Erasable("erase", q, record.NewSchema(kind))
		if err != nil {
			return err
		}
		expected := want.erase(canonical)
		erased, err := eraseAll(ctx, b.Store, q, 200)
		if err != nil || erased != expected || expected == 0 {
			return fmt.Errorf("%d records of %s were erased beside holds (%w), want %d", erased, kind, err, expected)
		}
	}
	return b.sameHoldings(ctx, want)
}

// pagingDuringErasing: a reader's pages are whole and in order, and hold each
// record that stays exactly once.
func pagingDuringErasing(ctx context.Context, b *DeleterBackend, _ settings) error {
	const count, walks = 900, 6
	stays := func(n int) bool { return n%3 == 0 }
	var records, staying []record.Record
	for n := range count {
		r := audit(n, func(a *record.Audit) {
			if a.Time = record.At(spanStart().AddDate(0, n%3, 0)) + record.Timestamp(n)*1e6; !stays(n) {
				a.OrgID = "doomed"
			}
		})
		if records = append(records, r); stays(n) {
			staying = append(staying, r)
		}
	}
	want, err := b.fill(ctx, records)
	if err != nil {
		return err
	}
	doomed := everyAudit(1)
	doomed.Filter = query.Equal{Field: "org_id", Value: "doomed"}
	var erasing sync.WaitGroup
	var failure error
	erasing.Go(func() { _, failure = eraseAll(ctx, b.Store, doomed, 20) })
	for range walks {
		if err := walkOnce(ctx, b.Store, staying); err != nil {
			return err
		}
	}
	erasing.Wait()
	want.erase(doomed)
	return errors.Join(failure, b.sameHoldings(ctx, want))
}

// walkOnce reads all audits in pages, each full but the last.
func walkOnce(ctx context.Context, r store.Reader, staying []record.Record) error {
	const limit = 41
	seen, q := newSightings(), everyAudit(limit)
	for {
		page, err := r.List(ctx, q)
		if err != nil {
			return fmt.Errorf("list while records are erased: %w", err)
		}
		if page.Next != nil && len(page.Documents) != limit {
			return fmt.Errorf("a page of %d documents has a Next, want %d", len(page.Documents), limit)
		}
		if err := seen.add(page); err != nil {
			return err
		}
		if page.Next == nil {
			return seen.once(staying)
		}
		q.After = page.Next
	}
}

// storeErasedAgain: an erased record is not remembered: it is new again, and so
// is another with its id.
func storeErasedAgain(ctx context.Context, b *DeleterBackend, _ settings) error {
	if _, err := b.fill(ctx, audits(0, 100)); err != nil {
		return err
	}
	if erased, err := eraseAll(ctx, b.Store, everyAudit(1), 30); err != nil || erased != 100 {
		return fmt.Errorf("erased %d records (%w), want 100", erased, err)
	}
	if err := b.sameHoldings(ctx, newNaive()); err != nil {
		return err
	}
	want, err := b.fill(ctx, audits(0, 100, func(a *record.Audit) { a.UserID = "mallory" }))
	if err != nil {
		return err
	}
	if err := b.Store.Reclaim(ctx); err != nil {
		return fmt.Errorf("reclaim: %w", err)
	}
	return b.sameHoldings(ctx, want)
}

// refusedErasures: what can't be asked is Invalid and erases nothing.
func refusedErasures(ctx context.Context, b *DeleterBackend, _ settings) error {
	if err := b.Store.FinishErasing(ctx); err != nil {
		return fmt.Errorf("finish in an empty store: %w", err)
	}
	if erased, err := eraseAll(ctx, b.Store, everyAudit(1), 1); err != nil || erased != 0 {
		return fmt.Errorf("an empty store lost %d records (%w)", erased, err)
	}
	want, err := b.fill(ctx, audits(0, 20))
	if err != nil {
		return err
	}
	stretch, err := stretchAt(ctx, b.Store, spanStart())
	if err != nil {
		return err
	}
	asked := func(change func(*query.Query)) error {
		q := everyAudit(1)
		change(&q)
		_, err := eraseAll(ctx, b.Store, q, 10)
		return err
	}
	limited := func(limit int) error {
		_, err := eraseAll(ctx, b.Store, everyAudit(1), limit)
		return err
	}
	stretched := func(kind record.Kind, name string, doomed query.Filter) error {
		_, err := b.Store.EraseStretch(ctx, kind, name, doomed)
		return err
	}
	_, errKind := b.Store.Stretches(ctx, "Nope")
	for name, c := range map[string]struct {
		err  error
		want store.Reason
	}{
		"an unknown field":             {asked(func(q *query.Query) { q.Filter = unknownField() }), store.Invalid},
		"an unknown kind":              {asked(func(q *query.Query) { q.Kind = "Nope" }), store.Invalid},
		"no scope":                     {asked(func(q *query.Query) { q.Scope = query.Scope{} }), store.Invalid},
		"a scope of some":              {asked(func(q *query.Query) { q.Scope.Restrict = query.And{} }), store.Invalid},
		"a window without an inside":   {asked(func(q *query.Query) { q.From, q.To = ingested(), ingested() }), store.Invalid},
		"a batch of none":              {limited(0), store.Invalid},
		"a batch of too many":          {limited(store.MaxErasureBatch + 1), store.Invalid},
		"stretches of an unknown kind": {errKind, store.Invalid},
		"a stretch by unknown fields":  {stretched(record.KindAudit, stretch.Name, unknownField()), store.Invalid},
		"a stretch of unknown kind":    {stretched("Nope", stretch.Name, nil), store.Invalid},
		"a stretch of the other kind":  {stretched(record.KindAuthAudit, stretch.Name, nil), store.NotFound},
		"a stretch of no name":         {stretched(record.KindAudit, "", nil), store.NotFound},
		"a stretch that is none":       {stretched(record.KindAudit, "*", nil), store.NotFound},
	} {
		if store.ReasonOf(c.err) != c.want {
			return fmt.Errorf("%s: error %w, want %s", name, c.err, c.want)
		}
	}
	return b.sameHoldings(ctx, want)
}

// deleterCall is one method of a store that erases, reduced to its error.
type deleterCall struct {
	name string
	do   func(context.Context, DeleterStore) error
}

// deleterCalls erase nothing that a store with audits(0, 10) holds.
func deleterCalls() []deleterCall {
	return []deleterCall{
		{"Stretches", func(ctx context.Context, s DeleterStore) error {
			_, err := s.Stretches(ctx, record.KindAudit)
			return err
		}},
		{"EraseStretch", func(ctx context.Context, s DeleterStore) error {
			_, err := s.EraseStretch(ctx, record.KindAudit, "none", nil)
			if store.IsNotFound(err) {
				return nil
			}
			return err
		}},
		{"FinishErasing", func(ctx context.Context, s DeleterStore) error { return s.FinishErasing(ctx) }},
		{"Erase", func(ctx context.Context, s DeleterStore) error {
			erasure, err := s.Erase(ctx, everyAuthAudit())
			if err != nil {
				return err
			}
			if _, err = erasure.Next(ctx, 10); errors.Is(err, io.EOF) {
				err = ctx.Err()
			}
			return errors.Join(err, erasure.Close(ctx))
		}},
		{"ReadNote", func(ctx context.Context, s DeleterStore) error {
			_, err := s.ReadNote(ctx, "some")
			return err
		}},
		{"WriteNote", func(ctx context.Context, s DeleterStore) error {
			note, err := s.ReadNote(ctx, "some")
			if err != nil {
				return err
			}
			_, err = s.WriteNote(ctx, "some", []byte("text"), note.Version)
			return err
		}},
	}
}

func everyAuthAudit() query.Query {
	q := everyAudit(1)
	q.Kind = record.KindAuthAudit
	return q
}

// interruptedErasures: a caller that went away gets an error with a reason, and
// nothing is erased.
func interruptedErasures(ctx context.Context, b *DeleterBackend, _ settings) error {
	want, err := b.fill(ctx, audits(0, 10))
	if err != nil {
		return err
	}
	stretch, err := stretchAt(ctx, b.Store, spanStart())
	if err != nil {
		return err
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	all := append(deleterCalls(), deleterCall{"EraseStretch of one that is there", func(ctx context.Context, s DeleterStore) error {
		_, err := s.EraseStretch(ctx, record.KindAudit, stretch.Name, nil)
		return err
	}}, deleterCall{"Erase of what is there", func(ctx context.Context, s DeleterStore) error {
		_, err := eraseAll(ctx, s, everyAudit(1), 10)
		return err
	}})
	for _, c := range all {
		if err := c.do(cancelled, b.Store); !store.IsTimeout(err) && !store.IsUnavailable(err) {
			return fmt.Errorf("%s with a cancelled context: %v, want Timeout or Unavailable", c.name, err)
		}
	}
	if b.Store, err = b.Reopen(ctx); err != nil {
		return err
	}
	return errors.Join(b.Store.FinishErasing(ctx), b.sameHoldings(ctx, want))
}
