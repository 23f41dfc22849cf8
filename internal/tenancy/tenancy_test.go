package tenancy_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/tenancy"
)

func TestNamespaceScope(t *testing.T) {
	created := time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		namespace tenancy.Namespace
		want      query.Scope
		wantErr   error
	}{
		"a namespace sees its own cluster's events since one second before it was created": {
			namespace: tenancy.Namespace{Name: "shop", Created: created},
			want: query.Scope{Name: "namespace/shop", Restrict: query.And{
				query.Equal{Field: "source_type", Value: "Kubernetes"},
				query.Equal{Field: "org_id", Value: "shop"},
				query.Range{Field: "time", Min: "2026-11-03T09:59:59.000000Z"},
			}},
		},
		"a namespace without a creation time sees nothing": {
			namespace: tenancy.Namespace{Name: "shop"},
			wantErr:   tenancy.ErrUnknownNamespace,
		},
		"a namespace without a name sees nothing": {
			namespace: tenancy.Namespace{Created: created},
			wantErr:   tenancy.ErrUnknownNamespace,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tenancy.NamespaceScope(tc.namespace)
			if !errors.Is(err, tc.wantErr) {
				t.Fatalf("error %v, want %v", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("scope (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNamespaceScopeIsAValidQueryOfEveryKind(t *testing.T) {
	scope, err := tenancy.NamespaceScope(tenancy.Namespace{Name: "shop", Created: time.Unix(1_700_000_000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range record.Kinds() {
		if _, err := query.Validate(query.Query{Kind: kind, Scope: scope, Limit: 1}, record.NewSchema(kind)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// An unresolved scope must be refused by whoever uses it in spite of the error.
func TestUnknownScopeIsRefused(t *testing.T) {
	scope, _ := tenancy.NamespaceScope(tenancy.Namespace{})
	_, err := query.Validate(query.Query{Kind: record.KindAudit, Scope: scope, Limit: 1}, record.NewSchema(record.KindAudit))
	if err == nil {
		t.Fatal("a query in an unresolved scope was accepted")
	}
}
