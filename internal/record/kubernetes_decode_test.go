package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	kjson "k8s.io/apimachinery/pkg/util/json"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

const goodEvent = `{"level":"Metadata","auditID":"a","stage":"ResponseComplete","requestURI":"/x","verb":"get",` +
	`"user":{"username":"alice"},"requestReceivedTimestamp":"2026-11-24T07:00:00.000001Z","stageTimestamp":"2026-11-24T07:00:00.000002Z"}`

func eventList(items ...string) string {
	return `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + strings.Join(items, ",") + `]}`
}

// decoded decodes a list and writes each item in a few words.
func decoded(r io.Reader, limits DecodeLimits) (items []string, err error) {
	err = DecodeEvents(r, limits, func(item DecodedEvent) error {
		text := "ok"
		if item.Err != nil {
			text = item.Err.Error()
		} else if item.Event.AuditID != "" {
			text += " " + string(item.Event.AuditID)
		}
		items = append(items, fmt.Sprintf("%d %s", item.Index, text))
		return nil
	})
	return items, err
}

func TestDecodeEvents(t *testing.T) {
	large := `{"auditID":"` + strings.Repeat("x", 5000) + `"}`
	deep := `{"auditID":"d","requestObject":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}`
	limits := DecodeLimits{EventBytes: 2000, Depth: 20, Events: 5}
	for name, test := range map[string]struct {
		body      string
		want      []string
		wantError string
	}{
		"two events":  {body: eventList(goodEvent, goodEvent), want: []string{"0 ok a", "1 ok a"}},
		"no event":    {body: eventList()},
		"items null":  {body: `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":null}`},
		"items first": {body: `{"apiVersion":"audit.k8s.io/v1","items":[` + goodEvent + `],"kind":"EventList"}`, want: []string{"0 ok a"}},
		"a wrong type inside an event leaves its neighbours": {
			body: eventList(goodEvent, `{"auditID":"b","responseStatus":{"code":"x"}}`, goodEvent),
			want: []string{"0 ok a", "1 malformed audit event: responseStatus.code is of the wrong type", "2 ok a"}},
		"items that are no objects": {
			body: eventList("1", goodEvent, "null", "[]"),
			want: []string{"0 malformed audit event: the event is no object", "1 ok a",
				"2 malformed audit event: the event is no object", "3 malformed audit event: the event is no object"}},
		"a time that is none": {
			body: eventList(`{"stageTimestamp":"yesterday"}`, goodEvent),
			want: []string{"0 malformed audit event: stageTimestamp is of the wrong type", "1 ok a"}},
		"an event that is too large": {
			body: eventList(goodEvent, large, goodEvent),
			want: []string{"0 ok a", "1 audit event is too large: more than 2000 bytes", "2 ok a"}},
		"an event that is too deep": {
			body: eventList(goodEvent, deep, goodEvent),
			want: []string{"0 ok a", "1 audit event nests too deep: more than 20 levels", "2 ok a"}},
		"too many events": {
			body:      eventList("{}", "{}", "{}", "{}", "{}", "{}"),
			want:      []string{"0 ok", "1 ok", "2 ok", "3 ok", "4 ok"},
			wantError: "too many events in one list: at most 5"},
		"a body that is cut off": {
			body: eventList(goodEvent, goodEvent)[:500], want: []string{"0 ok a"},
			wantError: "JSON ends too early, after 500 bytes"},
		"garbage between events": {
			body: eventList(goodEvent, "!", goodEvent), want: []string{"0 ok a"},
			wantError: fmt.Sprintf("invalid JSON after %d bytes", len(eventList(goodEvent))-1)},
		"text after the list": {body: eventList() + "x", wantError: fmt.Sprintf("invalid JSON after %d bytes", len(eventList()))},
		"nothing":             {body: "", wantError: "JSON ends too early, after 0 bytes"},
		"no object":           {body: "[]", wantError: "not an EventList of audit.k8s.io/v1: it is no object"},
		"another kind": {
			body:      `{"kind":"PodList","apiVersion":"v1","items":[{}]}`,
			wantError: `not an EventList of audit.k8s.io/v1: kind is "PodList"`},
		"another version": {
			body:      `{"kind":"EventList","apiVersion":"audit.k8s.io/v1beta1","items":[{}]}`,
			wantError: `not an EventList of audit.k8s.io/v1: apiVersion is "audit.k8s.io/v1beta1"`},
		"no kind": {body: `{"items":[]}`, wantError: `not an EventList of audit.k8s.io/v1: kind is ""`},
		"items that are no list": {
			body:      `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":{}}`,
			wantError: `not an EventList of audit.k8s.io/v1: items is no array`},
		"a huge member beside items": {
			body: `{"kind":"` + strings.Repeat("x", 5000) + `"}`, wantError: "not an EventList of audit.k8s.io/v1: a member beside items is too large"},
	} {
		t.Run(name, func(t *testing.T) {
			for how, reader := range map[string]io.Reader{
				"at once":      strings.NewReader(test.body),
				"byte by byte": iotest.OneByteReader(strings.NewReader(test.body)),
			} {
				got, err := decoded(reader, limits)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", how, diff)
				}
				if text := fmt.Sprint(err); text != test.wantError && (err != nil || test.wantError != "") {
					t.Errorf("%s: error %q, want %q", how, text, test.wantError)
				}
			}
		})
	}
}

func TestDecodeEventsPassesOnErrors(t *testing.T) {
	broken := errors.New("connection reset")
	body := io.MultiReader(strings.NewReader(eventList(goodEvent, goodEvent)[:400]), iotest.ErrReader(broken))
	got, err := decoded(body, DecodeLimits{})
	if !errors.Is(err, broken) || len(got) != 1 {
		t.Errorf("got %v, %v; want one event and the reader's error", got, err)
	}
	full := errors.New("the spool is full")
	err = DecodeEvents(strings.NewReader(eventList(goodEvent, goodEvent)), DecodeLimits{}, func(DecodedEvent) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("got %v, want the callback's error", err)
	}
}

func TestATooLargeEventKeepsItsBeginning(t *testing.T) {
	large := `{"auditID":"huge","requestURI":"/x?token=abc","requestObject":"` + strings.Repeat("x", 5000) + `"}`
	var raw []byte
	err := DecodeEvents(strings.NewReader(eventList(large)), DecodeLimits{EventBytes: 2000}, func(item DecodedEvent) error {
		if !errors.Is(item.Err, ErrEventTooLarge) {
			t.Errorf("error is %v", item.Err)
		}
		raw = bytes.Clone(item.Raw)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"auditID":"huge","requestURI":"/x?token=REDACTED"}`
	if diff := cmp.Diff(want, string(Excerpt(raw))); diff != "" {
		t.Errorf("excerpt (-want +got):\n%s", diff)
	}
}

func TestDecodingAgreesWithKubernetesDecoder(t *testing.T) {
	lines := realLines(t)
	lines = append(lines, []byte(goodEvent),
		[]byte(`{"AuditID":"upper","auditId":"other","stage":"Panic","unknown":{"a":[1]},"user":null,"sourceIPs":null}`),
		[]byte(`{"requestObject":null,"responseObject":{"a":1.0,"b":"\ud800"},"responseStatus":{"code":200}}`),
		[]byte(`{"requestReceivedTimestamp":null,"stageTimestamp":"2026-11-24T07:00:00.123456+02:00"}`),
		[]byte("{\"verb\":\"\xff\",\"verb\":\"last\",\"annotations\":{\"a\":\"b\"},\"user\":{\"extra\":{\"k\":[\"v\"]}}}"))
	for _, line := range lines {
		got, err := DecodeEvent(line, DecodeLimits{})
		if err != nil {
			t.Errorf("%.200s: %v", line, err)
			continue
		}
		var want auditv1.Event
		if err := kjson.Unmarshal(line, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%.200s (-Kubernetes' decoder +ours):\n%s", line, diff)
		}
	}
}

func TestExcerptIsBoundedAndHarmless(t *testing.T) {
	var many strings.Builder
	many.WriteString("{")
	for i := range 1000 {
		fmt.Fprintf(&many, `"m%d":"%s",`, i, strings.Repeat("x", 1000))
	}
	many.WriteString(`"z":1}`)
	for name, test := range map[string]struct{ raw, want string }{
		"bodies are left out":   {`{"auditID":"a","requestObject":{"data":{"a":"b"}}}`, `{"auditID":"a","requestObject":"left out"}`},
		"a long member":         {`{"verb":"` + strings.Repeat("x", 9000) + `"}`, `{"verb":"left out"}`},
		"no object":             {`"token=abc"`, `{"value":"token=REDACTED"}`},
		"no JSON":               {"token=abc \xff", `{"value":"token=REDACTED ` + "\uFFFD" + `"}`},
		"an object that is cut": {`{"auditID":"a","verb":"ge`, `{"auditID":"a"}`},
		"nothing":               {"", `{"value":""}`},
	} {
		if diff := cmp.Diff(test.want, string(Excerpt([]byte(test.raw)))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if size := len(Excerpt([]byte(many.String()))); size > MaxExcerptBytes || size < MaxExcerptBytes/2 {
		t.Errorf("an excerpt has %d bytes", size)
	}
}

func FuzzDecodeEvents(f *testing.F) {
	f.Add([]byte(eventList(goodEvent, "1", `{"user":[]}`)))
	f.Add([]byte(eventList(goodEvent)[:200]))
	f.Add([]byte(`{"items":[{}],"kind":"EventList","apiVersion":"audit.k8s.io/v1"}`))
	f.Add([]byte(eventList(strings.Repeat("[", 50))))
	options := KubernetesOptions{OwnCluster: "local", StoreBodies: true}
	f.Fuzz(func(t *testing.T, body []byte) {
		limits := DecodeLimits{EventBytes: 500, Depth: 20, Events: 10}
		next := 0
		_ = DecodeEvents(bytes.NewReader(body), limits, func(item DecodedEvent) error {
			if item.Index != next || (item.Event == nil) == (item.Err == nil) {
				t.Errorf("item %d has index %d, event %v, error %v", next, item.Index, item.Event, item.Err)
			}
			next++
			if len(Excerpt(item.Raw)) > MaxExcerptBytes {
				t.Error("an excerpt is too long")
			}
			if item.Event == nil {
				return nil
			}
			records, _, err := KubernetesRecords(item.Event, options)
			if err != nil && len(records) > 0 {
				t.Errorf("records and the error %v", err)
			}
			for _, r := range records {
				Normalize(r, r.Base().Time.Time())
				if _, err := Encode(r); err != nil {
					t.Errorf("record of %q: %v", item.Raw, err)
				}
			}
			return nil
		})
		if next > limits.Events {
			t.Errorf("%d events", next)
		}
	})
}

func BenchmarkDecodeEvents(b *testing.B) {
	lines := realLines(b)
	body := []byte(eventList(string(bytes.Join(lines, []byte(",")))))
	b.Run("stream", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = DecodeEvents(bytes.NewReader(body), DecodeLimits{}, func(DecodedEvent) error { return nil })
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(lines)), "ns/event")
	})
	b.Run("Kubernetes decoder", func(b *testing.B) {
		for b.Loop() {
			for _, line := range lines {
				_ = kjson.Unmarshal(line, &auditv1.Event{})
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(lines)), "ns/event")
	})
	events := realEvents(b)
	b.Run("records", func(b *testing.B) {
		for b.Loop() {
			for _, event := range events {
				_, _, _ = KubernetesRecords(event, KubernetesOptions{OwnCluster: "local"})
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(lines)), "ns/event")
	})
}
