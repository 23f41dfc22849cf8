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
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/ledger"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
)

// named is an event about an object of a name.
func named(name string, modify ...func(*auditv1.Event)) *auditv1.Event {
	return builders.Event(append([]func(*auditv1.Event){func(e *auditv1.Event) { e.ObjectRef.Name = name }}, modify...)...)
}

func TestAListIsDurableBeforeItIsAnswered(t *testing.T) {
	r := newRig(t)
	answered := r.events(builders.EventList(named("one"), named("two"), named("started", func(e *auditv1.Event) {
		e.Stage = auditv1.StageResponseStarted
	})))
	want := got{Status: 200, Body: `{"events":3,"skipped":1,"accepted":2,"dead_letters":0}` + "\n"}
	if diff := cmp.Diff(want, answered); diff != "" {
		t.Error(diff)
	}
	r.wantNames(map[string]int{"one": 1, "two": 1})
	for _, e := range r.spool.entries(t) {
		if e.Source != "kubernetes/prod" || e.Received == 0 || decoded(t, e).Base().SourceType != record.SourceKubernetes {
			t.Errorf("entry %+v", e)
		}
	}
	wantAccount := ledger.Account{Received: 2, Acknowledged: 2, DeadLettered: map[deadletter.Cause]int64{}}
	if diff := cmp.Diff(wantAccount, r.ledger.Accounts()["kubernetes/prod"]); diff != "" {
		t.Error(diff)
	}
	if r.metric("auditquery_ingest_requests_in_flight", "") != 0 || r.metric("auditquery_ingest_memory_charged_bytes", "") != 0 {
		t.Error("something is still held")
	}
}

func TestALargeBodyIsWrittenInParts(t *testing.T) {
	for name, test := range map[string]struct {
		events  int
		padding int
		want    []int
	}{
		"by number of records": {events: 2500, want: []int{1000, 1000, 500}},
		"by size":              {events: 30, padding: 60 << 10, want: []int{17, 13}},
		"all at once":          {events: 20, want: []int{20}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			want := map[string]int{}
			var items []any
			for i := range test.events {
				name := fmt.Sprint("n", i)
				want[name] = 1
				items = append(items, named(name, func(e *auditv1.Event) {
					e.Annotations["padding"] = strings.Repeat("x", test.padding)
				}))
			}
			if answered := r.events(builders.EventList(items...)); answered.Status != 200 {
				t.Fatalf("%+v", answered)
			}
			if diff := cmp.Diff(test.want, r.spool.appends()); diff != "" {
				t.Error(diff)
			}
			r.wantNames(want)
		})
	}
}

func TestASpoolThatTakesNothing(t *testing.T) {
	tests := map[string]struct {
		err            error
		wantStatus     int
		wantRetryAfter string
		wantText       string
	}{
		"it is full":          {err: fmt.Errorf("append: %w", spool.ErrFull), wantStatus: 503, wantRetryAfter: "5", wantText: "full"},
		"too much waits":      {err: spool.ErrBusy, wantStatus: 429, wantRetryAfter: "1"},
		"it is closed":        {err: spool.ErrClosed, wantStatus: 503, wantRetryAfter: "1", wantText: "ending"},
		"its disk fails":      {err: &os.PathError{Op: "sync", Path: "/secret/place", Err: syscall.EIO}, wantStatus: 503, wantRetryAfter: "5", wantText: "input/output error"},
		"it fails as nothing": {err: fmt.Errorf("odd /secret/place"), wantStatus: 503, wantRetryAfter: "5", wantText: "disk fails"},
		"it takes too long":   {err: context.DeadlineExceeded, wantStatus: 503, wantRetryAfter: "5", wantText: "too long"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.spool.failNext(test.err)
			body := builders.EventList(named("one"), json.RawMessage(`{"auditID":5}`))
			answered := r.events(body)
			if answered.Status != test.wantStatus || answered.RetryAfter != test.wantRetryAfter || !strings.Contains(answered.Body, test.wantText) {
				t.Errorf("answered %+v", answered)
			}
			if strings.Contains(answered.Body, "secret") || r.log.count("secret") > 0 {
				t.Errorf("a path leaks: %s", answered.Body)
			}
			r.wantNames(nil)
			if len(r.letters.letters) > 0 || r.ledger.Accounts()["kubernetes/prod"].Acknowledged != 0 {
				t.Error("a body that comes again was counted, or left a dead letter")
			}
			if answered := r.events(body); answered.Status != 200 || len(r.letters.letters) != 1 {
				t.Errorf("the second try: %+v, letters %v", answered, r.letters.causes())
			}
			r.wantNames(map[string]int{"one": 1})
		})
	}
}

func TestDeadLettersThatCannotBeWrittenRefuseTheBody(t *testing.T) {
	for name, test := range map[string]struct {
		err      error
		wantText string
	}{
		"the disk fails": {err: &os.PathError{Op: "write", Path: "/secret", Err: os.ErrPermission}, wantText: "permission denied"},
		"they are full":  {err: fmt.Errorf("write: %w", deadletter.ErrFull), wantText: "full"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.letters.err = test.err
			body := builders.EventList(json.RawMessage(`{}`), named("one"))
			answered := r.events(body)
			if answered.Status != 503 || answered.RetryAfter == "" || !strings.Contains(answered.Body, test.wantText) || strings.Contains(answered.Body, "secret") {
				t.Errorf("answered %+v", answered)
			}
			if answered := r.events(body); answered.Status != 200 || len(r.letters.letters) != 1 {
				t.Errorf("the second try: %+v", answered)
			}
			account := r.ledger.Accounts()["kubernetes/prod"]
			if account.Received != 4 || account.Acknowledged != 3 || account.DeadLettered[deadletter.Malformed] != 1 {
				t.Errorf("counted %+v", account)
			}
		})
	}
}

func TestOneRequestTooMany(t *testing.T) {
	r := newRig(t, func(s *setting) { s.receiver.MaxRequests = 1 })
	entered, leave := make(chan struct{}), make(chan struct{})
	r.spool.during = func() {
		entered <- struct{}{}
		<-leave
	}
	var wait sync.WaitGroup
	var first got
	wait.Go(func() { first = r.events(builders.EventList(named("one"))) })
	<-entered
	if answered := r.events(builders.EventList(named("two"))); answered.Status != 429 || answered.RetryAfter != "1" {
		t.Errorf("the second answered %+v", answered)
	}
	if n := r.metric("auditquery_ingest_requests_in_flight", ""); n != 1 {
		t.Errorf("%v in flight", n)
	}
	close(leave)
	wait.Wait()
	if first.Status != 200 {
		t.Errorf("the first answered %+v", first)
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	r := newRig(t)
	r.spool.during = func() { panic("nobody thought of it") }
	if answered := r.events(builders.EventList(named("one"))); answered.Status != 500 || strings.Contains(answered.Body, "nobody") {
		t.Errorf("answered %+v", answered)
	}
	r.spool.during = nil
	if answered := r.events(builders.EventList(named("one"))); answered.Status != 200 {
		t.Errorf("afterwards answered %+v", answered)
	}
}

func TestPathsAndMethods(t *testing.T) {
	r := newRig(t)
	for name, test := range map[string]struct {
		method, path string
		want         int
	}{
		"somewhere else":          {path: "/", want: 404},
		"a list of no cluster":    {path: PathKubernetes, want: 404},
		"deeper than a cluster":   {path: PathKubernetes + "prod/more", want: 404},
		"a slash inside the name": {path: PathKubernetes + "a%2Fb", want: 404},
		"an upper-case cluster":   {path: PathKubernetes + "Prod", want: 404},
		"reading events":          {method: http.MethodGet, path: PathKubernetes + "prod", want: 405},
		"reading records":         {method: http.MethodGet, path: PathRecords, want: 405},
		"writing to a probe":      {path: PathReady, want: 405},
		"putting bulk events":     {method: http.MethodPut, path: PathBulk, want: 405},
		"records of a bad name":   {path: PathRecords + "?cluster=A_B", want: 404},
	} {
		t.Run(name, func(t *testing.T) {
			answered := r.do(request{method: test.method, path: test.path, body: strings.NewReader("{}")})
			var status struct {
				Kind string
				Code int
			}
			if err := json.Unmarshal([]byte(answered.Body), &status); err != nil || answered.Status != test.want || status.Code != test.want || status.Kind != "Status" {
				t.Errorf("answered %+v (%v), want %d", answered, err, test.want)
			}
		})
	}
}

func TestProbesNeedNobodysName(t *testing.T) {
	r := newRig(t)
	for name, test := range map[string]struct {
		path  string
		stats spool.Stats
		want  int
	}{
		"alive":                  {path: PathLive, stats: spool.Stats{Full: true}, want: 200},
		"ready":                  {path: PathReady, want: 200},
		"not ready when full":    {path: PathReady, stats: spool.Stats{Full: true}, want: 503},
		"not ready when failing": {path: PathReady, stats: spool.Stats{Failure: syscall.EIO}, want: 503},
	} {
		t.Run(name, func(t *testing.T) {
			r.spool.stats = &test.stats
			if answered := r.do(request{client: r.clientWith(), method: http.MethodGet, path: test.path}); answered.Status != test.want {
				t.Errorf("answered %+v", answered)
			}
		})
	}
}

func TestASlowSenderIsNotWaitedForLong(t *testing.T) {
	r := newRig(t, func(s *setting) { s.receiver.Timeout = 300 * time.Millisecond })
	body, send := io.Pipe()
	defer send.Close()
	whole := builders.EventList(named("one"), named("two"))
	go func() { _, _ = send.Write(whole[:len(whole)-50]) }()
	// The answer may be lost when the connection is cut; that it ends is the point.
	res, err := r.client.Post(r.url(PathKubernetes+"prod"), "application/json", body)
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
	r.wantNames(map[string]int{"one": 1})
}

func TestWhatAReceiverNeeds(t *testing.T) {
	r := newRig(t)
	whole := r.receiver.options
	for name, without := range map[string]func(*Options){
		"a spool":      func(o *Options) { o.Spool = nil },
		"letters":      func(o *Options) { o.Letters = nil },
		"a ledger":     func(o *Options) { o.Ledger = nil },
		"known ones":   func(o *Options) { o.Known = nil },
		"senders":      func(o *Options) { o.Senders = nil },
		"free metrics": func(*Options) {}, // they are registered already
	} {
		t.Run(name, func(t *testing.T) {
			options := whole
			without(&options)
			if _, err := NewReceiver(options); err == nil {
				t.Error("it was made all the same")
			}
		})
	}
}

func TestEveryRefusalIsCountedFromTheStart(t *testing.T) {
	r := newRig(t)
	for _, reason := range refusals() {
		if r.metric("auditquery_ingest_requests_refused_total", string(reason)) != 0 {
			t.Error(reason)
		}
	}
}
