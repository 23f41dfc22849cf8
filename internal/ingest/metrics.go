package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what the receiver did with requests; records are counted by the
// ledger. Every label has few values, none of which a sender chooses.
type metrics struct {
	skipped   prometheus.Counter
	forbidden prometheus.Counter
	refused   *prometheus.CounterVec
	inFlight  prometheus.Gauge
	memory    prometheus.GaugeFunc
	duration  *prometheus.HistogramVec
}

func newMetrics(memoryHeld func() int64) *metrics {
	m := &metrics{
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "auditquery_ingest_events_skipped_total",
			Help: "Audit events that give no record: of stages that are not kept, or the server's own writes.",
		}),
		forbidden: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "auditquery_ingest_records_forbidden_total",
			Help: "Records that were refused one by one because their sender may not send them.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_ingest_requests_refused_total",
			Help: "Requests that were not answered with 2xx, by reason.",
		}, []string{"reason"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "auditquery_ingest_requests_in_flight",
			Help: "Requests whose bodies are being read or written down.",
		}),
		memory: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "auditquery_ingest_memory_charged_bytes",
			Help: "What requests hold of the memory that they share.",
		}, func() float64 { return float64(memoryHeld()) }),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "auditquery_ingest_request_duration_seconds",
			Help:    "Time from a request's header to its answer, by the way in.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}, []string{"way"}),
	}
	// Every series exists from the start, so that an alert on a rate sees the
	// first increase.
	for _, reason := range refusals() {
		m.refused.WithLabelValues(string(reason))
	}
	return m
}

// register adds the metrics to a registry.
func (m *metrics) register(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.skipped, m.forbidden, m.refused, m.inFlight, m.memory, m.duration} {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) took(way string, d time.Duration) {
	m.duration.WithLabelValues(way).Observe(d.Seconds())
}
