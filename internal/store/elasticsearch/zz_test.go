package elasticsearch

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

func TestZZ(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	const n = 60000
	ids := map[int][]record.ID{}
	for _, month := range []int{8, 9, 7} {
		var records []record.Record
		for i := range n {
			a := audit(1, func(a *record.Audit) {
				a.ID = record.BulkID(record.KindAudit, "zz", fmt.Sprint(month, i), time.Time{})
				a.Time = record.At(date(2026, month, 1).Add(time.Duration(i) * 37 * time.Second))
				a.OrgID = fmt.Sprint("org", i%40)
				a.Description = "alice deleted deployments.apps web in shop (200)"
				a.Details = []byte(`{"level":"Metadata","stage":"ResponseComplete","groups":["system:authenticated","developers"],"uri":"/apis/apps/v1/namespaces/shop/deployments/web","decision":"allow","reason":"RBAC: allowed by RoleBinding developers/shop of Role edit to Group developers"}`)
			})
			records = append(records, a)
			ids[month] = append(ids[month], a.ID)
		}
		for i := 0; i < n; i += 5000 {
			mustAppend(t, s, records[i:i+5000]...)
		}
	}
	p.mustRefresh()
	p.do(http.MethodPost, "/"+p.prefix+"-audit-*/_flush", "")
	raw := func(month int) time.Duration {
		began := time.Now()
		for i := 0; i < n; i += 5000 {
			if _, err := s.deleteIDs(t.Context(), fmt.Sprintf("%s-audit-2026.%02d", p.prefix, month), ids[month][i:i+5000]); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(began)
	}
	t.Log("raw", raw(7))
	for range 2 {
		o, _ := s.Erase(t.Context(), query.Query{Kind: record.KindAudit, Scope: query.All(), From: date(2026, 8, 1), To: date(2026, 9, 1), Filter: query.Not{Filter: query.Equal{Field: "user_id", Value: "bob"}}})
		x := o.(*erasure)
		began, k := time.Now(), 0
		for {
			h, err := x.find(t.Context(), 5000)
			k += len(h)
			if err != nil || len(h) == 0 {
				break
			}
		}
		t.Log("find alone", k, time.Since(began))
		_ = x.Close(t.Context())
	}
	e, _ := s.Erase(t.Context(), query.Query{Kind: record.KindAudit, Scope: query.All(), From: date(2026, 8, 1), To: date(2026, 9, 1), Filter: query.Not{Filter: query.Equal{Field: "user_id", Value: "bob"}}})
	began := time.Now()
	total := 0
	for {
		erased, err := e.Next(t.Context(), 5000)
		total += erased
		if err != nil {
			break
		}
	}
	took := time.Since(began)
	t.Log("erase", total, took, "raw", raw(9))
	_ = e.Close(t.Context())
}
