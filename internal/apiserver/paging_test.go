package apiserver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/builders"
)

// walk follows the list of shop's audits to its end, and returns the names, the number of pages and
// the last one.
func (s *stage) walk(t *testing.T, parameters url.Values) ([]string, int, v1alpha1.AuditList, http.Header) {
	t.Helper()
	var names []string
	const most = 1000
	for pages := 1; pages < most; pages++ {
		a := s.get(shopAudits + "?" + parameters.Encode())
		var list v1alpha1.AuditList
		a.into(t, &list)
		for _, item := range list.Items {
			names = append(names, item.Name)
		}
		if list.Continue == "" {
			return names, pages, list, a.header
		}
		parameters.Set("continue", list.Continue)
	}
	t.Fatal("the list has no end")
	return nil, 0, v1alpha1.AuditList{}, nil
}

func namesOf(records []record.Record) []string {
	var names []string
	for _, r := range records {
		names = append(names, r.Base().ID.String())
	}
	return names
}

func TestPaging(t *testing.T) {
	window := url.Values{"fieldSelector": {"from=now-10day"}}
	end := url.Values{"fieldSelector": {"to=now"}}
	tests := map[string]struct {
		records   int
		storePage int
		query     url.Values
		limit     string
		wantRows  int
		wantPages int
		wantCut   bool
	}{
		"nothing":                            {wantPages: 1},
		"a list that fits":                   {records: 500, wantRows: 500, wantPages: 1},
		"without a window it ends":           {records: 501, wantRows: 500, wantPages: 1, wantCut: true},
		"whatever the page size":             {records: 700, limit: "7", wantRows: 500, wantPages: 72, wantCut: true},
		"whatever the store's pages":         {records: 700, storePage: 90, wantRows: 500, wantPages: 6, wantCut: true},
		"a limit beyond the largest is that": {records: 700, limit: "5000", wantRows: 500, wantPages: 1, wantCut: true},
		"an end alone is no window":          {records: 700, query: end, wantRows: 500, wantPages: 1, wantCut: true},
		"with a window it goes on":           {records: 1234, query: window, wantRows: 1234, wantPages: 3},
		"with a window and a limit":          {records: 1234, query: window, limit: "100", wantRows: 1234, wantPages: 13},
		"with a window that ends on a page":  {records: 1000, query: window, wantRows: 1000, wantPages: 2},
		"without a window, ending on a page": {records: 500, limit: "250", wantRows: 500, wantPages: 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.reader.records, s.reader.pages = audits(test.records), test.storePage
			parameters := url.Values{}
			for key, value := range test.query {
				parameters[key] = value
			}
			if test.limit != "" {
				parameters.Set("limit", test.limit)
			}
			names, pages, last, header := s.walk(t, parameters)
			if diff := cmp.Diff(namesOf(s.reader.records[:test.wantRows]), names); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if pages != test.wantPages || (last.Truncation != nil) != test.wantCut || (header.Get("Warning") != "") != test.wantCut {
				t.Errorf("%d pages, truncation %v, warning %q", pages, last.Truncation, header.Get("Warning"))
			}
			if last.RemainingItemCount != nil || last.ResourceVersion != "" {
				t.Errorf("%+v", last.ListMeta)
			}
		})
	}
}

func TestATruncatedListSaysSoAndGoesOn(t *testing.T) {
	s := start(t)
	s.reader.records = audits(800)
	_, _, last, header := s.walk(t, url.Values{})
	want := v1alpha1.Truncation{
		Reason: v1alpha1.TruncatedWithoutWindow, Oldest: metav1.NewMicroTime(builders.Time().Add(-499 * time.Second)),
	}
	if diff := cmp.Diff(&want, last.Truncation, cmpopts.IgnoreFields(v1alpha1.Truncation{}, "Continue"), cmp.Comparer(func(a, b metav1.MicroTime) bool { return a.Equal(&b) })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if w := header.Get("Warning"); !strings.Contains(w, "2026-11-02T10:21:41.123456Z") || !strings.Contains(w, "from=now-1day") {
		t.Errorf("the warning says %q", w)
	}
	names, _, end, _ := s.walk(t, url.Values{"continue": {last.Truncation.Continue}})
	if diff := cmp.Diff(namesOf(s.reader.records[500:]), names); diff != "" || end.Truncation != nil {
		t.Errorf("going on by the token (-want +got):\n%s%v", diff, end.Truncation)
	}
}

func TestAFilterThatFitsIntoNoTokenEndsTheList(t *testing.T) {
	s := start(t)
	s.reader.records = audits(30)
	long := fieldSelector("from=now-1day,userID="+strings.Repeat("u", 5000)) + "&limit=10"
	var list v1alpha1.AuditList
	a := s.get(shopAudits + long)
	a.into(t, &list)
	if len(list.Items) != 10 || list.Continue != "" || list.Truncation == nil || list.Truncation.Reason != v1alpha1.TruncatedFilterTooLarge ||
		list.Truncation.Continue != "" || !strings.Contains(a.header.Get("Warning"), "to=") {
		t.Errorf("%d items, %+v, %+v, %q", len(list.Items), list.ListMeta, list.Truncation, a.header.Get("Warning"))
	}
}

func TestAListGoesOnWhereAStatusStopped(t *testing.T) {
	s := start(t)
	s.reader.records = audits(700)
	status := store.Cursor{
		Kind: record.KindAudit, Scope: "namespace/shop", Filter: query.Equal{Field: "user_id", Value: "alice"},
		After: store.PositionOf(s.reader.records[19]), Rows: 20,
	}
	token, err := s.cursors.Encode(status)
	if err != nil {
		t.Fatal(err)
	}
	names, pages, last, _ := s.walk(t, url.Values{"continue": {token}, "limit": {"100"}})
	if diff := cmp.Diff(namesOf(s.reader.records[20:520]), names); diff != "" || pages != 5 || last.Truncation == nil {
		t.Errorf("%d pages, %v (-want +got):\n%s", pages, last.Truncation, diff)
	}
	if diff := cmp.Diff(status.Filter, s.reader.lastAsked(t).Filter); diff != "" {
		t.Errorf("the filter of the last page (-want +got):\n%s", diff)
	}
	if a := s.get(shopAudits + fieldSelector("userID=alice") + "&continue=" + token); a.code != http.StatusBadRequest {
		t.Errorf("with selectors: %d %s", a.code, a.body)
	}
	if a := s.get(allAudits + "?continue=" + token); a.code != http.StatusBadRequest {
		t.Errorf("for all namespaces: %d %s", a.code, a.body)
	}
}

func TestTokens(t *testing.T) {
	selector := "action=get,from=now-1day"
	tests := map[string]struct {
		from, path string // the list that the token is of, and the one that it is given to
		selector   string
		tamper     func(string) string
		later      time.Duration
		want       int
		wantText   string
	}{
		"with the same selectors":        {selector: selector, want: http.StatusOK},
		"with none":                      {want: http.StatusOK},
		"with the same in another order": {selector: "from=now-1day,action=get", want: http.StatusOK},
		"with others":                    {selector: "action=list,from=now-1day", want: http.StatusBadRequest, wantText: "other selectors"},
		"with fewer":                     {selector: "action=get", want: http.StatusBadRequest, wantText: "other selectors"},
		"of another namespace":           {path: recordsPath + "/namespaces/bank/audits", want: http.StatusBadRequest, wantText: "another namespace"},
		"of a namespace, for all":        {path: allAudits, want: http.StatusBadRequest, wantText: "another namespace"},
		"of all, for a namespace":        {from: allAudits, path: shopAudits, want: http.StatusBadRequest, wantText: "another namespace"},
		"of all":                         {from: allAudits, path: allAudits, want: http.StatusOK},
		"of another resource":            {path: recordsPath + "/namespaces/shop/authaudits", want: http.StatusBadRequest, wantText: "Audit records"},
		"that was changed": {tamper: func(token string) string {
			return token[:20] + string(token[20]^1) + token[21:]
		}, want: http.StatusBadRequest, wantText: "refused"},
		"that was cut":    {tamper: func(token string) string { return token[:len(token)-4] }, want: http.StatusBadRequest, wantText: "refused"},
		"of yesterday":    {later: 23 * time.Hour, want: http.StatusOK},
		"that is too old": {later: 25 * time.Hour, want: http.StatusGone, wantText: "24 hours"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.reader.records = audits(30)
			from, path := shopAudits, shopAudits
			if test.from != "" {
				from = test.from
			}
			if test.path != "" {
				path = test.path
			}
			var first v1alpha1.AuditList
			s.get(from+fieldSelector(selector)+"&limit=10").into(t, &first)
			asked := s.reader.lastAsked(t)
			token := first.Continue
			if test.tamper != nil {
				token = test.tamper(token)
			}
			s.clock.Add(test.later)
			parameters := url.Values{"continue": {token}, "limit": {"10"}}
			if test.selector != "" {
				parameters.Set("fieldSelector", test.selector)
			}
			a := s.get(path + "?" + parameters.Encode())
			if a.code != test.want || !strings.Contains(string(a.body), test.wantText) {
				t.Fatalf("%d %s", a.code, a.body)
			}
			if test.want != http.StatusOK {
				return
			}
			next := s.reader.lastAsked(t)
			if next.From != asked.From || next.To != asked.To || next.After == nil {
				t.Errorf("the window was resolved again, or the list began anew: %+v", next)
			}
			if diff := cmp.Diff(asked.Filter, next.Filter); diff != "" {
				t.Errorf("the filter of the next page (-first +next):\n%s", diff)
			}
		})
	}
}

func TestAListOfAllNarrowedToANamespaceGoesOnInIt(t *testing.T) {
	s := start(t)
	s.reader.records = audits(30)
	var first v1alpha1.AuditList
	s.get(allAudits+fieldSelector("metadata.namespace=bank")+"&limit=10").into(t, &first)
	for _, with := range []string{"", "&" + fieldSelector("metadata.namespace=bank")[1:]} {
		s.reader.lastAsked(t)
		a := s.get(fmt.Sprintf("%s?limit=10&continue=%s%s", allAudits, first.Continue, with))
		if a.code != http.StatusOK {
			t.Fatalf("%d %s", a.code, a.body)
		}
		s.reader.mutex.Lock()
		scope := s.reader.asked[0].Scope
		s.reader.mutex.Unlock()
		if diff := cmp.Diff(scopeOf("bank"), scope); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
