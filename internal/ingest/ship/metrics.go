package ship

import "github.com/prometheus/client_golang/prometheus"

// metrics tell how shipping goes. What became of records is in the ledger.
type metrics struct {
	away           prometheus.Gauge
	waiting        prometheus.Gauge
	limit          prometheus.Gauge
	letterFailures prometheus.Counter
	spoolFailures  prometheus.Counter
}

func newMetrics() *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "auditquery_ingest_ship_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "auditquery_ingest_ship_" + name, Help: help})
	}
	return &metrics{
		away:           gauge("store_away", "1 while the store takes no records, else 0."),
		waiting:        gauge("waiting_records", "Records that failed and are to be sent again."),
		limit:          gauge("batch_limit_records", "How many records are sent at once at most, by what the store takes."),
		letterFailures: counter("dead_letter_failures_total", "Times that the dead letters did not take what belongs there. It stays in the spool."),
		spoolFailures:  counter("spool_failures_total", "Times that the spool could not be read."),
	}
}

func (m *metrics) register(registerer prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.away, m.waiting, m.limit, m.letterFailures, m.spoolFailures} {
		if err := registerer.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) observe(away bool, waiting, limit int) {
	m.away.Set(0)
	if away {
		m.away.Set(1)
	}
	m.waiting.Set(float64(waiting))
	m.limit.Set(float64(limit))
}
