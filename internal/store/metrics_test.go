package store_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// scripted answers with what it was given.
type scripted struct {
	store.ReadWriter
	err      error
	outcomes []store.Outcome
	answers  []store.Answer
}

func (s *scripted) List(context.Context, query.Query) (store.Page, error) { return store.Page{}, s.err }

func (s *scripted) Search(context.Context, []store.Question) []store.Answer { return s.answers }

func (s *scripted) Append(context.Context, []record.Record) ([]store.Outcome, error) {
	return s.outcomes, s.err
}

func (s *scripted) AppendPrepared(context.Context, []record.Prepared) ([]store.Outcome, error) {
	return s.outcomes, s.err
}

func TestMeasureCountsWhatHappened(t *testing.T) {
	registry := prometheus.NewRegistry()
	backend := &scripted{outcomes: []store.Outcome{{Result: store.Stored}, {Result: store.Stored}, {Result: store.Collision}}}
	s, err := store.Measure(backend, registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, add := range []func() ([]store.Outcome, error){
		func() ([]store.Outcome, error) { return s.Append(t.Context(), nil) },
		func() ([]store.Outcome, error) { return s.AppendPrepared(t.Context(), nil) },
	} {
		if outcomes, err := add(); err != nil || len(outcomes) != len(backend.outcomes) {
			t.Fatalf("the outcomes %v or the error %v did not pass through", outcomes, err)
		}
	}
	backend.err = &store.Error{Reason: store.Timeout, Op: "list"}
	if _, err := s.List(t.Context(), query.Query{}); !store.IsTimeout(err) {
		t.Errorf("the error %v did not pass through", err)
	}
	backend.answers = []store.Answer{{Err: &store.Error{Reason: store.Invalid}}, {Err: &store.Error{Reason: store.Unavailable}}}
	if got := s.Search(t.Context(), nil); len(got) != 2 {
		t.Errorf("%d answers passed through, want 2", len(got))
	}

	want := `
# HELP auditquery_store_appended_records_total What became of records that were sent to the record store.
# TYPE auditquery_store_appended_records_total counter
auditquery_store_appended_records_total{result="collision"} 2
auditquery_store_appended_records_total{result="stored"} 4
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "auditquery_store_appended_records_total"); err != nil {
		t.Error(err)
	}
	for labels, want := range map[[2]string]uint64{{"append", "ok"}: 2, {"list", "timeout"}: 1, {"search", "unavailable"}: 1} {
		if got := observed(t, registry, labels[0], labels[1]); got != want {
			t.Errorf("%d durations of %s with result %s, want %d", got, labels[0], labels[1], want)
		}
	}
	if _, err := store.Measure(backend, registry); err == nil {
		t.Error("a second store took the same names")
	}
}

// observed is how many operations were timed with these labels.
func observed(t *testing.T, registry *prometheus.Registry, operation, result string) uint64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, pair := range metric.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			if labels["operation"] == operation && labels["result"] == result {
				return metric.GetHistogram().GetSampleCount()
			}
		}
	}
	return 0
}

// scriptedStore is a store that erases, and answers with what it was given.
type scriptedStore struct {
	scripted
	store.Notebook
	batches []error
}

func (s *scriptedStore) Stretches(context.Context, record.Kind) ([]store.Stretch, error) {
	return nil, s.err
}

func (s *scriptedStore) EraseStretch(context.Context, record.Kind, string, query.Filter) (store.Erased, error) {
	return store.Erased{Records: 7}, s.err
}

func (s *scriptedStore) FinishErasing(context.Context) error { return s.err }

func (s *scriptedStore) Reclaim(context.Context) error { return s.err }

func (s *scriptedStore) Erase(context.Context, query.Query) (store.Erasure, error) { return s, s.err }

func (s *scriptedStore) Next(context.Context, int) (int, error) {
	err := s.batches[0]
	s.batches = s.batches[1:]
	return 5, err
}

func (s *scriptedStore) Close(context.Context) error { return nil }

func TestMeasureStoreTimesErasing(t *testing.T) {
	registry := prometheus.NewRegistry()
	backend := &scriptedStore{batches: []error{nil, &store.Error{Reason: store.Timeout}, io.EOF}}
	s, err := store.MeasureStore(backend, registry)
	if err != nil {
		t.Fatal(err)
	}
	erasure, err := s.Erase(t.Context(), query.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if erased, _ := erasure.Next(t.Context(), 10); erased != 5 {
			t.Errorf("%d erased records passed through, want 5", erased)
		}
	}
	backend.err = store.ErrSurvivors
	if _, err := s.EraseStretch(t.Context(), record.KindAudit, "", nil); !errors.Is(err, store.ErrSurvivors) {
		t.Errorf("the error %v did not pass through", err)
	}
	backend.err = &store.Error{Reason: store.Unavailable}
	if erasure, err := s.Erase(t.Context(), query.Query{}); err == nil || erasure != nil {
		t.Errorf("an erasure that failed is %v, %v", erasure, err)
	}
	_, _ = s.Stretches(t.Context(), record.KindAudit)
	_, _ = s.List(t.Context(), query.Query{})
	for labels, want := range map[[2]string]uint64{
		{"erase", "ok"}: 1, {"erase", "unavailable"}: 1, {"erase_batch", "ok"}: 1, {"erase_batch", "timeout"}: 1,
		{"erase_batch", "unknown"}: 0, {"erase_stretch", "survivors"}: 1, {"stretches", "unavailable"}: 1, {"list", "unavailable"}: 1,
	} {
		if got := observed(t, registry, labels[0], labels[1]); got != want {
			t.Errorf("%d durations of %s with result %s, want %d", got, labels[0], labels[1], want)
		}
	}
	if _, err := store.MeasureStore(backend, registry); err == nil {
		t.Error("a second store took the same names")
	}
}

func TestErasableWritesValuesAsStoresDo(t *testing.T) {
	long := strings.Repeat("x", 9_000)
	schema := record.NewSchema(record.KindAudit)
	many := query.Or{}
	for range query.MaxNodes + 1 {
		many = append(many, query.Equal{Field: "user_id", Value: "alice"})
	}
	q := query.Query{Kind: record.KindAudit, Scope: query.All(), Filter: query.And{query.Equal{Field: "user_id", Value: long}, many}, Limit: -3}
	got, err := store.Erasable("erase", q, schema)
	if err != nil {
		t.Fatal(err)
	}
	if value := got.Filter.(query.And)[0].(query.Equal).Value; value != long[:record.MaxKeywordBytes] {
		t.Errorf("a value of %d bytes is not cut", len(value))
	}
	if got.Scope.Restrict != nil || got.Scope.Name != query.AllScope {
		t.Errorf("the scope is %v", got.Scope)
	}
	for name, change := range map[string]func(*query.Query){
		"another scope":    func(q *query.Query) { q.Scope = query.Scope{Name: "namespace/a", Restrict: query.Or{}} },
		"an unknown field": func(q *query.Query) { q.Filter = query.Equal{Field: "nope", Value: "x"} },
		"a filter of none": func(q *query.Query) { q.Filter = query.And{nil} },
		"another kind":     func(q *query.Query) { q.Kind = record.KindAuthAudit },
	} {
		asked := q
		change(&asked)
		if _, err := store.Erasable("erase", asked, schema); !store.IsInvalid(err) {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
	all, err := store.Erasable("erase", query.Query{Kind: record.KindAudit, Scope: query.All()}, schema)
	if err != nil || all.Filter != nil {
		t.Errorf("no filter became %v, %v", all.Filter, err)
	}
}
