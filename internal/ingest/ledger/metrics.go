package ledger

import (
	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
)

func newLag() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "auditquery_ingest_lag_seconds",
		Help:    "From the time of an event to the moment when it could be found in the store, of a sample.",
		Buckets: prometheus.ExponentialBuckets(0.05, 2, 18), // to 1 h 49 min
	})
}

// descriptions name what a ledger tells.
type descriptions struct {
	received, acknowledged, stored, duplicate, deadLettered *prometheus.Desc

	spoolRecords, spoolFound, spoolBytes, spoolMaxBytes, spoolAge *prometheus.Desc

	letterBytes, letterMaxBytes *prometheus.Desc
}

func newDescriptions() descriptions {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("auditquery_ingest_"+name, help, labels, nil)
	}
	return descriptions{
		received:     desc("records_received_total", "Records that came in.", "source"),
		acknowledged: desc("records_acknowledged_total", "Records that were promised to be kept.", "source"),
		stored:       desc("records_stored_total", "Records that the store has taken.", "source"),
		duplicate:    desc("records_duplicate_total", "Records that the store had already.", "source"),
		deadLettered: desc("records_dead_lettered_total", "Records that were put among the dead letters.", "source", "cause"),

		spoolRecords:  desc("spool_records", "Records in the spool."),
		spoolFound:    desc("spool_records_found_at_start", "Records that were in the spool when the process started."),
		spoolBytes:    desc("spool_bytes", "Bytes of the spool on its disk."),
		spoolMaxBytes: desc("spool_max_bytes", "Bytes at which the spool takes no more records."),
		spoolAge:      desc("spool_oldest_record_age_seconds", "How long the oldest record of the spool has been there; 0 when it is empty."),

		letterBytes:    desc("dead_letters_bytes", "Bytes of the dead letters on their disk."),
		letterMaxBytes: desc("dead_letters_max_bytes", "Bytes at which no more dead letters are taken."),
	}
}

func (d descriptions) all() []*prometheus.Desc {
	return []*prometheus.Desc{
		d.received, d.acknowledged, d.stored, d.duplicate, d.deadLettered,
		d.spoolRecords, d.spoolFound, d.spoolBytes, d.spoolMaxBytes, d.spoolAge,
		d.letterBytes, d.letterMaxBytes,
	}
}

// Describe is a collector's.
func (l *Ledger) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range newDescriptions().all() {
		to <- desc
	}
	l.lag.Describe(to)
}

// Collect is a collector's. One collection is one snapshot, so that an alert may
// add its figures up: see Balance.Missing. Every cause exists from the start.
func (l *Ledger) Collect(to chan<- prometheus.Metric) {
	d, s := newDescriptions(), l.snapshot()
	counter := func(desc *prometheus.Desc, n int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(desc *prometheus.Desc, value float64) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	for source, account := range s.accounts {
		counter(d.received, account.Received, source)
		counter(d.acknowledged, account.Acknowledged, source)
		counter(d.stored, account.Stored, source)
		counter(d.duplicate, account.Duplicate, source)
		for _, cause := range deadletter.Causes() {
			counter(d.deadLettered, account.DeadLettered[cause], source, string(cause))
		}
	}
	if s.watched {
		age := 0.0
		if !s.spool.Oldest.IsZero() {
			age = max(0, l.now().Sub(s.spool.Oldest).Seconds())
		}
		gauge(d.spoolRecords, float64(s.spool.Records))
		gauge(d.spoolFound, float64(s.spool.Found))
		gauge(d.spoolBytes, float64(s.spool.Bytes))
		gauge(d.spoolMaxBytes, float64(s.spool.MaxBytes))
		gauge(d.spoolAge, age)
	}
	l.mutex.Lock()
	letters := l.letters
	l.mutex.Unlock()
	if letters != nil {
		if usage, err := letters(); err == nil {
			gauge(d.letterBytes, float64(usage.Bytes))
			gauge(d.letterMaxBytes, float64(usage.MaxBytes))
		}
	}
	l.lag.Collect(to)
}
