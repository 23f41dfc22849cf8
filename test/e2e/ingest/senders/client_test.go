package senders_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/receiver"
)

// The ways in.
const (
	bulkPath    = "/v1/bulk_audit_events"
	recordsPath = "/ingest/records"

	typeJSON  = "application/json"
	typeLines = "application/x-ndjson"
)

func kubernetesPath(cluster string) string { return "/ingest/kubernetes/" + cluster }

// door is a receiver's address, as somebody.
type door struct {
	url    string
	client *http.Client
	token  string
}

// doorOf is the door of a receiver for a certificate of a common name, empty for none.
func doorOf(t *testing.T, r *receiver.Receiver, commonName string) door {
	t.Helper()
	client, err := r.Client(commonName)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return door{url: r.URL(), client: client}
}

// answer is what a receiver said.
type answer struct {
	status     int
	retryAfter string
	body       []byte
}

func (a answer) String() string {
	return fmt.Sprintf("%d (Retry-After: %q) %.500s", a.status, a.retryAfter, a.body)
}

// want fails the test unless the answer has a status.
func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("the answer is %s, want %d", a, status)
	}
	return a
}

func (a answer) into(t *testing.T, value any) {
	t.Helper()
	if err := json.Unmarshal(a.body, value); err != nil {
		t.Fatalf("%v: the answer is %s", err, a)
	}
}

func (d door) post(t *testing.T, path, contentType string, body []byte) answer {
	t.Helper()
	a, err := d.tryPost(t.Context(), path, contentType, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (d door) tryPost(ctx context.Context, path, contentType string, body []byte) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", contentType)
	if d.token != "" {
		request.Header.Set("Authorization", "Bearer "+d.token)
	}
	response, err := d.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, retryAfter: response.Header.Get("Retry-After"), body: text}, err
}

// thing is something that was done: the name of what it was done to, which tells the
// records of the tests apart, and whose it is.
type thing struct{ name, org string }

// event is the thing as a kube-apiserver tells of it, just now; org is a namespace.
func (x thing) event(modify ...func(*auditv1.Event)) *auditv1.Event {
	now := metav1.NewMicroTime(time.Now().Truncate(time.Microsecond))
	first := func(e *auditv1.Event) {
		e.AuditID, e.ObjectRef.Name, e.ObjectRef.Namespace = types.UID("id-of-"+x.name), x.name, x.org
		e.RequestReceivedTimestamp, e.StageTimestamp = now, now
	}
	return builders.Event(append([]func(*auditv1.Event){first}, modify...)...)
}

// audit is the thing as an application tells of it.
func (x thing) audit() map[string]any {
	a := map[string]any{
		"kind": "Audit", "time": time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"), "user_id": "alice", "actor_type": "Human",
		"action": "update", "target_resource_type": "application", "target_resource_name": x.name, "target_id": "id-of-" + x.name,
	}
	if x.org != "" {
		a["org_id"] = x.org
	}
	return a
}

// bulkEvent is the thing as the original API takes it.
func (x thing) bulkEvent() map[string]any {
	return map[string]any{
		"unique_id": "unique-" + x.name, "create_time": time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"), "event": x.audit(),
	}
}

// encode writes anything that a test made as JSON.
func encode(t *testing.T, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// lines writes values as JSON lines.
func lines(t *testing.T, values ...any) []byte {
	t.Helper()
	var body []byte
	for _, value := range values {
		body = append(append(body, encode(t, value)...), '\n')
	}
	return body
}

// bulk writes events as one request of the original API.
func bulk(t *testing.T, events ...any) []byte {
	t.Helper()
	return encode(t, map[string]any{"events": events})
}

// bulkAnswer is what the original API answers.
type bulkAnswer struct {
	Success    []bulkOutcome `json:"success_events"`
	Discard    []bulkOutcome `json:"discard_events"`
	Retry      []bulkOutcome `json:"retry_events"`
	RetryAfter int           `json:"retry_after_delay_seconds"`
}

type bulkOutcome struct {
	UniqueID string `json:"unique_id"`
	Status   string `json:"status"`
	Message  string `json:"status_message"`
}

// statuses are by unique id; the test fails when one is there twice.
func (b bulkAnswer) statuses(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, outcome := range slices.Concat(b.Success, b.Discard, b.Retry) {
		if earlier, ok := all[outcome.UniqueID]; ok {
			t.Errorf("%s is both %s and %s", outcome.UniqueID, earlier, outcome.Status)
		}
		all[outcome.UniqueID] = outcome.Status
	}
	return all
}

// recordsAnswer is what is answered to JSON lines.
type recordsAnswer struct {
	Received      int `json:"received"`
	Accepted      int `json:"accepted"`
	RejectedTotal int `json:"rejected_total"`
	Rejected      []struct {
		Index   int    `json:"index"`
		Message string `json:"message"`
	} `json:"rejected"`
}

// rejected are the places of what was refused.
func (r recordsAnswer) rejected() []int {
	places := []int{}
	for _, item := range r.Rejected {
		places = append(places, item.Index)
	}
	return places
}

// audits reads the audits for which a filter holds, nil for all.
func audits(t *testing.T, reader store.Reader, filter query.Filter) []*record.Audit {
	t.Helper()
	var all []*record.Audit
	for _, r := range read(t, reader, record.KindAudit, filter, time.Time{}) {
		all = append(all, r.(*record.Audit))
	}
	return all
}

// read reads all records of a kind from a time on.
func read(t *testing.T, reader store.Reader, kind record.Kind, filter query.Filter, from time.Time) []record.Record {
	t.Helper()
	q, err := query.Validate(query.Query{Kind: kind, Scope: query.All(), Limit: query.MaxLimit, Filter: filter, From: from}, record.NewSchema(kind))
	if err != nil {
		t.Fatal(err)
	}
	var all []record.Record
	for {
		page, err := reader.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		records, err := record.DecodeAll(kind, page.Documents)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, records...)
		if page.Next == nil {
			return all
		}
		q.After = page.Next
	}
}

// namesOf counts the audits by the names that begin with a text.
func namesOf(t *testing.T, reader store.Reader, begin string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, a := range audits(t, reader, query.Prefix{Field: "target_resource_name", Value: begin}) {
		counts[a.TargetResourceName]++
	}
	return counts
}

// once counts each name once.
func once(names ...string) map[string]int {
	counts := map[string]int{}
	for _, name := range names {
		counts[name] = 1
	}
	return counts
}

// drained waits until a receiver's spool is empty, and has what it stored be found.
func drained(t *testing.T, r *receiver.Receiver, prefix string) receiver.Metrics {
	t.Helper()
	const patience = 2 * time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	counted, err := r.WaitDrained(ctx)
	if err != nil {
		t.Fatal(err)
	}
	refresh(t, prefix)
	return counted
}

// drainedAt is drained for a server that is known by its metrics.
func drainedAt(t *testing.T, url, prefix string) receiver.Metrics {
	t.Helper()
	var counted receiver.Metrics
	await.Nil(t, "the spool is empty", func(ctx context.Context) error {
		var err error
		if counted, err = receiver.ReadMetrics(ctx, url); err != nil {
			return err
		}
		if counted.InSpool > 0 {
			return fmt.Errorf("%d records are in the spool", counted.InSpool)
		}
		return counted.Check()
	})
	refresh(t, prefix)
	return counted
}

func refresh(t *testing.T, prefix string) {
	t.Helper()
	if _, err := theElasticsearch(t).Do(t.Context(), http.MethodPost, "/"+prefix+"*/_refresh", nil); err != nil {
		t.Fatal(err)
	}
}

// positive leaves out what was counted and never seen.
func positive(counts map[string]int64) map[string]int64 {
	seen := maps.Clone(counts)
	maps.DeleteFunc(seen, func(_ string, count int64) bool { return count == 0 })
	return seen
}
