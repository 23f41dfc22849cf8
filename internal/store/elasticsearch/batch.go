package elasticsearch

import (
	"bytes"
	"context"
	"errors"
	"net/http"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// maxBatch and maxBatchRows bound one multi-search.
	maxBatch     = 100
	maxBatchRows = 10_000
	// maxBatchBytes bounds its answer; questions of a larger one are asked
	// one by one.
	maxBatchBytes = 64 << 20
)

// part is one search of a multi-search: a page, a count, or both.
type part struct {
	question int
	search   search
	page     bool
	// totals is the bound of the count, empty when nothing is counted.
	totals string
}

// Search runs many questions in few round trips.
func (s *Store) Search(ctx context.Context, questions []store.Question) []store.Answer {
	answers := make([]store.Answer, len(questions))
	var parts []part
	rows := 0
	for i, question := range questions {
		prepared, err := s.prepare(ctx, i, question)
		if err != nil {
			answers[i].Err = explainQuery("search", question.Query.Kind, err)
			continue
		}
		if len(parts)+len(prepared) > maxBatch || rows+question.Query.Limit > maxBatchRows {
			s.askParts(ctx, questions, parts, answers)
			parts, rows = nil, 0
		}
		parts = append(parts, prepared...)
		rows += question.Query.Limit
	}
	s.askParts(ctx, questions, parts, answers)
	return answers
}

// prepare writes the searches of a question. The page counts too, unless it
// begins behind a position, which a count ignores.
func (s *Store) prepare(ctx context.Context, index int, question store.Question) ([]part, error) {
	q, bound := question.Query, ""
	if question.CountAtMost > 0 {
		bound = totals(question.CountAtMost)
	}
	page := part{question: index, page: true}
	asked := noTotals
	if bound != "" && q.After == nil {
		page.totals, asked = bound, bound
	}
	var err error
	if page.search, err = s.prepared(ctx, q, q.Limit+1, asked); err != nil {
		return nil, err
	}
	if bound == page.totals {
		return []part{page}, nil
	}
	count := part{question: index, totals: bound}
	q.After = nil
	count.search, err = s.prepared(ctx, q, 0, bound)
	return []part{page, count}, err
}

func (s *Store) prepared(ctx context.Context, q query.Query, size int, bound string) (search, error) {
	asked, err := s.pageSearch(q, size, bound)
	if err != nil {
		return search{}, err
	}
	asked.target, err = s.catalogue.target(ctx, q.Kind, window(q))
	return asked, err
}

func (s *Store) askParts(ctx context.Context, questions []store.Question, parts []part, answers []store.Answer) {
	if len(parts) == 0 {
		return
	}
	found, err := s.multiSearch(ctx, parts)
	for i, p := range parts {
		q, into := questions[p.question].Query, &answers[p.question]
		if into.Err != nil {
			continue
		}
		failed := err
		if failed == nil {
			failed = found[i].check(p.search.target.shards)
		}
		if again(failed) {
			found, failed := s.alone(ctx, q, p)
			s.fill(into, p, q, found, failed)
			continue
		}
		if failed != nil {
			s.fill(into, p, q, answer{}, failed)
			continue
		}
		s.fill(into, p, q, found[i], nil)
	}
}

// again tells whether a question that failed in a batch may succeed alone: its
// indices are looked up again, and its answer may be large or slow.
func again(err error) bool {
	var f *failure
	if errors.As(err, &f) && f.status == http.StatusTooManyRequests {
		return true
	}
	return errors.Is(err, errTooLarge) || vanished(err)
}

// alone asks one part by itself.
func (s *Store) alone(ctx context.Context, q query.Query, p part) (answer, error) {
	var a answer
	if p.totals != "" {
		counted := q
		counted.After = nil
		asked, err := s.pageSearch(counted, 0, p.totals)
		if err != nil {
			return a, err
		}
		if a, err = s.run(ctx, q.Kind, window(counted), asked); err != nil {
			return a, err
		}
	}
	if !p.page {
		return a, nil
	}
	var err error
	a.documents, err = s.collect(ctx, q)
	return a, err
}

// fill puts what a part found into the answer to its question.
func (s *Store) fill(into *store.Answer, p part, q query.Query, found answer, err error) {
	if err == nil && p.page {
		into.Page, err = pageOf(found.documents, q.Limit)
	}
	if err != nil {
		*into = store.Answer{Err: explainQuery("search", q.Kind, err)}
		return
	}
	if p.totals != "" {
		into.Count = store.Count{Records: found.total, Exact: found.totalExact}
	}
}

func (s *Store) multiSearch(ctx context.Context, parts []part) ([]answer, error) {
	var body []byte
	size := 0
	for _, p := range parts {
		body = appendTexts(append(body, `{"index":`...), p.search.target.expression)
		body = append(body, `,"expand_wildcards":["open","closed"],"allow_partial_search_results":false}`+"\n"...)
		body = append(append(body, p.search.body...), '\n')
		size += p.search.size
	}
	answered, err := s.client.do(ctx, call{limit: maxBatchBytes, hint: s.sizes.expect(size), build: func() esapi.Request {
		return esapi.MsearchRequest{Body: bytes.NewReader(body), Header: ndjson()}
	}})
	if err != nil {
		return nil, err
	}
	return readAnswers(answered.body, len(parts))
}

func ndjson() http.Header { return http.Header{"Content-Type": []string{"application/x-ndjson"}} }
