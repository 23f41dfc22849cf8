package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/certs"
)

// named is an event about an object of a name.
func named(name string, modify ...func(*auditv1.Event)) *auditv1.Event {
	return builders.Event(append([]func(*auditv1.Event){func(e *auditv1.Event) { e.ObjectRef.Name = name }}, modify...)...)
}

func TestABatchIsStoredBeforeItIsAnswered(t *testing.T) {
	r := newRig(t)
	got := r.post(builders.EventList(named("one"), named("two"), named("started", func(e *auditv1.Event) {
		e.Stage = auditv1.StageResponseStarted
	})))
	want := answer{status: 200, body: `{"events":3,"skipped":1,"stored":2,"duplicate":0,"dead_letters":0}` + "\n"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"one": 1, "two": 1}, r.writer.names()); diff != "" {
		t.Error(diff)
	}
	if got := r.metric("auditquery_ingest_records_total", "stored"); got != 2 {
		t.Errorf("counted %v stored records", got)
	}
	if got := r.metric("auditquery_ingest_requests_in_flight", ""); got != 0 {
		t.Errorf("%v requests are still in flight", got)
	}
}

func TestABatchThatComesAgainStoresNothingNew(t *testing.T) {
	r := newRig(t)
	body := builders.EventList(named("one"), named("two"))
	r.post(body)
	got := r.post(body)
	if got.status != 200 || !strings.Contains(got.body, `"stored":0,"duplicate":2`) {
		t.Errorf("the second time: %+v", got)
	}
	if len(r.writer.stored) != 2 {
		t.Errorf("%d records are stored", len(r.writer.stored))
	}
}

func TestALargeBatchIsStoredInParts(t *testing.T) {
	r := newRig(t)
	var items []any
	for i := range 2500 {
		items = append(items, named(fmt.Sprint("n", i)))
	}
	if got := r.post(builders.EventList(items...)); got.status != 200 {
		t.Fatalf("%+v", got)
	}
	var sizes []int
	for _, call := range r.writer.calls {
		sizes = append(sizes, len(call))
	}
	if diff := cmp.Diff([]int{1000, 1000, 500}, sizes); diff != "" {
		t.Error(diff)
	}
	if len(r.writer.stored) != 2500 {
		t.Errorf("%d records are stored", len(r.writer.stored))
	}
}

func TestAStoreThatIsAwayRefusesTheBatch(t *testing.T) {
	tests := map[string]struct {
		err            error
		wantRetryAfter string
	}{
		"it says when to come back":    {err: unavailable(7 * time.Second), wantRetryAfter: "7"},
		"it does not say when":         {err: unavailable(0), wantRetryAfter: "5"},
		"it would be away for an hour": {err: unavailable(time.Hour), wantRetryAfter: "30"},
		"it took too long":             {err: context.DeadlineExceeded, wantRetryAfter: "5"},
		"its failure is of no type":    {err: fmt.Errorf("dial elastic:secret@10.0.0.1"), wantRetryAfter: "5"},
		"its layout is not ours":       {err: &store.Error{Reason: store.Conflict, Op: "append", Message: "no"}, wantRetryAfter: "5"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.writer.failNext(test.err)
			body := builders.EventList(named("one"), json.RawMessage(`{"auditID":5}`))
			got := r.post(body)
			if got.status != 503 || got.retryAfter != test.wantRetryAfter {
				t.Errorf("answered %+v, want 503 after %s", got, test.wantRetryAfter)
			}
			if strings.Contains(got.body, "secret") || r.log.count("secret") > 0 {
				t.Errorf("the store's address leaks: %s", got.body)
			}
			if len(r.letters.letters) > 0 {
				t.Error("a batch that comes again left a dead letter")
			}
			if got := r.post(body); got.status != 200 || r.writer.names()["one"] != 1 || len(r.letters.letters) != 1 {
				t.Errorf("the second try: %+v, stored %v, letters %v", got, r.writer.names(), r.letters.causes())
			}
		})
	}
}

func TestOutcomesOfSingleRecords(t *testing.T) {
	tests := map[string]struct {
		outcome     store.Outcome
		wantStatus  int
		wantLetters []Cause
	}{
		"a collision is put aside and its neighbour stored": {
			outcome:    store.Outcome{Result: store.Collision, Err: &store.Error{Reason: store.Conflict, Op: "append", Message: "another record"}},
			wantStatus: 200, wantLetters: []Cause{CauseCollision},
		},
		"what the store can never take is put aside": {
			outcome:    store.Outcome{Result: store.Rejected, Err: &store.Error{Reason: store.Invalid, Op: "append", Message: "too odd"}},
			wantStatus: 200, wantLetters: []Cause{CauseRejected},
		},
		"what the store cannot take now comes again": {
			outcome: store.Outcome{Result: store.Failed, Err: unavailable(0)}, wantStatus: 503,
		},
		"an outcome that nobody knows comes again": {outcome: store.Outcome{Result: 99}, wantStatus: 503},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.writer.outcome = func(rec record.Record) store.Outcome {
				if rec.(*record.Audit).TargetResourceName == "bad" {
					return test.outcome
				}
				return store.Outcome{}
			}
			got := r.post(builders.EventList(named("before"), named("bad"), named("after")))
			if got.status != test.wantStatus {
				t.Errorf("answered %+v", got)
			}
			if diff := cmp.Diff(map[string]int{"before": 1, "after": 1}, r.writer.names()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.wantLetters, r.letters.causes()); diff != "" {
				t.Error(diff)
			}
			for _, letter := range r.letters.letters {
				if !strings.Contains(string(letter.Record), `"target_resource_name":"bad"`) {
					t.Errorf("the letter lacks the record: %s", letter.Record)
				}
			}
		})
	}
}

func TestDeadLettersThatCannotBeWrittenRefuseTheBatch(t *testing.T) {
	r := newRig(t)
	r.letters.err = &os.PathError{Op: "write", Path: "x", Err: os.ErrPermission}
	body := builders.EventList(json.RawMessage(`{}`), named("one"))
	if got := r.post(body); got.status != 503 || got.retryAfter == "" {
		t.Errorf("answered %+v", got)
	}
	if r.writer.names()["one"] != 1 {
		t.Error("the good event was not stored")
	}
	if got := r.post(body); got.status != 200 || len(r.letters.letters) != 1 {
		t.Errorf("the second try: %+v", got)
	}
}

func TestOneBatchTooMany(t *testing.T) {
	r := newRig(t, func(o *ReceiverOptions) { o.MaxBodies = 1 })
	entered, leave := make(chan struct{}), make(chan struct{})
	r.writer.during = func(context.Context) error {
		entered <- struct{}{}
		<-leave
		return nil
	}
	var wait sync.WaitGroup
	wait.Add(1)
	var first answer
	go func() {
		defer wait.Done()
		first = r.post(builders.EventList(named("one")))
	}()
	<-entered
	if got := r.post(builders.EventList(named("two"))); got.status != 429 || got.retryAfter != "1" {
		t.Errorf("the second answered %+v", got)
	}
	if got := r.metric("auditquery_ingest_requests_in_flight", ""); got != 1 {
		t.Errorf("%v in flight", got)
	}
	close(leave)
	wait.Wait()
	if first.status != 200 {
		t.Errorf("the first answered %+v", first)
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	r := newRig(t)
	r.writer.during = func(context.Context) error { panic("nobody thought of it") }
	if got := r.post(builders.EventList(named("one"))); got.status != 500 || strings.Contains(got.body, "nobody") {
		t.Errorf("answered %+v", got)
	}
	r.writer.during = nil
	if got := r.post(builders.EventList(named("one"))); got.status != 200 {
		t.Errorf("afterwards answered %+v", got)
	}
}

func TestWhoMaySend(t *testing.T) {
	tests := map[string]struct {
		commonName string
		path       string
		wantStatus int
	}{
		"the cluster of its name":              {commonName: "prod", path: "/ingest/kubernetes/prod", wantStatus: 200},
		"another cluster":                      {commonName: "prod", path: "/ingest/kubernetes/test", wantStatus: 403},
		"a cluster that it is mapped to":       {commonName: "CN=odd", path: "/ingest/kubernetes/test", wantStatus: 200},
		"the second of them":                   {commonName: "CN=odd", path: "/ingest/kubernetes/dev", wantStatus: 200},
		"its own name though mapped elsewhere": {commonName: "renamed", path: "/ingest/kubernetes/renamed", wantStatus: 403},
		"no common name at all":                {commonName: "", path: "/ingest/kubernetes/prod", wantStatus: 403},
		"a path inside the name":               {commonName: "a/b", path: "/ingest/kubernetes/a%2Fb", wantStatus: 404},
		"no cluster":                           {commonName: "prod", path: "/ingest/kubernetes/", wantStatus: 404},
		"a deeper path":                        {commonName: "prod", path: "/ingest/kubernetes/prod/more", wantStatus: 404},
	}
	r := newRig(t, func(o *ReceiverOptions) {
		o.ClientClusters = map[string][]string{"CN=odd": {"test", "dev"}, "renamed": {"new"}}
	})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := r.send(r.clientOf(test.commonName), http.MethodPost, test.path, "application/json",
				strings.NewReader(string(builders.EventList())))
			if got.status != test.wantStatus {
				t.Errorf("answered %+v, want %d", got, test.wantStatus)
			}
		})
	}
}

func TestTLSIsDemanded(t *testing.T) {
	r := newRig(t)
	other, err := certs.NewCA("test") // of the same name, with another key
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.IssueClient("prod")
	if err != nil {
		t.Fatal(err)
	}
	clients := map[string]*http.Client{
		"no certificate":              r.clientWith(),
		"a certificate of another CA": r.clientWith(foreign),
		"no TLS":                      http.DefaultClient,
	}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			url := r.url("/ingest/kubernetes/prod")
			if name == "no TLS" {
				url = "http" + strings.TrimPrefix(url, "https")
			}
			res, err := client.Post(url, "application/json", strings.NewReader("{}"))
			if err == nil {
				defer res.Body.Close()
				if res.StatusCode < 400 {
					t.Errorf("answered %d", res.StatusCode)
				}
			}
			if len(r.writer.calls) > 0 {
				t.Error("the writer was called")
			}
		})
	}
}

func TestASlowStoreIsNotWaitedForLong(t *testing.T) {
	r := newRig(t, func(o *ReceiverOptions) { o.Timeout = 50 * time.Millisecond })
	r.writer.during = func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	if got := r.post(builders.EventList(named("one"))); got.status != 503 || !strings.Contains(got.body, "took too long") {
		t.Errorf("answered %+v", got)
	}
}

func TestASlowClientIsNotWaitedForLong(t *testing.T) {
	r := newRig(t, func(o *ReceiverOptions) { o.Timeout = 300 * time.Millisecond })
	body, send := io.Pipe()
	defer send.Close()
	whole := builders.EventList(named("one"), named("two"))
	go func() { _, _ = send.Write(whole[:len(whole)-50]) }()
	// The answer may be lost when the connection is cut; that it ends is the point.
	res, err := r.client.Post(r.url("/ingest/kubernetes/prod"), "application/json", body)
	if err == nil {
		defer res.Body.Close()
		if res.StatusCode != http.StatusRequestTimeout {
			t.Errorf("answered %d", res.StatusCode)
		}
	}
	await.True(t, "its place is free", func() bool {
		return r.metric("auditquery_ingest_requests_refused_total", string(refusedTimeout)) == 1 &&
			r.metric("auditquery_ingest_requests_in_flight", "") == 0
	})
	if r.writer.names()["one"] != 1 {
		t.Error("the whole event was not stored")
	}
}
