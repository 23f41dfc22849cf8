package store_test

import (
	"context"
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

func TestMeasureCountsWhatHappened(t *testing.T) {
	registry := prometheus.NewRegistry()
	backend := &scripted{outcomes: []store.Outcome{{Result: store.Stored}, {Result: store.Stored}, {Result: store.Collision}}}
	s, err := store.Measure(backend, registry)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), nil); err != nil {
		t.Fatal(err)
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
auditquery_store_appended_records_total{result="collision"} 1
auditquery_store_appended_records_total{result="stored"} 2
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "auditquery_store_appended_records_total"); err != nil {
		t.Error(err)
	}
	for _, labels := range [][2]string{{"append", "ok"}, {"list", "timeout"}, {"search", "unavailable"}} {
		if !observed(t, registry, labels[0], labels[1]) {
			t.Errorf("no duration of %s with result %s", labels[0], labels[1])
		}
	}
	if _, err := store.Measure(backend, registry); err == nil {
		t.Error("a second store took the same names")
	}
}

// observed tells whether exactly one operation was timed with these labels.
func observed(t *testing.T, registry *prometheus.Registry, operation, result string) bool {
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
				return metric.GetHistogram().GetSampleCount() == 1
			}
		}
	}
	return false
}
