package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// appendAll stores records, which must all be new, in batches of up to 1,000,
// and makes them visible.
func appendAll(ctx context.Context, b *Backend, records []record.Record) error {
	const batch = 1000
	for start := 0; start < len(records); start += batch {
		part := records[start:min(start+batch, len(records))]
		if err := appendWant(ctx, b.Store, asRecords, part, store.Stored); err != nil {
			return err
		}
	}
	return b.refresh(ctx)
}

// appendWant appends records and demands one result for all of them.
func appendWant(ctx context.Context, s Store, appending way, records []record.Record, want store.Result) error {
	outcomes, err := appending(ctx, s, records)
	if err != nil {
		return fmt.Errorf("append %d records: %w", len(records), err)
	}
	if len(outcomes) != len(records) {
		return fmt.Errorf("append %d records: %d outcomes", len(records), len(outcomes))
	}
	for i, o := range outcomes {
		if o.Result != want {
			return fmt.Errorf("append: record %d of %d, %s, was %s (%v), want %s",
				i, len(records), records[i].Base().ID, o.Result, o.Err, want)
		}
	}
	return nil
}

// validated makes q canonical; the checks' own queries are valid.
func validated(q query.Query) (query.Query, error) {
	valid, err := query.Validate(q, record.NewSchema(q.Kind))
	if err != nil {
		return q, fmt.Errorf("the check asks an invalid query: %w", err)
	}
	return valid, nil
}

// samePage compares a page with the one that is right.
func samePage(got, want store.Page) error {
	for i := range min(len(got.Documents), len(want.Documents)) {
		if !bytes.Equal(got.Documents[i], want.Documents[i]) {
			return fmt.Errorf("document %d of the page is\n  %s, want\n  %s", i, brief(got.Documents[i]), brief(want.Documents[i]))
		}
	}
	if len(got.Documents) != len(want.Documents) {
		return fmt.Errorf("the page holds %d documents, want %d", len(got.Documents), len(want.Documents))
	}
	switch {
	case got.Next == nil && want.Next != nil:
		return fmt.Errorf("the page has no Next, although more follows it")
	case got.Next != nil && want.Next == nil:
		return fmt.Errorf("the page has a Next, although nothing follows it")
	case got.Next != nil && *got.Next != *want.Next:
		return fmt.Errorf("the page's Next is %v, want the position of its last document, %v", *got.Next, *want.Next)
	}
	return nil
}

// brief keeps the interesting part of a document for a message.
func brief(document []byte) string {
	const most = 600
	if len(document) <= most {
		return string(document)
	}
	return fmt.Sprintf("%s… (%d bytes)", bytes.ToValidUTF8(document[:most], nil), len(document))
}

// sameWalk follows q to its end and compares each page.
func sameWalk(ctx context.Context, r store.Reader, want *naive, q query.Query) error {
	for page := 1; ; page++ {
		got, err := r.List(ctx, q)
		if err != nil {
			return fmt.Errorf("page %d: %w", page, err)
		}
		if err := samePage(got, want.page(q)); err != nil {
			return fmt.Errorf("page %d: %w", page, err)
		}
		if got.Next == nil {
			return nil
		}
		q.After = got.Next
	}
}

// samePlaces compares pages that begin at random places, also at such as no
// record has: what was at a cursor's place may have been deleted since.
func samePlaces(ctx context.Context, r store.Reader, want *naive, q query.Query, random *rand.Rand) error {
	found := want.matching(q)
	for range min(len(found), 3) {
		place := store.PositionOf(pick(random, found).record)
		if random.IntN(2) == 0 {
			place.ID[15]++
		}
		q.After = &place
		got, err := r.List(ctx, q)
		if err != nil {
			return fmt.Errorf("page after %v: %w", place, err)
		}
		if err := samePage(got, want.page(q)); err != nil {
			return fmt.Errorf("page after %v: %w", place, err)
		}
	}
	return nil
}

// sameCounts compares exact and bounded counts.
func sameCounts(ctx context.Context, r store.Reader, want *naive, q query.Query) error {
	total := int64(len(want.matching(q)))
	for _, atMost := range []int{0, 1, 10, int(total), int(total) + 1} {
		got, err := r.Count(ctx, q, atMost)
		if err != nil {
			return fmt.Errorf("count at most %d: %w", atMost, err)
		}
		if err := rightCount(got, total, atMost); err != nil {
			return err
		}
	}
	return nil
}

// rightCount judges a count: exact ones are right, others reached the bound
// and claim no more than there is.
func rightCount(got store.Count, total int64, atMost int) error {
	exact := got.Exact && got.Records == total
	reached := !got.Exact && atMost > 0 && got.Records >= int64(atMost) && got.Records <= total
	if !exact && !reached {
		return fmt.Errorf("count at most %d is %d (exact: %t), want %d", atMost, got.Records, got.Exact, total)
	}
	return nil
}

// sameGet compares one document, fetched by id.
func sameGet(ctx context.Context, r store.Reader, want *naive, kind record.Kind, id record.ID, scope query.Scope) error {
	got, err := r.Get(ctx, kind, id, scope)
	document, ok := want.get(kind, id, scope)
	switch {
	case !ok && store.IsNotFound(err):
		return nil
	case !ok:
		return fmt.Errorf("get %s %s in scope %s: error %v and %d bytes, want NotFound", kind, id, scope.Name, err, len(got))
	case err != nil:
		return fmt.Errorf("get %s %s in scope %s: %w", kind, id, scope.Name, err)
	case !bytes.Equal(got, document):
		return fmt.Errorf("get %s %s is\n  %s, want\n  %s", kind, id, brief(got), brief(document))
	}
	return nil
}

// sameAnswers compares everything that a store can say to q.
func sameAnswers(ctx context.Context, r store.Reader, want *naive, q query.Query, random *rand.Rand) error {
	if q.Limit < 50 && len(want.matching(q)) > 50*q.Limit {
		q.Limit = 50 // a walk in steps of 1 belongs to a check of its own
	}
	if err := sameWalk(ctx, r, want, q); err != nil {
		return describe(q, err)
	}
	if err := samePlaces(ctx, r, want, q, random); err != nil {
		return describe(q, err)
	}
	if err := sameCounts(ctx, r, want, q); err != nil {
		return describe(q, err)
	}
	return nil
}

// describe adds the query to an error, in the form that cursors carry it.
func describe(q query.Query, err error) error {
	filter, errFilter := query.MarshalFilter(q.Filter)
	restrict, errRestrict := query.MarshalFilter(q.Scope.Restrict)
	if errFilter != nil || errRestrict != nil {
		return err
	}
	return fmt.Errorf("%s, limit %d, from %v, to %v\n  filter %s\n  scope %s %s\n%w",
		q.Kind, q.Limit, q.From, q.To, brief(filter), q.Scope.Name, brief(restrict), err)
}
