package receiver

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const page = `# HELP auditquery_ingest_records_stored_total Records.
# TYPE auditquery_ingest_records_stored_total counter
auditquery_ingest_records_received_total{source="kubernetes/prod"} 12
auditquery_ingest_records_acknowledged_total{source="kubernetes/prod"} 11
auditquery_ingest_records_stored_total{source="bulk"} 2
auditquery_ingest_records_stored_total{source="kubernetes/prod"} 4
auditquery_ingest_records_duplicate_total{source="kubernetes/prod"} 1
auditquery_ingest_records_dead_lettered_total{cause="malformed",source="kubernetes/prod"} 3
auditquery_ingest_spool_records 4
auditquery_ingest_spool_records_found_at_start 3
auditquery_ingest_spool_bytes 4096
auditquery_ingest_spool_max_bytes 8.589934592e+09
auditquery_ingest_spool_oldest_record_age_seconds 1.5
auditquery_ingest_lag_seconds_bucket{le="0.1"} 7
go_goroutines 12
`

func TestMetricsAreRead(t *testing.T) {
	got, err := parse([]byte(page))
	if err != nil {
		t.Fatal(err)
	}
	want := Metrics{
		Found: 3, Received: 12, Acknowledged: 11, Stored: 6, Duplicate: 1, DeadLettered: 3, InSpool: 4, SpoolBytes: 4096,
		SpoolMaxBytes: 8 << 30, OldestAge: 1500 * time.Millisecond, DeadLetters: map[string]int64{"malformed": 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
	got.Stored--
	if err := got.Check(); err == nil {
		t.Error("one record is unaccounted for, and nothing says so")
	}
}

func TestAPageOfSomethingElseIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"no metrics of ours": "go_goroutines 12\n",
		"no number":          strings.Replace(page, " 4096", " many", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := parse([]byte(text)); err == nil {
				t.Errorf("it reads as %+v", got)
			}
		})
	}
}
