package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// namespaceScope is the shape that tenancy gives to a namespace: the records of
// the organisations bound to it, and those of its own name since it exists.
func namespaceScope(name string, since time.Time, orgs []string) query.Scope {
	return query.Scope{Name: "namespace/" + name, Restrict: query.Or{
		query.AnyOf{Field: "org_id", Values: orgs},
		query.And{
			query.Equal{Field: "source_type", Value: record.SourceKubernetes},
			query.Equal{Field: "cluster", Value: "main"},
			query.Equal{Field: "org_id", Value: name},
			query.Range{Field: "time", Min: since.Format(time.RFC3339Nano)},
		},
	}}
}

// scopes: every method answers only from the scope, be it of thousands of
// organisations or of none.
func scopes(ctx context.Context, b *Backend, s settings) error {
	const count, many = 300, 5000
	want := newNaive()
	records := make([]record.Record, 0, count)
	for n := range count {
		records = append(records, audit(n, func(a *record.Audit) {
			a.OrgID = fmt.Sprintf("org-%04d", n*37)
			switch n % 5 {
			case 0:
				a.OrgID, a.SourceType = "shop", record.SourceKubernetes
			case 1:
				a.OrgID = ""
			}
		}))
	}
	if err := errors.Join(want.add(records...), appendAll(ctx, b, records)); err != nil {
		return err
	}
	orgs := make([]string, many)
	for i := range orgs {
		orgs[i] = fmt.Sprintf("org-%04d", i)
	}
	since := records[count/2].Base().Time.Time()
	nobody := query.Scope{Name: "namespace/empty", Restrict: query.Or{}}
	for _, scope := range []query.Scope{
		query.All(), nobody, namespaceScope("shop", since, orgs), namespaceScope("shop", since, orgs[:1]),
		{Name: "namespace/auditquery-system", Restrict: query.Not{Filter: query.AnyOf{Field: "org_id", Values: orgs}}},
		{Name: "namespace/one", Restrict: query.Equal{Field: "org_id", Value: "shop"}},
	} {
		if err := inOneScope(ctx, b, s, want, records, scope); err != nil {
			return err
		}
	}
	q, err := validated(query.Query{Kind: record.KindAudit, Scope: nobody, Limit: 1})
	if err != nil {
		return err
	}
	if n := len(want.matching(q)); n != 0 {
		return fmt.Errorf("the reference finds %d records in a scope that sees nothing", n)
	}
	return nil
}

// inOneScope asks everything in one scope: with filters that would reach
// beyond it if they were joined to it wrongly.
func inOneScope(
	ctx context.Context, b *Backend, s settings, want *naive, records []record.Record, scope query.Scope,
) error {
	for _, filter := range []query.Filter{
		nil, query.Or{query.Exists{Field: "id"}, query.Equal{Field: "user_id", Value: "nobody"}}, query.And{}, query.Or{},
		query.Not{Filter: query.Equal{Field: "org_id", Value: "shop"}}, query.Equal{Field: "org_id", Value: "shop"},
	} {
		q, err := validated(query.Query{Kind: record.KindAudit, Scope: scope, Limit: 50, Filter: filter})
		if err != nil {
			return err
		}
		if err := sameAnswers(ctx, b.Store, want, q, s.random(forPlaces)); err != nil {
			return err
		}
		if err := sameBatch(ctx, b.Store, want, []store.Question{{Query: q, CountAtMost: 10_000}}); err != nil {
			return describe(q, err)
		}
		for _, r := range records[:20] {
			if err := sameGet(ctx, b.Store, want, record.KindAudit, r.Base().ID, q.Scope); err != nil {
				return err
			}
		}
	}
	return nil
}

// batches: many questions at once have the answers that each has alone, in
// order, and one that can't be asked leaves the others whole.
func batches(ctx context.Context, b *Backend, s settings) error {
	const questions = 30
	records, want, err := fill(ctx, b, s)
	if err != nil {
		return err
	}
	if answers := b.Store.Search(ctx, nil); len(answers) != 0 {
		return fmt.Errorf("no questions have %d answers", len(answers))
	}
	ask, random := newAsker(s.random(forBatch), records), s.random(forPlaces)
	for range 5 {
		batch := make([]store.Question, questions)
		for i := range batch {
			q, err := ask.query()
			if err != nil {
				return err
			}
			if found := want.matching(q); len(found) > 0 && random.IntN(3) == 0 {
				place := store.PositionOf(pick(random, found).record)
				q.After = &place
			}
			batch[i] = store.Question{Query: q, CountAtMost: pick(random, []int{0, 1, 10, 10_000})}
		}
		broken := random.IntN(questions)
		batch[broken].Query.Filter = unknownField()
		if err := sameBatch(ctx, b.Store, want, batch); err != nil {
			return err
		}
	}
	return nil
}

// unknownField is a filter that validation refuses. A store that is asked all
// the same must say so: an index answers such a question with nothing.
func unknownField() query.Filter { return query.Equal{Field: "no_such_field", Value: "x"} }

func isUnknown(f query.Filter) bool {
	equal, ok := f.(query.Equal)
	return ok && equal == unknownField()
}

func sameBatch(ctx context.Context, r store.BatchReader, want *naive, batch []store.Question) error {
	answers := r.Search(ctx, batch)
	if len(answers) != len(batch) {
		return fmt.Errorf("%d questions have %d answers", len(batch), len(answers))
	}
	for i, answer := range answers {
		q := batch[i].Query
		if isUnknown(q.Filter) {
			if !store.IsInvalid(answer.Err) || len(answer.Page.Documents) > 0 {
				return fmt.Errorf("question %d names an unknown field: error %v, want Invalid", i, answer.Err)
			}
			continue
		}
		if answer.Err != nil {
			return fmt.Errorf("question %d: %w", i, describe(q, answer.Err))
		}
		if err := samePage(answer.Page, want.page(q)); err != nil {
			return fmt.Errorf("question %d: %w", i, describe(q, err))
		}
		if batch[i].CountAtMost == 0 {
			continue
		}
		if err := rightCount(answer.Count, int64(len(want.matching(q))), batch[i].CountAtMost); err != nil {
			return fmt.Errorf("question %d: %w", i, describe(q, err))
		}
	}
	return nil
}
