package auditquery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/api/v1alpha1"
)

// The values of the label result. There are no others.
const (
	resultSucceeded   = "succeeded"
	resultStalled     = "stalled"
	resultUnavailable = "store_unavailable"
	resultTimeout     = "store_timeout"
	resultFailed      = "failed"
)

// metrics are what the controllers count. Labels are the kind, of which there are
// two, and the result, of which there are five.
type metrics struct {
	runs     *prometheus.CounterVec
	duration *prometheus.HistogramVec
	lag      *prometheus.HistogramVec
	rows     *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	delayed  *prometheus.CounterVec
	batches  prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_runs_total", Help: "Runs of queries, by how they ended.",
		}, []string{"kind", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "auditquery_run_duration_seconds", Help: "Time from the start of a run to its answer.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}, []string{"kind"}),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "auditquery_run_lag_seconds", Help: "Time from when a run was due to its start.",
			Buckets: []float64{0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"kind"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_status_rows_written_total", Help: "Records written into statuses.",
		}, []string{"kind"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_status_written_bytes_total", Help: "Bytes of status that writes made the API server store.",
		}, []string{"kind"}),
		delayed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_runs_delayed_total", Help: "Runs that the budget of status bytes held back.",
		}, []string{"kind"}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "auditquery_batch_queries", Help: "Queries in one round trip to the store.",
			Buckets: []float64{1, 2, 5, 10, 20, 50, 100},
		}),
	}
	for _, c := range []prometheus.Collector{m.runs, m.duration, m.lag, m.rows, m.bytes, m.delayed, m.batches} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// ran counts a run, or an attempt of one, that this pass made.
func (m *metrics) ran(kind string, f *failure, lag, took time.Duration) {
	m.runs.WithLabelValues(kind, resultOf(f)).Inc()
	m.lag.WithLabelValues(kind).Observe(max(lag, 0).Seconds())
	m.duration.WithLabelValues(kind).Observe(took.Seconds())
}

func resultOf(f *failure) string {
	switch {
	case f == nil:
		return resultSucceeded
	case f.class == stalled:
		return resultStalled
	case f.reason == v1alpha1.ReasonStoreUnavailable:
		return resultUnavailable
	case f.reason == v1alpha1.ReasonStoreTimeout:
		return resultTimeout
	default:
		return resultFailed
	}
}

func (m *metrics) wrote(kind string, rows, bytes int) {
	m.rows.WithLabelValues(kind).Add(float64(rows))
	m.bytes.WithLabelValues(kind).Add(float64(bytes))
}

func (m *metrics) held(kind string) { m.delayed.WithLabelValues(kind).Inc() }

func (m *metrics) batch(queries int) { m.batches.Observe(float64(queries)) }
