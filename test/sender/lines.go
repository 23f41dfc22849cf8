package sender

import (
	"encoding/json"
	"fmt"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

// Lines are an application's own records as JSON lines, of both kinds, some 600
// bytes each.
type Lines struct {
	// Run keeps the records of one source apart from those of others: up to 8
	// hexadecimal digits.
	Run string
	// Org is whose records they are.
	Org string
	// Start is when record 0 happened, Interval how far apart they are; 0 means
	// DefaultInterval.
	Start    time.Time
	Interval time.Duration
}

var _ Source = Lines{}

// Path is that of records from log shippers.
func (Lines) Path() string { return "/ingest/records" }

// ContentType is that of JSON lines.
func (Lines) ContentType() string { return "application/x-ndjson" }

// Number reads the trace id.
func (l Lines) Number(r record.Record) (int, bool) { return numberOf(l.Run, r) }

// Body appends a line for each record.
func (l Lines) Body(b []byte, first, count int) []byte {
	for n := first; n < first+count; n++ {
		b = append(append(b, l.line(n)...), '\n')
	}
	return b
}

// Records reads the line as it was sent.
func (l Lines) Records(n int) ([]record.Record, error) {
	r, err := record.DecodeOwn(l.line(n))
	if err != nil {
		return nil, err
	}
	r.Base().SourceType = record.SourceBulk
	record.Normalize(r, at(l.Start, l.Interval, n))
	r.Base().IngestTime = 0
	return []record.Record{r}, nil
}

func (l Lines) line(n int) []byte {
	line := map[string]any{
		"time":       at(l.Start, l.Interval, n).Format("2006-01-02T15:04:05.000000Z"),
		"cluster":    "shop-application",
		"org_id":     l.Org,
		"user_id":    fmt.Sprintf("user-%d", n%500),
		"actor_type": record.ActorHuman,
		"source_ip":  fmt.Sprintf("192.0.2.%d", n%250),
		"user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0",
		"token_id":   fmt.Sprintf("tok-%04d", n%50),
		"trace_id":   traceID(l.Run, n),
		"session":    fmt.Sprintf("ses-%04d", n%80),
		"details":    map[string]any{"request": map[string]any{"bytes": 100 + n%9000}, "region": "eu-west"},
	}
	if n%10 == 9 {
		l.login(line, n)
	} else {
		l.action(line, n)
	}
	data, err := json.Marshal(line)
	if err != nil {
		panic(fmt.Sprintf("encode record %d: %v", n, err)) // plain values always encode
	}
	return data
}

func (l Lines) action(line map[string]any, n int) {
	line["kind"] = record.KindAudit
	line["action"] = []string{"create", "update", "delete", "read"}[n%4]
	line["outcome"], line["response_code"] = record.OutcomeSuccess, 200
	line["api_name"], line["target_resource_type"] = "applications", "application"
	line["target_resource_name"], line["target_resource_org_id"] = fmt.Sprintf("intranet-%d", n%300), l.Org
	line["target_id"], line["parent_id"] = fmt.Sprintf("application-%03d", n%40), "env-prod"
	line["description"] = fmt.Sprintf("user-%d changed the application intranet-%d (200)", n%500, n%300)
	line["audit_attributes"] = []map[string]any{{
		"attribute_type": "group", "attribute_id": "g-applications", "attribute_org_id": l.Org, "attribute_name": "applications owners",
	}}
}

func (l Lines) login(line map[string]any, n int) {
	line["kind"] = record.KindAuthAudit
	line["org_name"], line["login_org_id"], line["login_org_name"] = "Acme Ltd", l.Org, "Acme Ltd"
	line["upstream_user_id"], line["upstream_idp"] = fmt.Sprintf("user-%d@example.com", n%500), "google"
	line["event"], line["stage"], line["event_name"] = "Success", "Login", "Login"
	line["result"], line["request_id"] = record.OutcomeSuccess, fmt.Sprintf("req-%08x", n)
	line["issuer"], line["client_id"] = "https://auth.example.com", "shop-web"
	line["application_name"] = "Shop"
}
