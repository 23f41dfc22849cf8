package rest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// nextPage resolves an answer's Link as a client does, "" at the end.
func nextPage(t *testing.T, base string, w *httptest.ResponseRecorder) string {
	t.Helper()
	link := w.Header().Get("Link")
	if link == "" {
		return ""
	}
	reference, ok := strings.CutSuffix(link, `>; rel="next"`)
	reference, ok2 := strings.CutPrefix(reference, "<")
	if !ok || !ok2 || !strings.HasPrefix(reference, "?") {
		t.Fatalf("Link %q is not a relative query", link)
	}
	parsed, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	next, err := parsed.Parse(reference)
	if err != nil {
		t.Fatal(err)
	}
	return next.String()
}

// targets returns the target ids of an answer.
func targets(t *testing.T, w *httptest.ResponseRecorder) []string {
	t.Helper()
	var answer struct{ Audits []*record.Audit }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); w.Code != http.StatusOK || err != nil {
		t.Fatalf("got %d: %v\n%s", w.Code, err, w.Body)
	}
	var ids []string
	for _, a := range answer.Audits {
		ids = append(ids, a.TargetID)
	}
	return ids
}

func TestLinksLeadToEachRecordOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		path      string
		wantPages int
		wantScope string
	}{
		"of everything":            {path: allAudits + "?limit=3", wantPages: 3, wantScope: query.AllScope},
		"of a namespace":           {path: shopAudits + "?limit=3&user_id=alice", wantPages: 3, wantScope: "namespace/shop"},
		"of an organisation":       {path: ownAudits + "?org_id=org-1&limit=4", wantPages: 2, wantScope: "namespace/shop"},
		"with all in the last":     {path: ownAudits + "?limit=7", wantPages: 1, wantScope: query.AllScope},
		"with parameters to quote": {path: ownAudits + "?user_id=%3E%22%26%20%C3%A9&limit=6&unknown=%3E", wantPages: 2, wantScope: query.AllScope},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.store.hold(numbered(7)...)
			var got []string
			pages := 0
			for path := tc.path; path != ""; pages++ {
				w := f.get(t, path)
				got = append(got, targets(t, w)...)
				path = nextPage(t, path, w)
			}
			if diff := cmp.Diff([]string{"0", "1", "2", "3", "4", "5", "6"}, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if pages != tc.wantPages {
				t.Errorf("%d pages, want %d", pages, tc.wantPages)
			}
			for i, q := range f.store.asked {
				if diff := cmp.Diff(f.store.asked[0].Filter, q.Filter); diff != "" || q.Scope.Name != tc.wantScope {
					t.Errorf("page %d: scope %q, filter (-first +this):\n%s", i, q.Scope.Name, diff)
				}
			}
		})
	}
}

func TestPagesKeepTheWindowOfTheFirst(t *testing.T) {
	f := newFixture(t)
	f.store.hold(numbered(3)...)
	path := ownAudits + "?limit=1&dt_from=now-1day&dt_to=now"
	first := f.get(t, path)
	f.now = f.now.Add(time.Hour)
	if w := f.get(t, nextPage(t, path, first)); w.Code != http.StatusOK {
		t.Fatalf("got %d: %s", w.Code, w.Body)
	}
	if a, b := f.store.asked[0], f.store.asked[1]; !a.From.Equal(b.From) || !a.To.Equal(b.To) || a.From.IsZero() {
		t.Errorf("the window moved from %s..%s to %s..%s", a.From, a.To, b.From, b.To)
	}
}

// token begins a list and returns the token of its next page.
func (f *fixture) token(t *testing.T, path string) string {
	t.Helper()
	next, err := url.Parse(nextPage(t, path, f.get(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	token := next.Query().Get("page_token")
	if token == "" {
		t.Fatalf("%s has no next page", path)
	}
	return token
}

func TestTokensGoOnWithTheirOwnList(t *testing.T) {
	for name, tc := range map[string]struct {
		begin, goOn string
		age         time.Duration
		change      func(string) string
		rebind      bool
		wantCode    int
	}{
		"with the same parameters":        {begin: ownAudits + "?limit=1&action=get", goOn: ownAudits + "?limit=1&action=get", wantCode: 200},
		"with none":                       {begin: ownAudits + "?limit=1&action=get", goOn: ownAudits + "?", wantCode: 200},
		"with another limit":              {begin: ownAudits + "?limit=1&action=get", goOn: ownAudits + "?limit=2&action=get", wantCode: 200},
		"with an unknown parameter":       {begin: ownAudits + "?limit=1", goOn: ownAudits + "?x=1", wantCode: 200},
		"the cluster's on its other path": {begin: ownAudits + "?limit=1", goOn: allAudits + "?", wantCode: 200},
		"a namespace's by organisation":   {begin: shopAudits + "?limit=1&org_id=org-1", goOn: ownAudits + "?org_id=org-1", wantCode: 200},
		"almost a day later":              {begin: ownAudits + "?limit=1", goOn: ownAudits + "?", age: 24 * time.Hour, wantCode: 200},
		"more than a day later":           {begin: ownAudits + "?limit=1", goOn: ownAudits + "?", age: 24*time.Hour + time.Second, wantCode: 410},
		"with another value":              {begin: ownAudits + "?limit=1&action=get", goOn: ownAudits + "?action=list", wantCode: 400},
		"with a part of the parameters":   {begin: ownAudits + "?limit=1&action=get&user_id=u", goOn: ownAudits + "?action=get", wantCode: 400},
		"with a further parameter":        {begin: ownAudits + "?limit=1&action=get", goOn: ownAudits + "?action=get&user_id=u", wantCode: 400},
		"with one where there was none":   {begin: ownAudits + "?limit=1", goOn: ownAudits + "?action=get", wantCode: 400},
		"with another window":             {begin: ownAudits + "?limit=1&dt_from=1d", goOn: ownAudits + "?dt_from=2d", wantCode: 400},
		"with values moved between lists": {begin: ownAudits + "?limit=1&attribute_id_list=a", goOn: ownAudits + "?attribute_type_list=a", wantCode: 400},
		"with values cut otherwise":       {begin: ownAudits + "?limit=1&attribute_id_list=ab&attribute_id_list=c", goOn: ownAudits + "?attribute_id_list=a&attribute_id_list=bc", wantCode: 400},
		"in the other resource":           {begin: ownAudits + "?limit=1", goOn: ownAuthAudits + "?", wantCode: 400},
		"in a namespace, of all":          {begin: allAudits + "?limit=1", goOn: shopAudits + "?", wantCode: 400},
		"in all, of a namespace":          {begin: shopAudits + "?limit=1", goOn: allAudits + "?", wantCode: 400},
		"in another namespace":            {begin: shopAudits + "?limit=1", goOn: strings.Replace(shopAudits, "shop", "bank", 1) + "?", wantCode: 400},
		"tampered":                        {begin: ownAudits + "?limit=1", goOn: ownAudits + "?", change: flip, wantCode: 400},
		"cut":                             {begin: ownAudits + "?limit=1", goOn: ownAudits + "?", change: func(s string) string { return s[:len(s)-3] }, wantCode: 400},
		"after its organisation moved":    {begin: shopAudits + "?limit=1&org_id=org-1", goOn: shopAudits + "?org_id=org-1", rebind: true, wantCode: 403},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.store.hold(numbered(3)...)
			token := f.token(t, tc.begin)
			f.now = f.now.Add(tc.age)
			if tc.change != nil {
				token = tc.change(token)
			}
			if tc.rebind {
				f.directory.owned = map[string][]string{"shop": {"org-2"}}
			}
			w := f.get(t, tc.goOn+"&page_token="+token)
			if tc.wantCode == http.StatusOK {
				if ids := targets(t, w); ids[0] != "1" {
					t.Errorf("goes on with %v, want 1", ids)
				}
				return
			}
			if got := blames(refusal(t, w, tc.wantCode)); tc.wantCode != http.StatusForbidden && got != "page_token" {
				t.Errorf("blames %q, want page_token", got)
			}
		})
	}
}

func flip(token string) string {
	other := byte('A')
	if token[20] == other {
		other = 'B'
	}
	return token[:20] + string(other) + token[21:]
}

func TestATokenNeverCarriesAScope(t *testing.T) {
	f := newFixture(t)
	f.store.hold(numbered(3)...)
	token := f.token(t, shopAudits+"?limit=1")
	f.directory.owned["shop"] = []string{"org-2"}
	f.get(t, shopAudits+"?page_token="+token)
	want := shopScope("shop", "org-2")
	want.Restrict = query.Equal{Field: "org_id", Value: "org-2"} // as Validate writes one value
	if diff := cmp.Diff(want, f.store.last(t).Scope); diff != "" {
		t.Errorf("scope of the second page (-want +got):\n%s", diff)
	}
}

func TestAListThatCannotGoOnSaysSo(t *testing.T) {
	f := newFixture(t)
	f.store.hold(numbered(3)...)
	long := strings.Repeat("x", store.MaxCursorFilter)
	w := f.get(t, ownAudits+"?limit=2&user_id="+long)
	if w.Code != http.StatusOK || w.Header().Get("Link") != "" || !strings.HasPrefix(w.Header().Get("Warning"), `299 - "there are more`) {
		t.Errorf("got %d, Link %q, Warning %q", w.Code, w.Header().Get("Link"), w.Header().Get("Warning"))
	}
	if w := f.get(t, ownAudits+"?limit=3&user_id="+long); w.Header().Get("Warning") != "" {
		t.Errorf("a whole answer warns: %s", w.Header().Get("Warning"))
	}
}
