package ingest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"auditquery.dev/auditquery/internal/ingest/budget"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
)

// slowly opens connections that each send the start of a body and then nothing,
// and returns when the receiver reads all of them.
func (r *rig) slowly(senders int, start []byte) {
	r.t.Helper()
	config := r.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	var wait sync.WaitGroup
	for range senders {
		wait.Go(func() {
			conn, err := tls.Dial("tcp", r.server.Address(), config)
			if err != nil {
				r.t.Error(err)
				return
			}
			r.t.Cleanup(func() { _ = conn.Close() })
			fmt.Fprintf(conn, "POST %sprod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", PathKubernetes, 10<<20)
			if _, err := conn.Write(start); err != nil {
				r.t.Error(err)
			}
		})
	}
	wait.Wait()
	await.True(r.t, "all of them are being read", func() bool {
		return r.metric("auditquery_ingest_requests_in_flight", "") == float64(senders)
	})
}

func TestSlowSendersKeepNobodyOut(t *testing.T) {
	r := newRig(t)
	list := builders.EventList(named("slow"), named("never"))
	r.slowly(200, list[:len(list)-40])
	if held := r.receiver.budget.Held(); held != 0 {
		t.Errorf("they are charged %d bytes", held)
	}
	var items []any
	want := map[string]int{}
	for i := range 2000 {
		name := fmt.Sprint("n", i)
		items, want[name] = append(items, named(name)), 1
	}
	if answered := r.events(builders.EventList(items...)); answered.Status != 200 {
		t.Errorf("the good sender is answered %+v", answered)
	}
	r.wantNames(want)
}

func padded(name string, bytes int) *auditv1.Event {
	return named(name, func(e *auditv1.Event) { e.Annotations["padding"] = strings.Repeat("x", bytes) })
}

// TestWithoutMemoryThereIsAlwaysALittle uses all of the budget up, and sends what
// is larger than what a request may hold for nothing.
func TestWithoutMemoryThereIsAlwaysALittle(t *testing.T) {
	r := newRig(t, func(s *setting) { s.receiver.MemoryBytes, s.receiver.Patience = 1<<20, 50*time.Millisecond })
	account := r.receiver.budget.Open()
	defer account.Close()
	if !account.Set(1<<20 + budget.Free) {
		t.Fatal("the budget is not free")
	}
	var items []any
	want := map[string]int{}
	for i := range 200 {
		name := fmt.Sprint("n", i)
		items, want[name] = append(items, padded(name, 1000)), 1
	}
	if answered := r.events(builders.EventList(items...)); answered.Status != 200 {
		t.Fatalf("many small events: %+v", answered)
	}
	r.wantNames(want)
	if parts := len(r.spool.appends()); parts < 10 || parts > 40 {
		t.Errorf("they went in %d parts", parts)
	}
	want["before"] = 1
	answered := r.events(builders.EventList(named("before"), padded("large", 200<<10)))
	if answered.Status != 429 || answered.RetryAfter != "1" {
		t.Errorf("a large event: %+v", answered)
	}
	r.wantNames(want)
	account.Close()
	want["large"], want["before"] = 1, 2
	if answered := r.events(builders.EventList(named("before"), padded("large", 200<<10))); answered.Status != 200 {
		t.Errorf("a large event, when there is memory: %+v", answered)
	}
	r.wantNames(want)
	if held := r.receiver.budget.Held(); held != 0 {
		t.Errorf("%d bytes are still charged", held)
	}
}

// TestWhatIsHeldIsCharged stops senders in the middle of something large.
func TestWhatIsHeldIsCharged(t *testing.T) {
	r := newRig(t)
	list := builders.EventList(padded("large", 500<<10))
	r.slowly(4, list[:400<<10])
	await.True(t, "the parts of large events are charged", func() bool { return r.receiver.budget.Held() > 4*400<<10 })
	if held := r.receiver.budget.Held(); held > 4*2<<20 {
		t.Errorf("%d bytes are charged", held)
	}
}

func TestALargeBodyNeedsLittleMemory(t *testing.T) {
	r := newRig(t)
	var highest int64
	event := string(builders.EventList(padded("x", 3000)))
	event = event[strings.Index(event, `"items":[`)+len(`"items":[`) : strings.LastIndex(event, "]")]
	r.spool.during = func() { highest = max(highest, r.receiver.budget.Held()) }
	const events = 10_000
	body := io.MultiReader(
		strings.NewReader(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[`+event),
		strings.NewReader(strings.Repeat(","+event, events-1)), strings.NewReader("]}"),
	)
	if answered := r.do(request{path: PathKubernetes + "prod", body: body}); answered.Status != 200 {
		t.Fatalf("%+v", answered)
	}
	if highest == 0 || highest > 2<<20 {
		t.Errorf("it was charged %d bytes at most", highest)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	r := newRig(t, func(s *setting) { s.server.MaxConnections = 3 })
	list := builders.EventList(named("slow"))
	r.slowly(2, list[:10])
	first := r.clientOf("prod")
	if answered := r.do(request{client: first, path: PathRecords, body: strings.NewReader("[]")}); answered.Status != 200 {
		t.Fatalf("%+v", answered)
	}
	// Its connection is idle, and makes room.
	if answered := r.do(request{client: r.clientOf("prod"), path: PathRecords, body: strings.NewReader("[]")}); answered.Status != 200 {
		t.Errorf("the next client: %+v", answered)
	}
	if answered := r.do(request{client: first, path: PathRecords, body: strings.NewReader("[]")}); answered.Status != 200 {
		t.Errorf("the first client again: %+v", answered)
	}
}

func TestOneConnectionTooMany(t *testing.T) {
	r := newRig(t, func(s *setting) { s.server.MaxConnections = 2 })
	list := builders.EventList(named("slow"))
	r.slowly(2, list[:10])
	if res, err := r.client.Post(r.url(PathRecords), "application/json", strings.NewReader("[]")); err == nil {
		_ = res.Body.Close()
		t.Errorf("answered %d", res.StatusCode)
	}
}
