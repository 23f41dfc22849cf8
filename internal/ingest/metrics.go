package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/store"
)

// refusal is why a request was not taken. Its text is a metric's label.
type refusal string

const (
	refusedBusy        refusal = "busy"
	refusedClient      refusal = "client"
	refusedContentType refusal = "content_type"
	refusedTooLarge    refusal = "too_large"
	refusedKind        refusal = "wrong_kind"
	refusedMalformed   refusal = "malformed"
	refusedTruncated   refusal = "truncated"
	refusedTimeout     refusal = "timeout"
	refusedStore       refusal = "store"
	refusedDeadLetter  refusal = "dead_letter"
	refusedInternal    refusal = "internal"
)

func refusals() []refusal {
	return []refusal{
		refusedBusy, refusedClient, refusedContentType, refusedTooLarge, refusedKind, refusedMalformed,
		refusedTruncated, refusedTimeout, refusedStore, refusedDeadLetter, refusedInternal,
	}
}

// metrics count what the receiver did. Every label has few values, none of which
// a sender chooses.
type metrics struct {
	events   prometheus.Counter
	skipped  prometheus.Counter
	records  *prometheus.CounterVec
	letters  *prometheus.CounterVec
	refused  *prometheus.CounterVec
	inFlight prometheus.Gauge
	duration prometheus.Histogram
}

func newMetrics() *metrics {
	m := &metrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "auditquery_ingest_events_received_total",
			Help: "Events that arrived whole, the malformed ones among them.",
		}),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "auditquery_ingest_events_skipped_total",
			Help: "Events that give no record: of stages that are not kept, or the server's own writes.",
		}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_ingest_records_total",
			Help: "Records given to the store, by what became of them.",
		}, []string{"result"}),
		letters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_ingest_dead_letters_total",
			Help: "Events put aside into the dead letters, by cause.",
		}, []string{"cause"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_ingest_requests_refused_total",
			Help: "Requests that were not answered with 200, by reason.",
		}, []string{"reason"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "auditquery_ingest_requests_in_flight",
			Help: "Requests whose bodies are being read or stored.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "auditquery_ingest_request_duration_seconds",
			Help:    "Time from a request's header to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 15),
		}),
	}
	m.zero()
	return m
}

// zero makes every series exist from the start, so that an alert on a rate sees
// the first increase.
func (m *metrics) zero() {
	for result := store.Stored; result <= store.Failed; result++ {
		m.records.WithLabelValues(result.String())
	}
	for _, cause := range causes() {
		m.letters.WithLabelValues(string(cause))
	}
	for _, reason := range refusals() {
		m.refused.WithLabelValues(string(reason))
	}
}

// register adds the metrics to a registry.
func (m *metrics) register(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{
		m.events, m.skipped, m.records, m.letters, m.refused, m.inFlight, m.duration,
	} {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) observe(outcomes []store.Outcome) {
	for _, o := range outcomes {
		m.records.WithLabelValues(o.Result.String()).Inc()
	}
}

func (m *metrics) took(d time.Duration) { m.duration.Observe(d.Seconds()) }
