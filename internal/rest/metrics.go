package rest

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the handler counts. The label resource has two values, code
// the few that failureOf gives.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	records  *prometheus.CounterVec
	bytes    *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	resource := []string{"resource"}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_rest_requests_total", Help: "Requests of the REST lists, by the code of the answer.",
		}, []string{"resource", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "auditquery_rest_request_duration_seconds", Help: "Time from a request to the end of its answer.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
		}, resource),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_rest_records_total", Help: "Records in the answers of the REST lists.",
		}, resource),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditquery_rest_answer_bytes_total", Help: "Bytes of the answers of the REST lists, before compression.",
		}, resource),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.records, m.bytes} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) answered(resource string, code int, took time.Duration) {
	m.requests.WithLabelValues(resource, strconv.Itoa(code)).Inc()
	m.duration.WithLabelValues(resource).Observe(max(took, 0).Seconds())
}

func (m *metrics) sent(resource string, records, bytes int) {
	m.records.WithLabelValues(resource).Add(float64(records))
	m.bytes.WithLabelValues(resource).Add(float64(bytes))
}
