package manifests_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
)

// TestFieldsOfTheRecordModel compares the custom resources with the table that
// names every field of a record once.
func TestFieldsOfTheRecordModel(t *testing.T) {
	for name, tc := range map[string]struct {
		kind    record.Kind
		filters any
		row     any
		// more are the filters that are not fields of a record.
		more []string
	}{
		"audits": {
			kind: record.KindAudit, filters: v1alpha1.AuditFilters{}, row: v1alpha1.AuditRow{},
			more: []string{"attributeType", "attributeID", "attributeOrgID", "attributeName", "excludeActorTypes", "text"},
		},
		"authAudits": {
			kind: record.KindAuthAudit, filters: v1alpha1.AuthAuditFilters{}, row: v1alpha1.AuthAuditRow{},
			more: []string{"excludeActorTypes", "text"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var wantRow []string
			wantFilters := tc.more
			for _, field := range record.Fields(tc.kind) {
				if field.CamelName != "details" {
					wantRow = append(wantRow, field.CamelName)
				}
				if field.Filterable() && !isTime(field.CamelName) {
					wantFilters = append(wantFilters, filterName(field.CamelName))
				}
			}
			if diff := cmp.Diff(sorted(wantRow), jsonNames(tc.row)); diff != "" {
				t.Errorf("row (-record +status):\n%s", diff)
			}
			if diff := cmp.Diff(sorted(wantFilters), jsonNames(tc.filters)); diff != "" {
				t.Errorf("filters (-record +spec):\n%s", diff)
			}
		})
	}
}

// isTime tells which fields the window selects by.
func isTime(name string) bool { return name == "time" || name == "ingestTime" }

// filterName is the name of a field's filter: REST has always said session_id.
func filterName(field string) string {
	if field == "session" {
		return "sessionID"
	}
	return field
}

func jsonNames(of any) []string {
	var names []string
	for _, field := range reflect.VisibleFields(reflect.TypeOf(of)) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return sorted(names)
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
