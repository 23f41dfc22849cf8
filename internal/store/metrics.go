package store

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// ReadWriter is what both backends can do.
type ReadWriter interface {
	Reader
	BatchReader
	Writer
	PreparedWriter
}

// Store is all that both backends can do.
type Store interface {
	ReadWriter
	Deleter
	Notebook
}

// measured is a store whose operations are counted and timed.
type measured struct {
	ReadWriter
	operations *prometheus.HistogramVec
	records    *prometheus.CounterVec
}

// Measure returns s with metrics:
//
//   - auditquery_store_operation_duration_seconds{operation, result}: operation
//     is list, get, count, search or append, prepared or not; result is ok, the
//     reason of an error, or unknown. A search counts once, with the worst of
//     its answers.
//   - auditquery_store_appended_records_total{result}: what became of records.
func Measure(s ReadWriter, registerer prometheus.Registerer) (ReadWriter, error) {
	m, err := newMeasured(s, registerer)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func newMeasured(s ReadWriter, registerer prometheus.Registerer) (*measured, error) {
	m := &measured{
		ReadWriter: s,
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "auditquery_store_operation_duration_seconds",
			Help:    "How long operations of the record store took.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 17), // to 33 s, past every deadline
		}, []string{"operation", "result"}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_store_appended_records_total",
			Help: "What became of records that were sent to the record store.",
		}, []string{"result"}),
	}
	for _, collector := range []prometheus.Collector{m.operations, m.records} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *measured) observe(operation string, began time.Time, err error) {
	result := "ok"
	if err != nil {
		result = ReasonOf(err).String()
	}
	m.operations.WithLabelValues(operation, result).Observe(time.Since(began).Seconds())
}

func (m *measured) List(ctx context.Context, q query.Query) (Page, error) {
	began := time.Now()
	page, err := m.ReadWriter.List(ctx, q)
	m.observe("list", began, err)
	return page, err
}

func (m *measured) Get(ctx context.Context, kind record.Kind, id record.ID, scope query.Scope) ([]byte, error) {
	began := time.Now()
	document, err := m.ReadWriter.Get(ctx, kind, id, scope)
	m.observe("get", began, err)
	return document, err
}

func (m *measured) Count(ctx context.Context, q query.Query, atMost int) (Count, error) {
	began := time.Now()
	count, err := m.ReadWriter.Count(ctx, q, atMost)
	m.observe("count", began, err)
	return count, err
}

func (m *measured) Search(ctx context.Context, questions []Question) []Answer {
	began := time.Now()
	answers := m.ReadWriter.Search(ctx, questions)
	var failure error
	for _, answer := range answers {
		if answer.Err != nil && (failure == nil || ReasonOf(answer.Err) == Unavailable) {
			failure = answer.Err
		}
	}
	m.observe("search", began, failure)
	return answers
}

func (m *measured) Append(ctx context.Context, records []record.Record) ([]Outcome, error) {
	began := time.Now()
	outcomes, err := m.ReadWriter.Append(ctx, records)
	m.appended(began, outcomes, err)
	return outcomes, err
}

func (m *measured) AppendPrepared(ctx context.Context, records []record.Prepared) ([]Outcome, error) {
	began := time.Now()
	outcomes, err := m.ReadWriter.AppendPrepared(ctx, records)
	m.appended(began, outcomes, err)
	return outcomes, err
}

func (m *measured) appended(began time.Time, outcomes []Outcome, err error) {
	m.observe("append", began, err)
	var counts [Failed + 1]int
	for _, outcome := range outcomes {
		counts[outcome.Result]++
	}
	for result, count := range counts {
		if count > 0 {
			m.records.WithLabelValues(Result(result).String()).Add(float64(count))
		}
	}
}
