package stores_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/store/storetest"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/internal/tenancy/sliced"
)

// epoch is when the first namespace was created.
var epoch = time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)

// world has a namespace for each of many seconds, and org ids bound to the first.
func world(namespaces, orgs int) *tenancy.Index {
	all := []tenancy.Namespace{{Name: tenancy.SystemNamespace, Created: epoch}}
	for i := range namespaces {
		all = append(all, tenancy.Namespace{Name: fmt.Sprintf("ns-%05d", i), Created: epoch.Add(time.Duration(i) * time.Second)})
	}
	const perTenant = 1000
	var tenants []tenancy.Tenant
	for start := 0; start < orgs; start += perTenant {
		tenant := tenancy.Tenant{Name: fmt.Sprint(start), UID: fmt.Sprint(start), Created: epoch, Namespace: "ns-00000"}
		for i := range min(perTenant, orgs-start) {
			tenant.OrgIDs = append(tenant.OrgIDs, fmt.Sprintf("org-%06d", start+i))
		}
		tenants = append(tenants, tenant)
	}
	return tenancy.NewIndex(tenants, all)
}

// fill stores records of every rule, spread over the seconds in which the
// namespaces were made.
func fill(t testing.TB, b storetest.Backend, namespaces, count int) []*record.Audit {
	t.Helper()
	all := make([]*record.Audit, 0, count)
	var batch []record.Record
	for i := range count {
		a := &record.Audit{Action: "get"}
		a.ID = record.ID{byte(i * 37), 1, byte(i >> 16), byte(i >> 8), byte(i)}
		a.SourceType, a.OrgID = record.SourceKubernetes, fmt.Sprintf("ns-%05d", i*7919%namespaces)
		switch i % 5 {
		case 0:
			a.OrgID = "_cluster"
		case 1:
			a.SourceType, a.OrgID = record.SourceBulk, fmt.Sprintf("org-%06d", i%400)
		}
		a.Time = record.At(epoch.Add(time.Duration(i*namespaces/count)*time.Second + time.Duration(i%7)*100*time.Millisecond))
		a.IngestTime = a.Time
		all, batch = append(all, a), append(batch, a)
		if len(batch) == 1000 || i == count-1 {
			outcomes, err := b.Store.Append(t.Context(), batch)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range outcomes {
				if o.Result != store.Stored {
					t.Fatalf("a record was %s: %v", o.Result, o.Err)
				}
			}
			batch = nil
		}
	}
	if b.Refresh != nil {
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func validated(t testing.TB, q query.Query) query.Query {
	t.Helper()
	q, err := query.Validate(q, record.NewSchema(record.KindAudit))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// walk reads every page and returns the ids in order.
func walk(t *testing.T, r store.Reader, q query.Query) []record.ID {
	t.Helper()
	var ids []record.ID
	for {
		page, err := r.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Documents) == 0 && page.Next != nil {
			t.Fatal("an empty page has a next one")
		}
		records, err := record.DecodeAll(record.KindAudit, page.Documents)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			ids = append(ids, r.Base().ID)
		}
		if page.Next == nil {
			return ids
		}
		q.After = page.Next
	}
}

// TestUnclaimedRecordsAreThoseOfTheRules compares the pages of the unclaimed scope
// with what the rules say of each record by itself.
func TestUnclaimedRecordsAreThoseOfTheRules(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { testUnclaimed(t, embedded(t)) })
	t.Run("elasticsearch", func(t *testing.T) { testUnclaimed(t, onElasticsearch(t, "unclaimed")) })
}

func testUnclaimed(t *testing.T, b storetest.Backend) {
	const namespaces, count = 1100, 6000
	x := world(namespaces, 500)
	all := fill(t, b, namespaces, count)
	scope, err := x.Scope(tenancy.SystemNamespace)
	if err != nil {
		t.Fatal(err)
	}
	r := sliced.NewReader(b.Store)
	for name, tc := range map[string]struct {
		from, to time.Time
		filter   query.Filter
		limit    int
	}{
		"everything":           {limit: 500},
		"small pages":          {limit: 37},
		"a window":             {from: epoch.Add(100 * time.Second), to: epoch.Add(900 * time.Second), limit: 100},
		"an open window":       {from: epoch.Add(300 * time.Second), limit: 500},
		"before all of them":   {to: epoch.Add(-time.Hour), limit: 10},
		"after all of them":    {from: epoch.Add(namespaces * time.Second), limit: 10},
		"with a filter":        {filter: query.Equal{Field: "org_id", Value: "ns-00500"}, limit: 3},
		"of nothing but these": {filter: query.Equal{Field: "org_id", Value: "_cluster"}, limit: 200},
	} {
		t.Run(name, func(t *testing.T) {
			q := validated(t, query.Query{
				Kind: record.KindAudit, Scope: scope, From: tc.from, To: tc.to, Filter: tc.filter, Limit: tc.limit,
			})
			want := map[record.ID]bool{}
			for _, a := range all {
				at := a.Time.Time()
				equal, _ := tc.filter.(query.Equal)
				if x.NamespaceOf(a.Base()) == tenancy.SystemNamespace && !at.Before(tc.from) &&
					(tc.to.IsZero() || at.Before(tc.to)) && (tc.filter == nil || a.OrgID == equal.Value) {
					want[a.ID] = true
				}
			}
			got := walk(t, r, q)
			for _, id := range got {
				if !want[id] {
					t.Fatalf("%s was listed twice, or is claimed", id)
				}
				delete(want, id)
			}
			if len(want) > 0 {
				t.Fatalf("%d of %d unclaimed records were not listed", len(want), len(want)+len(got))
			}
			wantCounts(t, r, q, len(got))
		})
	}
	for _, a := range all[:50] {
		document, err := r.Get(t.Context(), record.KindAudit, a.ID, scope)
		if seen := x.NamespaceOf(a.Base()) == tenancy.SystemNamespace; seen != (err == nil) || (!seen && !store.IsNotFound(err)) {
			t.Errorf("get %+v: %s, %v", a.Common, document, err)
		}
	}
	if _, err := r.Get(t.Context(), record.KindAudit, record.ID{0xff}, scope); !store.IsNotFound(err) {
		t.Errorf("get what is not there: %v", err)
	}
}

// wantCounts checks Count, and the same question in a batch with a small one.
func wantCounts(t *testing.T, r *sliced.Reader, q query.Query, want int) {
	t.Helper()
	for _, atMost := range []int{0, 1, 7, want, want + 1, 10 * want} {
		got, err := r.Count(t.Context(), q, atMost)
		wantCount := store.Count{Records: int64(want), Exact: true}
		if atMost > 0 && atMost < want {
			wantCount = store.Count{Records: int64(atMost)}
		}
		if err != nil || got != wantCount {
			t.Errorf("count at most %d: %+v, %v; want %+v", atMost, got, err, wantCount)
		}
	}
	page, err := r.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	one := q
	one.Scope = query.Scope{Name: "namespace/x", Restrict: query.Equal{Field: "org_id", Value: "_cluster"}}
	answers := r.Search(t.Context(), []store.Question{
		{Query: one, CountAtMost: 5}, {Query: q, CountAtMost: 10_000}, {Query: q},
	})
	for _, i := range []int{1, 2} {
		a := answers[i]
		same := a.Err == nil && len(a.Page.Documents) == len(page.Documents) && (a.Page.Next == nil) == (page.Next == nil)
		for j := range page.Documents {
			same = same && bytes.Equal(a.Page.Documents[j], page.Documents[j])
		}
		if !same {
			t.Errorf("answer %d of a batch is not the page", i)
		}
	}
	if answers[0].Err != nil || answers[1].Count.Records != int64(want) || answers[2].Count.Records != 0 {
		t.Errorf("counts of a batch: %+v %+v %v", answers[1].Count, answers[2].Count, answers[0].Err)
	}
}

// BenchmarkUnclaimed is a page of 500 of 100,000 records.
func BenchmarkUnclaimed(b *testing.B) {
	b.Run("embedded", func(b *testing.B) { benchmarkUnclaimed(b, embedded(b)) })
	b.Run("elasticsearch", func(b *testing.B) { benchmarkUnclaimed(b, onElasticsearch(b, "bench")) })
}

func benchmarkUnclaimed(b *testing.B, backend storetest.Backend) {
	const namespaces, count = 5000, 100_000
	fill(b, backend, namespaces, count)
	r := sliced.NewReader(backend.Store)
	small, large := world(5, 100), world(namespaces, 20_000)
	for name, tc := range map[string]struct {
		index *tenancy.Index
		scope string
		from  time.Time
	}{
		"a namespace of 5":               {index: small, scope: "ns-00001"},
		"a namespace of 5000":            {index: large, scope: "ns-00001"},
		"unclaimed of 5":                 {index: small, scope: tenancy.SystemNamespace},
		"unclaimed of 5000":              {index: large, scope: tenancy.SystemNamespace},
		"unclaimed of 5000, in a window": {index: large, scope: tenancy.SystemNamespace, from: epoch.Add(4900 * time.Second)},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				scope, err := tc.index.Scope(tc.scope)
				if err != nil {
					b.Fatal(err)
				}
				q := validated(b, query.Query{Kind: record.KindAudit, Scope: scope, From: tc.from, Limit: 500})
				if _, err := r.List(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
