package auditquery

import (
	"context"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// MaxCounted is how far matching records are counted; beyond it status says
	// "at least".
	MaxCounted = 10_000
	// maxPages is how many pages one run reads. One is enough unless records
	// are so large that a page ends early.
	maxPages = 4
)

// ask runs the query and keeps the answer.
func (r *reconciler) ask(ctx context.Context, s *scope) (bool, error) {
	answer := r.asker.Ask(ctx, store.Question{Query: s.query, CountAtMost: MaxCounted})
	if answer.Err != nil {
		return false, storeFailure(answer.Err)
	}
	rows, next, err := r.readPages(ctx, s.query, answer.Page)
	if err != nil {
		return false, err
	}
	s.found = &found{
		finished: r.clock.Now(), rows: rows, more: next != nil, count: answer.Count,
	}
	// A record that came in between the page and the count is in the page.
	s.found.count.Records = max(s.found.count.Records, int64(len(rows)))
	return true, nil
}

// readPages decodes a page and, where the store ended it before the limit, those
// that follow. Next is nil when there are no more records.
func (r *reconciler) readPages(ctx context.Context, q query.Query, page store.Page) ([]row, *query.Position, error) {
	var rows []row
	for read := 1; ; read++ {
		more, err := newRows(q.Kind, page.Documents)
		if err != nil {
			return nil, nil, retry(v1alpha1.ReasonQueryFailed, "The store holds a record that cannot be read.", err)
		}
		rows = append(rows, more...)
		if page.Next == nil || len(rows) >= q.Limit || read == maxPages {
			return rows, page.Next, nil
		}
		rest := q
		rest.Limit, rest.After = q.Limit-len(rows), page.Next
		answer := r.asker.Ask(ctx, store.Question{Query: rest})
		if answer.Err != nil {
			return nil, nil, storeFailure(answer.Err)
		}
		page = answer.Page
	}
}
