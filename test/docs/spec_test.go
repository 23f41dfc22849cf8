package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/timeexpr"
)

// specPage is the page of AuditQuery.
func specPage(t *testing.T) string {
	t.Helper()
	return read(t, filepath.Join(repositoryRoot(t), "docs", "spec", "auditquery.md"))
}

// section returns what stands below a heading, up to the next of its rank.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(page, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("the page has no heading %q", heading)
	}
	rank, _, _ := strings.Cut(heading, " ")
	text, _, _ = strings.Cut(text, "\n"+rank+" ")
	return text
}

// kindPage is the page of another kind.
func kindPage(t *testing.T, name string) string {
	t.Helper()
	return read(t, filepath.Join(repositoryRoot(t), "docs", "spec", name))
}

func TestEveryFieldIsDocumented(t *testing.T) {
	page, tenant := specPage(t), kindPage(t, "audittenant.md")
	policy, hold := kindPage(t, "retentionpolicy.md"), kindPage(t, "legalhold.md")
	for name, tc := range map[string]struct {
		page    string
		heading string
		fields  any
	}{
		"spec":               {page: page, heading: "## Spec", fields: v1alpha1.AuditQuerySpec{}},
		"audits":             {page: page, heading: "### Filters of `audits`", fields: v1alpha1.AuditFilters{}},
		"authAudits":         {page: page, heading: "### Filters of `authAudits`", fields: v1alpha1.AuthAuditFilters{}},
		"status":             {page: page, heading: "## Status", fields: v1alpha1.AuditQueryStatus{}},
		"spec of a tenant":   {page: tenant, heading: "## Spec", fields: v1alpha1.AuditTenantSpec{}},
		"status of a tenant": {page: tenant, heading: "## Status", fields: v1alpha1.AuditTenantStatus{}},
		"spec of a policy":   {page: policy, heading: "## Spec", fields: v1alpha1.RetentionPolicySpec{}},
		"status of a policy": {page: policy, heading: "## Status", fields: v1alpha1.RetentionPolicyStatus{}},
		"plan of a policy":   {page: policy, heading: "### The plan", fields: v1alpha1.RetentionPlan{}},
		"spec of a hold":     {page: hold, heading: "## Spec", fields: v1alpha1.LegalHoldSpec{}},
		"status of a hold":   {page: hold, heading: "## Status", fields: v1alpha1.LegalHoldStatus{}},
	} {
		t.Run(name, func(t *testing.T) {
			text := section(t, tc.page, tc.heading)
			for field := range reflect.TypeOf(tc.fields).Fields() {
				want, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				found := regexp.MustCompile("(?m)^\\|[^|]*`" + want + "[`.]").MatchString(text)
				if !found {
					t.Errorf("no row for %s", want)
				}
			}
		})
	}
}

// TestEveryConditionIsDocumented reads the constants of conditions.go. Each has a
// row in one of the pages.
func TestEveryConditionIsDocumented(t *testing.T) {
	path := filepath.Join(repositoryRoot(t), "api", "v1alpha1", "conditions.go")
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, name := range []string{"auditquery.md", "audittenant.md", "retentionpolicy.md", "legalhold.md"} {
		text += section(t, kindPage(t, name), "## Conditions")
	}
	count := 0
	ast.Inspect(file, func(node ast.Node) bool {
		literal, ok := node.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		count++
		if !strings.Contains(text, "\n| `"+value+"` |") {
			t.Errorf("no row for %s", value)
		}
		return true
	})
	if count < 10 {
		t.Errorf("only %d constants in conditions.go", count)
	}
}

// TestTimeExpressions resolves the examples of the page.
func TestTimeExpressions(t *testing.T) {
	now := time.Date(2026, 11, 24, 15, 30, 0, 0, time.UTC)
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]+)` \\|")
	rows := row.FindAllStringSubmatch(section(t, specPage(t), "## Time expressions"), -1)
	count := 0
	for _, cells := range rows {
		want, err := time.Parse(time.RFC3339, cells[2])
		if err != nil {
			continue // the table of units
		}
		count++
		got, err := timeexpr.Parse(cells[1], now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%s is %s, %v; the page says %s", cells[1], got.Format(time.RFC3339Nano), err, cells[2])
		}
	}
	if count < 15 {
		t.Errorf("only %d examples", count)
	}
	_, err := timeexpr.ParseWindow("now-1D", "", now)
	if err == nil || !strings.Contains(specPage(t), "spec."+err.Error()) {
		t.Errorf("the page's example of a refusal is not %v", err)
	}
}
