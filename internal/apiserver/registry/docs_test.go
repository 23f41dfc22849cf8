package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/repository"
)

func TestThePageNamesColumnsAndLabels(t *testing.T) {
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, "docs", "spec", "audits.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for _, kind := range record.Kinds() {
		s := shapeOf(t, kind)
		var narrow, wide []string
		for _, c := range s.columns {
			if c.Priority == 0 {
				narrow = append(narrow, strings.ToUpper(c.Name))
			} else {
				wide = append(wide, strings.ToUpper(c.Name))
			}
		}
		row := "| `" + s.plural + "` | " + strings.Join(narrow, ", ") + " | " + strings.Join(wide, ", ") + " |"
		if !strings.Contains(page, row) {
			t.Errorf("the page lacks %s", row)
		}
		stored := newFieldSet(kind).stored
		for _, label := range FieldLabels(kind) {
			if _, ok := stored[label]; !ok && !strings.Contains(page, "\n| `"+label+"` |") {
				t.Errorf("the page lacks the label %s", label)
			}
		}
	}
}
