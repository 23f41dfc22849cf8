package record_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/repository"
)

// TestDocumentedFields compares the tables of docs/records.md with the field
// table: the same fields, in the same order, each with a meaning.
func TestDocumentedFields(t *testing.T) {
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "records.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range record.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			var want [][]string
			for _, f := range record.Fields(kind) {
				filter := "no"
				if f.Filterable() {
					filter = "yes"
				}
				want = append(want, []string{"`" + f.Name + "`", "`" + f.CamelName + "`", documentedType(t, kind, f), filter})
			}
			var got [][]string
			for _, row := range fieldRows(string(page), string(kind)) {
				if len(row) != 5 || row[4] == "" {
					t.Errorf("the row %q has no meaning, or not five columns", row)
				}
				got = append(got, row[:min(len(row), 4)])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("docs/records.md, %s (-field table +page):\n%s", kind, diff)
			}
		})
	}
}

// fieldRows returns the cells of the first table below a heading, without its
// two header lines.
func fieldRows(page, heading string) [][]string {
	_, section, _ := strings.Cut(page, "\n### "+heading+"\n")
	var rows [][]string
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "|"):
			var cells []string
			for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
				cells = append(cells, strings.TrimSpace(cell))
			}
			rows = append(rows, cells)
		case line != "" || len(rows) > 0:
			return rows[min(len(rows), 2):]
		}
	}
	return rows[min(len(rows), 2):]
}

func documentedType(t *testing.T, kind record.Kind, f record.Field) string {
	t.Helper()
	switch at := f.Pointer(record.New(kind)).(type) {
	case *record.ID:
		return "id"
	case *record.Timestamp:
		return "time"
	case *int64:
		return "number"
	case *string:
		if f.Type == query.IP {
			return "address"
		}
		return "text"
	case *[]record.Attribute:
		return "list"
	default:
		if f.Name != "details" {
			t.Errorf("%s has the undocumented type %T", f.Name, at)
		}
		return "object"
	}
}
