package auditquery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// fakeReader is a store that keeps records in memory. It understands the filters
// that the tests use, records the questions, and can be told to fail.
type fakeReader struct {
	mu        sync.Mutex
	records   []record.Record
	questions []store.Question
	batches   []int
	failing   error
	failNext  []error
	pageBytes int
	wrong     bool
	block     chan struct{}
}

func (f *fakeReader) add(records ...record.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records = append(f.records, records...)
	slices.SortFunc(f.records, func(a, b record.Record) int {
		if a.Base().Time != b.Base().Time {
			return int(b.Base().Time - a.Base().Time)
		}
		return strings.Compare(b.Base().ID.String(), a.Base().ID.String())
	})
}

func (f *fakeReader) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records = nil
}

// fail makes every question fail until fail(nil).
func (f *fakeReader) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing = err
}

func (f *fakeReader) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.questions)
}

func (f *fakeReader) last() store.Question {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.questions[len(f.questions)-1]
}

func (f *fakeReader) Search(ctx context.Context, questions []store.Question) []store.Answer {
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches = append(f.batches, len(questions))
	if f.wrong {
		return nil
	}
	answers := make([]store.Answer, len(questions))
	for i, q := range questions {
		f.questions = append(f.questions, q)
		answers[i] = f.answer(ctx, q)
	}
	return answers
}

func (f *fakeReader) answer(ctx context.Context, q store.Question) store.Answer {
	if err := ctx.Err(); err != nil {
		return store.Answer{Err: &store.Error{Reason: store.Timeout, Op: "search", Message: "interrupted", Err: err}}
	}
	if f.failing != nil {
		return store.Answer{Err: f.failing}
	}
	if len(f.failNext) > 0 {
		err := f.failNext[0]
		f.failNext = f.failNext[1:]
		return store.Answer{Err: err}
	}
	var answer store.Answer
	var matched int64
	bytes := 0
	for _, r := range f.records {
		if r.Kind() != q.Query.Kind || !inWindow(q.Query, r) || !holds(q.Query.Filter, r) || !holds(q.Query.Scope.Restrict, r) {
			continue
		}
		matched++
		if q.Query.After != nil && !behindPosition(*q.Query.After, r) {
			continue
		}
		document, err := record.Encode(r)
		if err != nil {
			return store.Answer{Err: err}
		}
		full := len(answer.Page.Documents) == q.Query.Limit ||
			(f.pageBytes > 0 && len(answer.Page.Documents) > 0 && bytes+len(document) > f.pageBytes)
		if full && answer.Page.Next == nil {
			at := store.PositionOf(f.previous(q.Query, answer.Page))
			answer.Page.Next = &at
		}
		if answer.Page.Next == nil {
			bytes += len(document)
			answer.Page.Documents = append(answer.Page.Documents, document)
		}
	}
	if q.CountAtMost > 0 {
		answer.Count = store.Count{Records: min(matched, int64(q.CountAtMost)), Exact: matched < int64(q.CountAtMost)}
	}
	return answer
}

func (f *fakeReader) previous(q query.Query, page store.Page) record.Record {
	r := record.New(q.Kind)
	if err := record.Decode(page.Documents[len(page.Documents)-1], r); err != nil {
		panic(err)
	}
	return r
}

func inWindow(q query.Query, r record.Record) bool {
	at := r.Base().Time.Time()
	return (q.From.IsZero() || !at.Before(q.From)) && (q.To.IsZero() || at.Before(q.To))
}

func behindPosition(after query.Position, r record.Record) bool {
	at := store.PositionOf(r)
	if at.Micros != after.Micros {
		return at.Micros < after.Micros
	}
	return string(at.ID[:]) < string(after.ID[:])
}

func holds(f query.Filter, r record.Record) bool {
	value := func(name string) string {
		for _, field := range record.Fields(r.Kind()) {
			if field.Name == name {
				v, _ := field.Value(r)
				return v
			}
		}
		return ""
	}
	switch f := f.(type) {
	case nil:
		return true
	case query.And:
		return !slices.ContainsFunc(f, func(f query.Filter) bool { return !holds(f, r) })
	case query.Equal:
		return value(f.Field) == f.Value
	case query.AnyOf:
		return slices.Contains(f.Values, value(f.Field))
	case query.Not:
		return !holds(f.Filter, r)
	case query.Range:
		v := value(f.Field)
		return (f.Min == "" || v >= f.Min) && (f.Max == "" || v < f.Max)
	default:
		panic(fmt.Sprintf("the fake store does not know %T", f))
	}
}
