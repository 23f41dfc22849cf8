package retention

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/record"
)

// The values of the label result.
const (
	resultSucceeded = "succeeded"
	resultFailed    = "failed"
)

// metrics are what the controller counts. The label policy is the name of a
// RetentionPolicy, of which there are few.
type metrics struct {
	// named are the policies of which something is kept.
	mu    sync.Mutex
	named map[string]bool

	records *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	runs    *prometheus.CounterVec
	success *prometheus.GaugeVec
	due     *prometheus.GaugeVec
	holds   *prometheus.GaugeVec
	missing prometheus.Gauge
	batches prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		named: map[string]bool{},
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_retention_records_erased_total", Help: "Records that were erased, by the policy that decided.",
		}, []string{"policy", "kind"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_retention_bytes_erased_total", Help: "About how many bytes the erased records took.",
		}, []string{"policy", "kind"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_retention_runs_total", Help: "Runs for a policy, by how they ended.",
		}, []string{"policy", "result"}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "auditquery_retention_last_success_timestamp_seconds", Help: "When the last run for a policy ended that left nothing behind.",
		}, []string{"policy"}),
		due: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "auditquery_retention_records_due", Help: "Records that are due and not held, at most; of a DryRun policy those that would be.",
		}, []string{"policy"}),
		holds: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "auditquery_retention_holds", Help: "Legal holds, by where they are in their lives.",
		}, []string{"phase"}),
		missing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "auditquery_retention_hold_missing", Help: "Legal holds that vanished without having been released; while there is one nothing is erased.",
		}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "auditquery_retention_batch_duration_seconds", Help: "Time of one batch, or of one whole stretch.",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}),
	}
	for _, c := range []prometheus.Collector{m.records, m.bytes, m.runs, m.success, m.due, m.holds, m.missing, m.batches} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) name(policy string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.named[policy] = true
}

func (m *metrics) erased(policy string, kind record.Kind, records, bytes int64) {
	m.name(policy)
	m.records.WithLabelValues(policy, string(kind)).Add(float64(records))
	m.bytes.WithLabelValues(policy, string(kind)).Add(float64(max(bytes, 0)))
}

// batch times a batch that has ended, and returns its time.
func (m *metrics) batch(began time.Time) time.Duration {
	took := time.Since(began)
	m.batches.Observe(took.Seconds())
	return took
}

// show is about the plan that status shows.
func (m *metrics) show(policy string, due int64) {
	m.name(policy)
	m.due.WithLabelValues(policy).Set(float64(due))
}

// ran counts a run for a policy. One that reached its bound of time has not failed, but
// left something behind.
func (m *metrics) ran(policy string, out outcome) {
	m.name(policy)
	if len(out.errors) > 0 {
		m.runs.WithLabelValues(policy, resultFailed).Inc()
		return
	}
	m.runs.WithLabelValues(policy, resultSucceeded).Inc()
	if out.clean {
		m.success.WithLabelValues(policy).Set(float64(out.ended.Unix()))
	}
}

// idle drops when the last run of a policy was, which erases nothing and so has none:
// else it would seem to be ever further behind.
func (m *metrics) idle(policy string) { m.success.DeleteLabelValues(policy) }

// keep forgets all policies but these, however they went.
func (m *metrics) keep(policies []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for policy := range m.named {
		if !slices.Contains(policies, policy) {
			m.forget(policy)
			delete(m.named, policy)
		}
	}
}

// forget drops what was kept of a policy that is gone.
func (m *metrics) forget(policy string) {
	labels := prometheus.Labels{"policy": policy}
	for _, vector := range []interface{ DeletePartialMatch(prometheus.Labels) int }{m.records, m.bytes, m.runs, m.success, m.due} {
		vector.DeletePartialMatch(labels)
	}
}
