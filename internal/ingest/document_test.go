package ingest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"

	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/repository"
)

func docs(t *testing.T, parts ...string) []byte {
	t.Helper()
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(append([]string{root, "docs"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// document is docs/openapi/ingest.yaml, with what its references lead to in their
// place.
type document struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Headers map[string]any
			Content map[string]struct{ Schema any }
		}
		RequestBody struct{ Content map[string]any }
	}
	Components struct {
		Schemas map[string]struct{ Properties map[string]any }
	}
}

func readDocument(t *testing.T) document {
	t.Helper()
	var plain map[string]any
	if err := yaml.UnmarshalStrict(docs(t, "openapi", "ingest.yaml"), &plain); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(resolved(t, plain, plain))
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(encoded, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func resolved(t *testing.T, root map[string]any, node any) any {
	t.Helper()
	switch node := node.(type) {
	case map[string]any:
		if target, ok := node["$ref"].(string); ok {
			var at any = root
			for part := range strings.SplitSeq(strings.TrimPrefix(target, "#/"), "/") {
				members, _ := at.(map[string]any)
				at = members[part]
			}
			if at == nil {
				t.Fatalf("%s leads nowhere", target)
			}
			return resolved(t, root, at)
		}
		out := map[string]any{}
		for name, member := range node {
			out[name] = resolved(t, root, member)
		}
		return out
	case []any:
		out := make([]any, 0, len(node))
		for _, item := range node {
			out = append(out, resolved(t, root, item))
		}
		return out
	default:
		return node
	}
}

// TestTheHandlerKeepsToItsDocument sends what gives each answer, and compares it
// with the OpenAPI document.
func TestTheHandlerKeepsToItsDocument(t *testing.T) {
	d := readDocument(t)
	list := string(builders.EventList(named("a"), json.RawMessage(`{}`)))
	tests := map[string]struct {
		method, path, body, media, token string
		errs                             []error
		modify                           func(*setting)
		stats                            *spool.Stats
		nobody                           bool
		want                             int
	}{
		"bulk, of every kind":        {path: PathBulk, body: bulkOf(bulkItem("a"), bulkItem("a"), bulkItem("b", `{}`), `{"unique_id":"?"}`), want: 201},
		"bulk, broken":               {path: PathBulk, body: "{", want: 400},
		"bulk, of no media type":     {path: PathBulk, body: "{}", media: "text/plain", want: 415},
		"bulk, by nobody":            {path: PathBulk, body: "{}", nobody: true, want: 401},
		"bulk, of no organisation":   {path: PathBulk, body: "{}", want: 403, modify: func(s *setting) { s.senders.ClientOrgs = nil }},
		"bulk, while it is full":     {path: PathBulk, body: bulkOf(bulkItem("a")), errs: []error{spool.ErrFull}, want: 503},
		"bulk, while it is busy":     {path: PathBulk, body: bulkOf(bulkItem("a")), errs: []error{spool.ErrBusy}, want: 429},
		"records, of every kind":     {path: PathRecords, body: lines(own("a"), "oops", own("b")), want: 200},
		"records, broken":            {path: PathRecords, body: "[1", want: 400},
		"records, of no media type":  {path: PathRecords, body: "{}", media: "text/plain", want: 415},
		"records, of a bad cluster":  {path: PathRecords + "?cluster=_", body: "{}", want: 404},
		"records, by a bad token":    {path: PathRecords, body: "{}", token: "wrong", want: 401},
		"records, of another":        {path: PathRecords, body: own("a"), token: "token-of-bob", want: 403},
		"records, on a broken disk":  {path: PathRecords, body: own("a"), errs: []error{syscall.EIO}, want: 503},
		"events, one of them bad":    {path: PathKubernetes + "prod", body: list, want: 200},
		"events, broken":             {path: PathKubernetes + "prod", body: list[:50], want: 400},
		"events, of another cluster": {path: PathKubernetes + "other", body: list, want: 403},
		"events, of no cluster":      {path: PathKubernetes + "_", body: list, want: 404},
		"alive":                      {method: http.MethodGet, path: PathLive, nobody: true, want: 200},
		"ready":                      {method: http.MethodGet, path: PathReady, nobody: true, want: 200},
		"not ready":                  {method: http.MethodGet, path: PathReady, nobody: true, stats: &spool.Stats{Full: true}, want: 503},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var modify []func(*setting)
			if test.modify != nil {
				modify = append(modify, test.modify)
			}
			r := newRig(t, modify...)
			r.spool.failNext(test.errs...)
			r.spool.stats = test.stats
			q := request{method: test.method, path: test.path, media: test.media, token: test.token, body: strings.NewReader(test.body)}
			if test.nobody {
				q.client = r.clientWith()
			}
			answered := r.do(q)
			if answered.Status != test.want {
				t.Fatalf("answered %+v, want %d", answered, test.want)
			}
			d.compare(t, q, answered)
		})
	}
	t.Run("a body that comes too slowly", func(t *testing.T) {
		r := newRig(t, func(s *setting) { s.receiver.Timeout = 50 * time.Millisecond })
		body, send := io.Pipe()
		defer send.Close()
		q := request{path: PathRecords, body: body}
		d.compare(t, q, r.do(q))
	})
}

func (d document) compare(t *testing.T, q request, answered got) {
	t.Helper()
	path, _, _ := strings.Cut(q.path, "?")
	if strings.HasPrefix(path, PathKubernetes) {
		path = PathKubernetes + "{cluster}"
	}
	method := "post"
	if q.method != "" {
		method = strings.ToLower(q.method)
	}
	response, ok := d.Paths[path][method].Responses[fmt.Sprint(answered.Status)]
	if !ok {
		t.Fatalf("%s %s has no answer %d in the document", method, path, answered.Status)
	}
	if answered.RetryAfter != "" && response.Headers["Retry-After"] == nil {
		t.Error("the document has no Retry-After there")
	}
	content, ok := response.Content["application/json"]
	if !ok {
		return // text
	}
	encoded, err := json.Marshal(content.Schema)
	if err != nil {
		t.Fatal(err)
	}
	var schema spec.Schema
	if err := json.Unmarshal(encoded, &schema); err != nil {
		t.Fatal(err)
	}
	var body any
	if err := json.Unmarshal([]byte(answered.Body), &body); err != nil {
		t.Fatalf("%v: %s", err, answered.Body)
	}
	if result := validate.NewSchemaValidator(&schema, nil, "", strfmt.Default).Validate(body); !result.IsValid() {
		t.Errorf("%s: %v", answered.Body, result.Errors)
	}
}

func TestTheDocumentHasEveryPathAndMediaType(t *testing.T) {
	d := readDocument(t)
	var got []string
	for path := range d.Paths {
		got = append(got, path)
	}
	slices.Sort(got)
	want := []string{PathRecords, PathKubernetes + "{cluster}", PathBulk, PathLive, PathReady}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	r := newRig(t).receiver
	for path, way := range map[string]way{PathRecords: r.recordsWay(), PathBulk: r.bulkWay(), PathKubernetes + "{cluster}": r.eventsWay()} {
		var media []string
		for name := range d.Paths[path]["post"].RequestBody.Content {
			media = append(media, name)
		}
		slices.Sort(media)
		want := slices.Sorted(slices.Values(way.mediaTypes))
		if diff := cmp.Diff(want, media); diff != "" {
			t.Errorf("media types of %s (-want +got):\n%s", path, diff)
		}
	}
}
