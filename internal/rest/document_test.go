package rest_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/rest"
	"auditquery.dev/auditquery/test/repository"
)

var update = flag.Bool("update", false, "write docs/openapi/rest.json anew")

func inRepository(t *testing.T, parts ...string) string {
	t.Helper()
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(append([]string{root}, parts...)...)
}

func TestTheDocumentIsInTheDocs(t *testing.T) {
	want, err := rest.Document()
	if err != nil {
		t.Fatal(err)
	}
	file := inRepository(t, "docs", "openapi", "rest.json")
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/openapi/rest.json is old; run go test ./internal/rest -run Document -update (-want +got):\n%s", diff)
	}
}

func TestTheDocumentIsServed(t *testing.T) {
	want, err := rest.Document()
	if err != nil {
		t.Fatal(err)
	}
	w := newFixture(t).get(t, rest.DocumentPath)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || !bytes.Equal(w.Body.Bytes(), want) {
		t.Errorf("got %d, %s, %d bytes", w.Code, w.Header().Get("Content-Type"), w.Body.Len())
	}
}

func TestReferencesOfTheDocumentLeadSomewhere(t *testing.T) {
	text, err := rest.Document()
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	references := regexp.MustCompile(`"\$ref": "#/([^"]+)"`).FindAllStringSubmatch(string(text), -1)
	if len(references) == 0 {
		t.Fatal("there are none")
	}
	for _, r := range references {
		var at any = document
		for part := range strings.SplitSeq(r[1], "/") {
			members, _ := at.(map[string]any)
			at = members[part]
		}
		if at == nil {
			t.Errorf("%s is not there", r[1])
		}
	}
}

// TestThePageNamesEveryParameter compares the tables of docs/rest.md with the
// OpenAPI document.
func TestThePageNamesEveryParameter(t *testing.T) {
	text, err := os.ReadFile(inRepository(t, "docs", "rest.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for heading, path := range map[string]string{"audits": ownAudits, "auth_audits": ownAuthAudits} {
		t.Run(heading, func(t *testing.T) {
			got := slices.Concat(rows(page, "### Both lists"), rows(page, "### `"+heading+"`"))
			var want []string
			for name := range documented(t, path) {
				want = append(want, name)
			}
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("docs/rest.md (-want +got):\n%s", diff)
			}
		})
	}
}

// rows returns the first cells of the table below a heading.
func rows(page, heading string) []string {
	_, section, _ := strings.Cut(page, "\n"+heading+"\n")
	section, _, _ = strings.Cut(section, "\n#")
	var names []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(section, -1) {
		names = append(names, m[1])
	}
	return names
}

func TestTheDocumentHasEveryFieldOfARecord(t *testing.T) {
	text, err := rest.Document()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	for schema, kind := range map[string]record.Kind{"Audit": record.KindAudit, "AuthAudits": record.KindAuthAudit} {
		properties := document.Components.Schemas[schema].Properties
		fields := record.Fields(kind)
		if len(properties) != len(fields) {
			t.Errorf("%s has %d properties, %s %d fields", schema, len(properties), kind, len(fields))
		}
		for _, f := range fields {
			if properties[f.Name] == nil {
				t.Errorf("%s has no %s", schema, f.Name)
			}
		}
	}
}
