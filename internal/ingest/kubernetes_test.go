package ingest

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
)

// between is a body of odd JSON between two good events.
func between(odd string) []byte {
	// What is odd goes in as it is: marshalling refuses some of it.
	list := builders.EventList(named("before"), json.RawMessage(`"odd"`), named("after"))
	return bytes.Replace(list, []byte(`"odd"`), []byte(odd), 1)
}

func TestOneBadEventCostsNoNeighbour(t *testing.T) {
	tests := map[string]struct {
		odd        string
		wantCause  deadletter.Cause
		wantReason string
	}{
		"it is null":                    {odd: `null`, wantCause: deadletter.Malformed, wantReason: "event 2: "},
		"it is a number":                {odd: `5`, wantCause: deadletter.Malformed, wantReason: "no object"},
		"it is a list":                  {odd: `[1]`, wantCause: deadletter.Malformed, wantReason: "no object"},
		"it is empty":                   {odd: `{}`, wantCause: deadletter.Malformed, wantReason: "auditID"},
		"a member has another type":     {odd: `{"auditID":{"a":1}}`, wantCause: deadletter.Malformed, wantReason: "auditID is of the wrong type"},
		"its time is none":              {odd: `{"auditID":"a","stage":"ResponseComplete","requestReceivedTimestamp":"soon"}`, wantCause: deadletter.Malformed},
		"it is of another kind":         {odd: `{"kind":"Pod","auditID":"a","stage":"Panic"}`, wantCause: deadletter.Malformed, wantReason: "kind"},
		"it is of no known stage":       {odd: `{"auditID":"a","stage":"Later"}`, wantCause: deadletter.Malformed, wantReason: "stage"},
		"it nests too deep":             {odd: strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 200), wantCause: deadletter.Malformed, wantReason: "deep"},
		"it is no JSON":                 {odd: `{"auditID":nope}`, wantCause: deadletter.Malformed, wantReason: "invalid JSON"},
		"it nests 20,000 deep":          {odd: strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat(`}`, 20_000), wantCause: deadletter.Malformed, wantReason: "deep"},
		"it is larger than an event is": {odd: `{"auditID":"` + strings.Repeat("x", 4<<20) + `"}`, wantCause: deadletter.TooLarge, wantReason: "large"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			answered := r.events(between(test.odd))
			if answered.Status != 200 || !strings.Contains(answered.Body, `"events":3,"skipped":0,"accepted":2,"dead_letters":1`) {
				t.Errorf("answered %+v", answered)
			}
			r.wantNames(map[string]int{"before": 1, "after": 1})
			if diff := cmp.Diff([]deadletter.Cause{test.wantCause}, r.letters.causes()); diff != "" {
				t.Fatal(diff)
			}
			letter := r.letters.letters[0]
			if !strings.Contains(letter.Reason, test.wantReason) || len(letter.Reason) > deadletter.MaxReason || letter.Source != "kubernetes/prod" {
				t.Errorf("the letter: %.300s from %s", letter.Reason, letter.Source)
			}
			if len(letter.Excerpt) > record.MaxExcerptBytes || !json.Valid(letter.Excerpt) {
				t.Errorf("the excerpt has %d bytes: %.100s", len(letter.Excerpt), letter.Excerpt)
			}
			if n := r.log.count("put an event into the dead letters"); n != 1 {
				t.Errorf("logged %d times", n)
			}
			account := r.ledger.Accounts()["kubernetes/prod"]
			if account.Received != 3 || account.Acknowledged != 3 || account.DeadLettered[test.wantCause] != 1 {
				t.Errorf("counted %+v", account)
			}
		})
	}
}

func TestManyBadEventsAreLoggedFewTimes(t *testing.T) {
	r := newRig(t)
	items := []any{named("good")}
	for range 5000 {
		items = append(items, json.RawMessage(`{}`))
	}
	if answered := r.events(builders.EventList(items...)); answered.Status != 200 {
		t.Errorf("answered %+v", answered)
	}
	if len(r.letters.letters) != 5000 {
		t.Errorf("%d letters", len(r.letters.letters))
	}
	r.wantNames(map[string]int{"good": 1})
	if n := r.log.count("dead letters"); n != maxLoggedLetters+1 {
		t.Errorf("logged %d times", n)
	}
}

func TestOddValuesAreStoredAndMarked(t *testing.T) {
	tests := map[string]struct {
		modify    func(*auditv1.Event)
		wantMark  string
		wantCheck func(*record.Audit) bool
	}{
		"a user name of 64 kB": {
			modify:    func(e *auditv1.Event) { e.User.Username = strings.Repeat("u", 64<<10) },
			wantMark:  `"cut":["user_id"`,
			wantCheck: func(a *record.Audit) bool { return len(a.UserID) == record.MaxKeywordBytes },
		},
		"a clock a year fast": {
			modify: func(e *auditv1.Event) {
				e.RequestReceivedTimestamp = metav1.NewMicroTime(time.Now().AddDate(1, 0, 0))
			},
			wantMark:  `"original_time":`,
			wantCheck: func(a *record.Audit) bool { return a.Time == a.IngestTime },
		},
		"a clock a year slow": {
			modify: func(e *auditv1.Event) {
				e.RequestReceivedTimestamp = metav1.NewMicroTime(builders.Time().AddDate(-1, 0, 0))
			},
			wantCheck: func(a *record.Audit) bool { return a.Time == record.At(builders.Time().AddDate(-1, 0, 0)) },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if answered := r.events(builders.EventList(named("odd", test.modify), named("after"))); answered.Status != 200 {
				t.Fatalf("answered %+v", answered)
			}
			r.wantNames(map[string]int{"odd": 1, "after": 1})
			for _, e := range r.spool.entries(t) {
				a := decoded(t, e).(*record.Audit)
				if a.TargetResourceName != "odd" {
					continue
				}
				if !strings.Contains(string(a.Details), test.wantMark) || !test.wantCheck(a) {
					t.Errorf("stored %s %.60s %s", a.Time, a.UserID, a.Details)
				}
			}
		})
	}
}

// brokenBody is a body that is refused as a whole.
type brokenBody struct {
	body        []byte
	contentType string
	method      string
	wantStatus  int
	wantText    string
	wantReason  refusal
	wantStored  map[string]int
}

func brokenBodies() map[string]brokenBody {
	whole := builders.EventList(named("one"), named("two"), named("three"))
	third := bytes.LastIndex(whole, []byte(`"three"`))
	return map[string]brokenBody{
		"it ends inside an event": {
			body: whole[:third], wantStatus: 400, wantText: fmt.Sprintf("%d bytes", third), wantReason: refusedTruncated,
			wantStored: map[string]int{"one": 1, "two": 1},
		},
		"it ends after the last event": {
			body: whole[:len(whole)-2], wantStatus: 400, wantReason: refusedTruncated,
			wantStored: map[string]int{"one": 1, "two": 1, "three": 1},
		},
		"it is broken inside": {
			body:       append(append([]byte{}, whole[:third]...), []byte("}}}oops")...),
			wantStatus: 400, wantText: "invalid JSON after", wantReason: refusedMalformed, wantStored: map[string]int{"one": 1, "two": 1},
		},
		"it is empty":        {body: nil, wantStatus: 400, wantReason: refusedTruncated},
		"it is no JSON":      {body: []byte("hello"), wantStatus: 400, wantReason: refusedMalformed},
		"it is a list":       {body: []byte("[]"), wantStatus: 400, wantReason: refusedKind},
		"it is another kind": {body: []byte(`{"kind":"PodList","apiVersion":"v1","items":[]}`), wantStatus: 400, wantText: "not an EventList", wantReason: refusedKind},
		"it is of another version": {
			body:       []byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1beta1","items":[]}`),
			wantStatus: 400, wantText: "v1beta1", wantReason: refusedKind,
		},
		"its kind comes last and is wrong": {
			body:       bytes.Replace(whole, []byte(`"kind":"EventList"`), []byte(`"kind":"Nothing"`), 1),
			wantStatus: 400, wantReason: refusedKind,
		},
		"it is not announced as JSON": {body: whole, contentType: "text/plain", wantStatus: 415, wantReason: refusedContentType},
		"it is a GET":                 {method: http.MethodGet, wantStatus: 405},
	}
}

func TestBrokenBodies(t *testing.T) {
	for name, test := range brokenBodies() {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			method, contentType := http.MethodPost, "application/json"
			if test.method != "" {
				method = test.method
			}
			if test.contentType != "" {
				contentType = test.contentType
			}
			answered := r.do(request{method: method, path: PathKubernetes + "prod", media: contentType, body: bytes.NewReader(test.body)})
			if answered.Status != test.wantStatus || !strings.Contains(answered.Body, test.wantText) {
				t.Errorf("answered %+v, want %d with %q", answered, test.wantStatus, test.wantText)
			}
			r.wantNames(test.wantStored)
			if len(r.letters.letters) > 0 {
				t.Errorf("dead letters: %v", r.letters.causes())
			}
			if test.wantReason != "" && r.metric("auditquery_ingest_requests_refused_total", string(test.wantReason)) != 1 {
				t.Error("the refusal was not counted")
			}
		})
	}
}

func TestBodiesThatAreTooLarge(t *testing.T) {
	r := newRig(t)
	list := builders.EventList(named("first"))
	end := bytes.LastIndexByte(list, ']')
	list[end] = ','
	for name, body := range map[string]io.Reader{
		"announced":     &sizedReader{Reader: io.LimitReader(spaces{}, MaxBodyBytes+1), size: MaxBodyBytes + 1},
		"not announced": io.MultiReader(bytes.NewReader(list[:end+1]), io.LimitReader(spaces{}, MaxBodyBytes+1)),
	} {
		t.Run(name, func(t *testing.T) {
			if answered := r.do(request{path: PathKubernetes + "prod", body: body}); answered.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("answered %+v", answered)
			}
		})
	}
	r.wantNames(map[string]int{"first": 1})
}

// TestAClientThatGoesAway cuts the connection inside the second event.
func TestAClientThatGoesAway(t *testing.T) {
	r := newRig(t)
	whole := builders.EventList(named("one"), named("two"))
	conn, err := tls.Dial("tcp", r.server.Address(), r.client.Transport.(*http.Transport).TLSClientConfig.Clone())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /ingest/kubernetes/prod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(whole))
	if _, err := conn.Write(whole[:len(whole)-50]); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
	await.True(t, "the refusal is counted", func() bool {
		return r.metric("auditquery_ingest_requests_refused_total", string(refusedTruncated)) == 1
	})
	r.wantNames(map[string]int{"one": 1})
	if answered := r.events(whole); answered.Status != 200 {
		t.Errorf("the next one answered %+v", answered)
	}
}

func TestRefusalsAreLoggedFewTimes(t *testing.T) {
	r := newRig(t)
	for range 3 * loggedRefusals {
		r.spool.failNext(spool.ErrFull)
		if answered := r.events(builders.EventList(named("a"))); answered.Status != 503 {
			t.Fatalf("answered %+v", answered)
		}
	}
	if n := r.log.count("refused a request"); n < loggedRefusals || n > 2*loggedRefusals {
		t.Errorf("%d refusals were logged", n)
	}
	if n := r.metric("auditquery_ingest_requests_refused_total", "full"); n != 3*loggedRefusals {
		t.Errorf("%v refusals were counted", n)
	}
}
