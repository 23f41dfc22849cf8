package main

import (
	"context"
	"fmt"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/store"
)

const deepPage = 1000

// walk is a list whose first page is compared with a late one.
type walk struct {
	name   string
	filter query.Filter
	limit  int
}

// walks are lists long enough for a thousand pages: all records, a filter that
// most of them pass, and one that few do, in smaller pages.
func walks() []walk {
	const few = 10
	return []walk{
		{"no filter, pages of 500", nil, pageRows},
		{"actor_type (most records), pages of 500", query.Equal{Field: "actor_type", Value: "ServiceAccount"}, pageRows},
		{"user_id (few records), pages of 10", query.Equal{Field: "user_id", Value: humanUser(0)}, few},
	}
}

// deepPages measures whether a late page costs more than the first.
func deepPages(ctx context.Context, b *bench) ([]figure, error) {
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	var figures []figure
	for _, s := range []struct {
		name   string
		reader store.Reader
	}{{"SQLite", b.sqlite}, {"Elasticsearch", b.elastic}} {
		for _, w := range walks() {
			f, err := b.deep(ctx, s.name, s.reader, w)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", s.name, w.name, err)
			}
			figures = append(figures, f)
		}
	}
	return figures, nil
}

func (b *bench) deep(ctx context.Context, name string, reader store.Reader, w walk) (figure, error) {
	first, err := question(query.Query{From: monthStart(), To: monthEnd(), Filter: w.filter, Limit: w.limit})
	if err != nil {
		return figure{}, err
	}
	matching, err := available(ctx, reader, first)
	if err != nil {
		return figure{}, err
	}
	// With fewer records, for a quick look, the last full page stands in.
	number := min(deepPage, matching/w.limit-1)
	b.progress.step("walking to page %d of %s, %s", number, name, w.name)
	late, err := b.walkTo(ctx, reader, first, number)
	if err != nil {
		return figure{}, err
	}
	newest := &side{name: "page 1", run: func(int) error { return list(ctx, reader, first, w.limit) }}
	// One page on each side: reading several late ones in turn would compare
	// caches, the machine's and the store's, and not what finding a page costs.
	deep := &side{name: fmt.Sprintf("page %d", number), run: func(int) error { return list(ctx, reader, late, w.limit) }}
	if err := b.interleave(ctx, "a late page", b.settings.iterations, newest, deep); err != nil {
		return figure{}, err
	}
	return quotient(fmt.Sprintf("%s, page %d ÷ page 1, %s", name, number, w.name), 1.2, *deep, *newest), nil
}

// walkTo returns the query for a page, found as every reader finds it: from page
// to page.
func (b *bench) walkTo(ctx context.Context, reader store.Reader, q query.Query, number int) (query.Query, error) {
	for page := 1; page < number; page++ {
		answer, err := reader.List(ctx, q)
		if err != nil {
			return q, fmt.Errorf("page %d: %w", page, err)
		}
		if answer.Next == nil {
			return q, fmt.Errorf("the list ends with page %d", page)
		}
		q.After = answer.Next
		b.progress.at("walking", page, number)
	}
	return q, nil
}
