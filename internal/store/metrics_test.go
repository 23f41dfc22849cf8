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
