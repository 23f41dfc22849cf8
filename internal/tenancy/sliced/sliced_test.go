package sliced_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/store/sqlite"
	"auditquery.dev/auditquery/internal/store/storetest"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/internal/tenancy/sliced"
)

var epoch = time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)

// throughSlices is a store whose readers are sliced.
type throughSlices struct {
	*sliced.Reader
	store.Writer
	store.PreparedWriter
}

func open(t testing.TB) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "records.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		s := open(t)
		return storetest.Backend{Store: throughSlices{Reader: sliced.NewReader(s), Writer: s, PreparedWriter: s}}
	})
}

// world has a namespace for each of many seconds.
func world(namespaces int) *tenancy.Index {
	all := []tenancy.Namespace{{Name: tenancy.SystemNamespace, Created: epoch}}
	for i := range namespaces {
		all = append(all, tenancy.Namespace{Name: fmt.Sprintf("ns-%05d", i), Created: epoch.Add(time.Duration(i) * time.Second)})
	}
	return tenancy.NewIndex(nil, all)
}

func validated(t testing.TB, q query.Query) query.Query {
	t.Helper()
	q, err := query.Validate(q, record.NewSchema(record.KindAudit))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// failing fails after some questions, and counts them.
type failing struct {
	sliced.Store
	after, asked int
}

var errDown = &store.Error{Reason: store.Unavailable, Op: "list", Message: "down"}

func (f *failing) List(ctx context.Context, q query.Query) (store.Page, error) {
	if f.asked++; f.asked > f.after {
		return store.Page{}, errDown
	}
	return f.Store.List(ctx, q)
}

// TestAPartThatFailsFailsThePage: a page that lacks a part would look whole.
func TestAPartThatFailsFailsThePage(t *testing.T) {
	scope, err := world(1100).Scope(tenancy.SystemNamespace)
	if err != nil {
		t.Fatal(err)
	}
	f := &failing{Store: open(t), after: 2}
	q := validated(t, query.Query{Kind: record.KindAudit, Scope: scope, Limit: 500})
	page, err := sliced.NewReader(f).List(t.Context(), q)
	if !errors.Is(err, errDown) || len(page.Documents) > 0 || f.asked != 3 {
		t.Errorf("page of %d, error %v, after %d questions", len(page.Documents), err, f.asked)
	}
}
