package manifests_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"auditquery.dev/auditquery/api/v1alpha1"
)

// testDefaultTwice compares resource versions: the API server moves one
// whenever it writes.
func testDefaultTwice(t *testing.T, c *cluster) {
	before := c.versions(t)
	if len(before) < 10 {
		t.Fatalf("only %d objects: %v", len(before), before)
	}
	c.apply(t, "-k", c.path("config/default"))
	if diff := cmp.Diff(before, c.versions(t)); diff != "" {
		t.Errorf("the second apply changed something (-first +second):\n%s", diff)
	}
}

// versions are the resource versions of what config/default holds.
func (c *cluster) versions(t *testing.T) map[string]string {
	t.Helper()
	var list unstructured.UnstructuredList
	if err := json.Unmarshal([]byte(c.kubectl(t, "get", "-k", c.path("config/default"), "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, item := range list.Items {
		versions[fmt.Sprintf("%s %s/%s", item.GetKind(), item.GetNamespace(), item.GetName())] = item.GetResourceVersion()
	}
	return versions
}

func testDefaults(t *testing.T, c *cluster) {
	got := c.create(t, object(t, "AuditQuery", "defaulted", "audits: {}"))
	want := map[string]any{
		"spec":   map[string]any{"audits": map[string]any{}, "limit": int64(v1alpha1.DefaultLimit)},
		"status": map[string]any{"observedGeneration": int64(-1)},
	}
	if diff := cmp.Diff(want, map[string]any{"spec": got.Object["spec"], "status": got.Object["status"]}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// testFiltersReplaced: two owners who each see half of the filters would
// narrow each other's question without knowing.
func testFiltersReplaced(t *testing.T, c *cluster) {
	document := func(filters string) string {
		return fmt.Sprintf("{apiVersion: auditquery.dev/v1alpha1, kind: AuditQuery, metadata: {name: replaced, namespace: %s}, spec: {audits: %s}}", sampleNamespace, filters)
	}
	for _, step := range []struct {
		filters string
		want    map[string]any
	}{
		{filters: "{action: delete, userID: [alice, bob]}", want: map[string]any{"action": "delete", "userID": []any{"alice", "bob"}}},
		{filters: "{userID: alice}", want: map[string]any{"userID": "alice"}},
		{filters: "{}", want: map[string]any{}},
	} {
		if err := c.applyText(t.Context(), document(step.filters)); err != nil {
			t.Fatal(err)
		}
		got, err := c.resource("AuditQuery").Get(t.Context(), "replaced", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		filters, _, err := unstructured.NestedMap(got.Object, "spec", "audits")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, filters); diff != "" {
			t.Errorf("filters after applying %s (-want +got):\n%s", step.filters, diff)
		}
	}
	err := c.applyText(t.Context(), document("{action: create}"), "--field-manager=someone-else")
	if err == nil || !strings.Contains(err.Error(), "conflict") {
		t.Errorf("another manager's filters: got %v, want a conflict", err)
	}
}

// testFormKept sends an object through the Go types and back: its generation
// moves when the spec has changed in the least.
func testFormKept(t *testing.T, c *cluster) {
	created := c.create(t, object(t, "AuditQuery", "kept",
		`{audits: {action: delete, userID: [alice], responseCode: [401, "403"], orgID: [a, b]}}`))
	var typed v1alpha1.AuditQuery
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(created.Object, &typed); err != nil {
		t.Fatal(err)
	}
	typed.Labels = map[string]string{"touched": "yes"}
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&typed)
	if err != nil {
		t.Fatal(err)
	}
	updated, err := c.resource("AuditQuery").Update(t.Context(), &unstructured.Unstructured{Object: out}, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(created.Object["spec"], updated.Object["spec"]); diff != "" {
		t.Errorf("spec (-before +after):\n%s", diff)
	}
	if updated.GetGeneration() != created.GetGeneration() {
		t.Errorf("generation moved from %d to %d", created.GetGeneration(), updated.GetGeneration())
	}
}

func testColumns(t *testing.T, c *cluster) {
	query := v1alpha1.AuditQuery{}
	query.Status = v1alpha1.AuditQueryStatus{
		ObservedGeneration: 1,
		Matched:            v1alpha1.NewMatchCount(10000, false),
		Returned:           ptr.To[int32](20),
		LastRunTime:        ptr.To(metav1.NewTime(time.Now().Add(-90 * time.Minute))),
		Window:             &v1alpha1.Window{From: ptr.To(metav1.NewMicroTime(time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)))},
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSucceeded,
			Message: "found records", LastTransitionTime: metav1.Now(),
		}},
	}
	c.create(t, object(t, "AuditQuery", "columns", "audits: {}"))
	c.writeStatus(t, "AuditQuery", "columns", &query.Status)

	narrow := c.kubectl(t, "get", "aq", "-n", sampleNamespace, "columns")
	wantFields(t, narrow, []string{"NAME", "READY", "MATCHED", "RETURNED", "LAST-RUN", "AGE"}, []string{"columns", "True", "10000+", "20", "90m"})
	wantNarrow(t, narrow)
	wide := c.kubectl(t, "get", "aq", "-n", sampleNamespace, "columns", "-o", "wide")
	wantFields(t, wide, []string{"FROM", "TO", "NEXT-RUN", "MESSAGE"}, []string{"2026-11-01T10:00:00.000000Z", "found"})
}

// wantNarrow checks that a table fits a terminal of 80 columns.
func wantNarrow(t *testing.T, table string) {
	t.Helper()
	for line := range strings.Lines(table) {
		if len(line) > 80 {
			t.Errorf("a line of %d characters: %s", len(line), line)
		}
	}
}

// wantFields checks that the header and the first row hold these fields.
func wantFields(t *testing.T, table string, header, row []string) {
	t.Helper()
	lines := strings.Split(table, "\n")
	if len(lines) < 2 {
		t.Fatalf("no row:\n%s", table)
	}
	for i, want := range [][]string{header, row} {
		fields := strings.Fields(lines[i])
		for _, field := range want {
			if !contains(fields, field) {
				t.Errorf("line %d lacks %q:\n%s", i+1, field, table)
			}
		}
	}
}

func contains(fields []string, want string) bool {
	for _, field := range fields {
		if field == want {
			return true
		}
	}
	return false
}

// writeStatus writes what status points to.
func (c *cluster) writeStatus(t *testing.T, kind, name string, status any) {
	t.Helper()
	encoded, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		t.Fatal(err)
	}
	current, err := c.resource(kind).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	current.Object["status"] = encoded
	if _, err := c.resource(kind).UpdateStatus(t.Context(), current, metav1.UpdateOptions{
		FieldValidation: metav1.FieldValidationStrict,
	}); err != nil {
		t.Fatal(err)
	}
}

// testFullStatus writes 500 rows of every field and reads them back.
func testFullStatus(t *testing.T, c *cluster) {
	c.create(t, object(t, "AuditQuery", "full", "audits: {}"))
	status := v1alpha1.AuditQueryStatus{Returned: ptr.To[int32](v1alpha1.MaxLimit), Truncated: true, TruncatedReason: v1alpha1.TruncatedStatusSize}
	for i := range v1alpha1.MaxLimit {
		row := v1alpha1.AuditRow{
			ID: fmt.Sprintf("%032x", i), Time: metav1.NewMicroTime(time.Date(2026, 11, 1, 10, 0, 0, 123456000, time.UTC)),
			ResponseCode: 200, Description: strings.Repeat("d", 200),
			AuditAttributes: []v1alpha1.AuditAttribute{{AttributeType: "user", AttributeID: "alice"}},
		}
		status.Audits = append(status.Audits, row)
	}
	c.writeStatus(t, "AuditQuery", "full", &status)

	got, err := c.resource("AuditQuery").Get(t.Context(), "full", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var typed v1alpha1.AuditQuery
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(got.Object, &typed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(status.Audits, typed.Status.Audits); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
