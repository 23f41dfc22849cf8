package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/builders"
)

// gathered is what a list gave.
type gathered struct {
	Events []auditv1.Event
	Bad    []int
}

func (g *gathered) take(event record.DecodedEvent) error {
	if event.Event != nil {
		g.Events = append(g.Events, *event.Event)
	} else {
		g.Bad = append(g.Bad, event.Index)
	}
	return nil
}

func TestListsOfEvents(t *testing.T) {
	good := string(builders.EventList(named("a")))
	for name, test := range map[string]struct {
		body         string
		want         int
		wantEnvelope string
		wantSyntax   bool
	}{
		"one event":                       {body: good, want: 1},
		"without items":                   {body: `{"kind":"EventList","apiVersion":"audit.k8s.io/v1"}`},
		"items that are null":             {body: `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":null}`},
		"its kind comes last":             {body: `{"items":[{"auditID":"a"}],"apiVersion":"audit.k8s.io/v1","kind":"EventList"}`, want: 1},
		"no kind":                         {body: `{"apiVersion":"audit.k8s.io/v1","items":[]}`, wantEnvelope: `kind is ""`},
		"a kind that is no string":        {body: `{"kind":1}`, wantEnvelope: "kind is no string"},
		"another kind, told at once":      {body: `{"kind":"PodList","apiVersion":"v1","items":[{}`, wantEnvelope: `kind is "PodList"`},
		"items twice":                     {body: `{"items":[],"items":[]}`, wantEnvelope: "items occurs twice"},
		"items that are no list":          {body: `{"items":{}}`, wantEnvelope: "items is no list"},
		"a large member beside the items": {body: `{"metadata":"` + strings.Repeat("x", maxElementBytes) + `"}`, wantEnvelope: "too large"},
		"nonsense beside the items":       {body: `{"metadata":{nope}}`, wantSyntax: true},
		"a list within":                   {body: "[" + good + "]", wantEnvelope: "no object"},
		"two of them":                     {body: good + good, want: 1, wantSyntax: true},
		"an end too few":                  {body: strings.TrimSuffix(strings.TrimSpace(good), "}"), want: 1, wantSyntax: true},
		"a name without a value":          {body: `{"kind"}`, wantSyntax: true},
		"a name that is none":             {body: `{1:2}`, wantSyntax: true},
	} {
		t.Run(name, func(t *testing.T) {
			var got gathered
			err := readEachEvent(iotest.HalfReader(strings.NewReader(test.body)), got.take)
			var envelope *record.EnvelopeError
			var syntax *record.SyntaxError
			errors.As(err, &envelope)
			errors.As(err, &syntax)
			if (envelope != nil) != (test.wantEnvelope != "") || envelope != nil && !strings.Contains(envelope.Problem, test.wantEnvelope) || (syntax != nil) != test.wantSyntax {
				t.Errorf("the error is %v", err)
			}
			if len(got.Events) != test.want {
				t.Errorf("%d events", len(got.Events))
			}
		})
	}
}

func TestListsAreBounded(t *testing.T) {
	body := `{"items":[` + strings.Repeat("1,", maxListEvents) + "1]}"
	n := 0
	err := readEachEvent(strings.NewReader(body), func(record.DecodedEvent) error { n++; return nil })
	if !errors.Is(err, record.ErrTooManyEvents) || n != maxListEvents {
		t.Errorf("%d events, %v", n, err)
	}
}

// FuzzEvents compares with package record, whose decoder knows JSON as a whole:
// what that takes gives the same events here, and each is given once, in order.
func FuzzEvents(f *testing.F) {
	f.Add(builders.EventList(named("a"), named("b")))
	f.Add(builders.EventList(json.RawMessage(`{"auditID":5}`), json.RawMessage(`[1]`)))
	f.Add([]byte(`{"items":[{"auditID":"a"},null],"kind":"EventList","apiVersion":"audit.k8s.io/v1"}`))
	f.Add([]byte("{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"items\":[{\"auditID\":\"\xff\"}]} "))
	f.Fuzz(func(t *testing.T, input []byte) {
		var want, got gathered
		wantErr := record.DecodeEvents(bytes.NewReader(input), record.DecodeLimits{}, want.take)
		next := 0
		gotErr := readEachEvent(bytes.NewReader(input), func(event record.DecodedEvent) error {
			if event.Index != next {
				return fmt.Errorf("event %d comes as number %d", event.Index, next)
			}
			next++
			return got.take(event)
		})
		if wantErr != nil {
			return
		}
		if gotErr != nil && strings.Contains(gotErr.Error(), "occurs twice") {
			return // there package record is content with any
		}
		if diff := cmp.Diff(want, got); diff != "" || gotErr != nil {
			t.Errorf("%v (-record +here):\n%s", gotErr, diff)
		}
	})
}
