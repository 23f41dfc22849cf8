package receiver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Metrics are the counts of one process since it started, over all sources.
type Metrics struct {
	// Found were in the spool when it started.
	Found int64
	// Received, Acknowledged, Stored, Duplicate and DeadLettered are records.
	Received, Acknowledged, Stored, Duplicate, DeadLettered int64
	// InSpool are there now, in SpoolBytes of at most SpoolMaxBytes.
	InSpool, SpoolBytes, SpoolMaxBytes int64
	// OldestAge is that of the oldest record in the spool.
	OldestAge time.Duration
	// DeadLetters are DeadLettered by their cause.
	DeadLetters map[string]int64
}

// Shipped is how many records have left the spool for the store.
func (m Metrics) Shipped() int64 { return m.Stored + m.Duplicate }

// Check says whether each record is accounted for. It holds whenever nothing moves.
func (m Metrics) Check() error {
	in, out := m.Found+m.Acknowledged, m.Stored+m.Duplicate+m.DeadLettered+m.InSpool
	if in == out {
		return nil
	}
	return fmt.Errorf("%d found and %d acknowledged are not %d stored, %d duplicates, %d dead letters and %d in the spool: %d and %d",
		m.Found, m.Acknowledged, m.Stored, m.Duplicate, m.DeadLettered, m.InSpool, in, out)
}

// Metrics reads the counts.
func (r *Receiver) Metrics(ctx context.Context) (Metrics, error) {
	return ReadMetrics(ctx, r.MetricsURL())
}

// ReadMetrics reads the counts of any server that takes records in, where Prometheus
// would.
func ReadMetrics(ctx context.Context, url string) (Metrics, error) {
	status, text, err := get(ctx, http.DefaultClient, url)
	if err != nil {
		return Metrics{}, fmt.Errorf("read the receiver's metrics: %w", err)
	}
	if status != http.StatusOK {
		return Metrics{}, fmt.Errorf("read the receiver's metrics: the answer is %d", status)
	}
	return parse(text)
}

// WaitDrained returns when the spool is empty and every record accounted for. When
// ctx ends first, or the receiver does, the error says what was left.
func (r *Receiver) WaitDrained(ctx context.Context) (Metrics, error) {
	var last Metrics
	err := r.process.WaitUntil(ctx, "the spool is empty", func(ctx context.Context) error {
		now, err := r.Metrics(ctx)
		if err != nil {
			return err
		}
		last = now
		if now.InSpool > 0 {
			return fmt.Errorf("%d records are in the spool", now.InSpool)
		}
		return now.Check()
	})
	return last, err
}

const prefix = "auditquery_ingest_"

// parse reads the lines of the text format; labels but the cause are summed over.
func parse(text []byte) (Metrics, error) {
	m := Metrics{DeadLetters: map[string]int64{}}
	var oldest float64
	found := 0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line, ours := strings.CutPrefix(lines.Text(), prefix)
		at := strings.LastIndexByte(line, ' ')
		if !ours || at < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return m, fmt.Errorf("read the receiver's metrics: %q: %w", line, err)
		}
		name, labels, _ := strings.Cut(line[:at], "{")
		if name == "spool_oldest_record_age_seconds" {
			oldest = value
			continue
		}
		if into := m.field(name); into != nil {
			*into += int64(value)
			found++
		}
		if name == "records_dead_lettered_total" {
			m.DeadLetters[label(labels, "cause")] += int64(value)
		}
	}
	if found == 0 {
		return m, fmt.Errorf("read the receiver's metrics: none begins with %s", prefix)
	}
	m.OldestAge = time.Duration(oldest * float64(time.Second))
	return m, nil
}

func (m *Metrics) field(name string) *int64 {
	switch name {
	case "records_received_total":
		return &m.Received
	case "records_acknowledged_total":
		return &m.Acknowledged
	case "records_stored_total":
		return &m.Stored
	case "records_duplicate_total":
		return &m.Duplicate
	case "records_dead_lettered_total":
		return &m.DeadLettered
	case "spool_records":
		return &m.InSpool
	case "spool_records_found_at_start":
		return &m.Found
	case "spool_bytes":
		return &m.SpoolBytes
	case "spool_max_bytes":
		return &m.SpoolMaxBytes
	default:
		return nil
	}
}

// label returns the value of a label; those that are read here hold no quotes.
func label(labels, name string) string {
	_, rest, ok := strings.Cut(labels, name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
