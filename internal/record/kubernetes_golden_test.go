package record

import (
	"bufio"
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

var update = flag.Bool("update", false, "write golden files anew")

const (
	eventsFile = "testdata/kubernetes_events.jsonl"
	goldenFile = "testdata/kubernetes_records.golden"
	bodiesFile = "testdata/kubernetes_records_bodies.golden"
)

// realLines returns the events that a real kube-apiserver wrote at level
// RequestResponse, one a line.
func realLines(t testing.TB) [][]byte {
	t.Helper()
	data, err := os.ReadFile(eventsFile)
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]byte
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		lines = append(lines, bytes.Clone(scanner.Bytes()))
	}
	if len(lines) < 40 {
		t.Fatalf("only %d events in %s", len(lines), eventsFile)
	}
	return lines
}

func realEvents(t testing.TB) []*auditv1.Event {
	t.Helper()
	var events []*auditv1.Event
	for _, line := range realLines(t) {
		event, err := DecodeEvent(line, DecodeLimits{})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
	}
	return events
}

func TestRealEventsGiveTheGoldenRecords(t *testing.T) {
	withSecrets := slices.DeleteFunc(realEvents(t), func(event *auditv1.Event) bool {
		return event.ObjectRef == nil ||
			!slices.Contains([]string{"secrets", "serviceaccounts", "tokenreviews"}, event.ObjectRef.Resource)
	})
	for file, test := range map[string]struct {
		events  []*auditv1.Event
		options KubernetesOptions
	}{
		goldenFile: {realEvents(t), KubernetesOptions{OwnCluster: "local"}},
		bodiesFile: {withSecrets, KubernetesOptions{Cluster: "east", OwnCluster: "local", StoreBodies: true}},
	} {
		t.Run(file, func(t *testing.T) {
			got := renderRecords(t, test.events, test.options)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("records differ from %s; if that is right, run the test with -update (-want +got):\n%s", file, diff)
			}
		})
	}
}

func renderRecords(t *testing.T, events []*auditv1.Event, options KubernetesOptions) string {
	t.Helper()
	var out strings.Builder
	for _, event := range events {
		records, skip, err := KubernetesRecords(event, options)
		if err != nil {
			t.Fatal(err)
		}
		if skip != SkipNone {
			out.WriteString("# skipped: " + string(skip) + "\n\n")
		}
		for _, r := range records {
			Normalize(r, event.StageTimestamp.Time)
			data, err := Encode(r)
			if err != nil {
				t.Fatal(err)
			}
			value := jsontext.Value(data)
			if err := value.Indent(jsontext.WithIndent("  ")); err != nil {
				t.Fatal(err)
			}
			out.WriteString(string(r.Kind()) + " " + string(value) + "\n\n")
		}
	}
	return out.String()
}

func TestNoSecretOfARealEventIsStored(t *testing.T) {
	// What the captured requests carried: a Secret's values, plain and in
	// base64, exec arguments, query parameters, and every token.
	secrets := []string{"hunter2", "aHVudGVyMg", "swordfish", "c3dvcmRmaXNo", "topsecretquery", "abc123def", "not-a-real-token", "eyJ"}
	events := string(bytes.Join(realLines(t), nil))
	stored := renderRecords(t, realEvents(t), KubernetesOptions{OwnCluster: "local", StoreBodies: true})
	for _, secret := range secrets {
		if !strings.Contains(events, secret) {
			t.Errorf("the events do not hold %q, so this shows nothing", secret)
		}
		if i := strings.Index(stored, secret); i >= 0 {
			t.Errorf("%q is stored: …%s", secret, stored[max(0, i-200):i+len(secret)])
		}
		for _, line := range realLines(t) {
			if excerpt := Excerpt(line); bytes.Contains(excerpt, []byte(secret)) {
				t.Errorf("%q is in the excerpt %s", secret, excerpt)
			}
		}
	}
}
