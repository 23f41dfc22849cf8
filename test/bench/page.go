package main

import (
	"context"
	"errors"
	"fmt"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// pageOfElasticsearch measures what our store adds to the search that it sends,
// and what it saves beside the obvious.
func pageOfElasticsearch(ctx context.Context, b *bench) ([]figure, error) {
	if err := b.loadElasticsearch(ctx); err != nil {
		return nil, err
	}
	q, err := newestPage()
	if err != nil {
		return nil, err
	}
	search, err := b.searchOf(ctx, q)
	if err != nil {
		return nil, err
	}
	b.progress.step("measuring a page of Elasticsearch")
	client := newRawClient(b.cluster.URL())
	var answered int64
	raw := &side{name: "raw", run: func(int) (err error) {
		answered, err = client.send(ctx, search)
		return err
	}}
	list := &side{name: "List", run: func(int) error { return list(ctx, b.elastic, q, pageRows) }}
	decoded := &side{name: "List and decode", run: func(int) error { return listDecoded(ctx, b.elastic, q, pageRows) }}
	hand := &side{name: "by hand", run: func(int) error { return b.hand.page(ctx) }}
	if err := b.interleave(ctx, "a page", b.settings.iterations, raw, list, decoded, hand); err != nil {
		return nil, err
	}
	b.note("a page of %d is %d kB as Elasticsearch answers it", pageRows, answered>>10)
	return []figure{
		quotient("Elasticsearch, a page of 500: List ÷ raw", 1.3, *list, *raw),
		quotient("Elasticsearch, a page of 500: List and decode ÷ raw", 2.0, *decoded, *raw),
		quotient("Elasticsearch, a page of 500: List and decode ÷ by hand", 0.6, *decoded, *hand),
	}, nil
}

// searchOf returns the request that our store sends for a query.
func (b *bench) searchOf(ctx context.Context, q query.Query) (search sent, err error) {
	recorder, err := newRecorder(b.cluster.URL(), "/_search")
	if err != nil {
		return sent{}, err
	}
	defer func() { err = errors.Join(err, recorder.close()) }()
	s, err := b.openElasticsearch(ctx, recorder.URL, indexPrefix)
	if err != nil {
		return sent{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	// The first time, a store may look for its indices.
	for range 2 {
		recorder.drain()
		if err := list(ctx, s, q, pageRows); err != nil {
			return sent{}, err
		}
	}
	kept := recorder.drain()
	if len(kept) != 1 {
		return sent{}, fmt.Errorf("our store sends %d searches for a page, not 1", len(kept))
	}
	return kept[0], nil
}

// list reads a page that must have so many records.
func list(ctx context.Context, from store.Reader, q query.Query, want int) error {
	page, err := from.List(ctx, q)
	if err != nil {
		return err
	}
	if len(page.Documents) != want {
		return fmt.Errorf("the page has %d records, not %d", len(page.Documents), want)
	}
	return nil
}

// listDecoded is list into structs.
func listDecoded(ctx context.Context, from store.Reader, q query.Query, want int) error {
	page, err := from.List(ctx, q)
	if err != nil {
		return err
	}
	records, err := record.DecodeAll(q.Kind, page.Documents)
	if err != nil {
		return err
	}
	if len(records) != want {
		return fmt.Errorf("the page has %d records, not %d", len(records), want)
	}
	return nil
}

// pageOfSQLite measures the embedded store beside Elasticsearch.
func pageOfSQLite(ctx context.Context, b *bench) ([]figure, error) {
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	// The second half of the month, of a user who did much.
	middle := monthStart().Add(monthEnd().Sub(monthStart()) / 2)
	q, err := question(query.Query{
		From: middle, To: monthEnd(), Filter: query.Equal{Field: "user_id", Value: humanUser(0)},
	})
	if err != nil {
		return nil, err
	}
	rare, err := question(query.Query{Filter: query.Equal{Field: "user_id", Value: breakGlass}})
	if err != nil {
		return nil, err
	}
	matching, err := available(ctx, b.sqlite, q)
	if err != nil {
		return nil, err
	}
	want := min(pageRows, matching)
	b.note("the user of the filtered page has %d records in its window of half a month; the rare value has %d in all", matching, rareRecords)
	b.progress.step("measuring a page of SQLite")
	embedded := &side{name: "SQLite", run: func(int) error { return listDecoded(ctx, b.sqlite, q, want) }}
	other := &side{name: "Elasticsearch", run: func(int) error { return listDecoded(ctx, b.elastic, q, want) }}
	found := &side{name: "rare value", run: func(int) error { return listDecoded(ctx, b.sqlite, rare, rareRecords) }}
	if err := b.interleave(ctx, "a page", b.settings.iterations, embedded, other, found); err != nil {
		return nil, err
	}
	return []figure{
		quotient("SQLite, a page of 500 of a user in a window, decoded ÷ Elasticsearch, the same", 1.0, *embedded, *other),
		quotient("SQLite, a rare value ÷ that page", 0.2, *found, *embedded),
	}, nil
}
