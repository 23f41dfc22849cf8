package rest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// FuzzQueryStrings holds that no query string makes the server fail: it answers
// with the records, or with a Status of 4xx.
func FuzzQueryStrings(f *testing.F) {
	for _, seed := range []string{
		"", "limit=5", "limit=-1&limit", "dt_from=now-1day&dt_to=now%2B1M/d", "dt_from=0001-01-01&dt_to=1960-01-01",
		"source_ip=fe80::1%25eth0", "source_ip=1.2.3", "org_id=org-1", "org_id=%FF%00", "page_token=AAAA", "page_token=%0D%0A",
		"attribute_type=a&attribute_type_list=b&attribute_id_list=c", "watch=1", "fieldSelector=metadata.name%3Dx", "a;b", "%zz", "&&==&",
		"dt_from=9223372036854775807y", "dt_to=999999999999", "user_id=%F0%9F%98%80", "labelSelector=!", "resourceVersion=x&timeoutSeconds=y",
	} {
		for list := range uint8(4) {
			f.Add(list, seed)
		}
	}
	paths := []string{ownAudits, ownAuthAudits, allAudits, shopAudits}
	fixture := newFixture(f)
	fixture.store.hold(numbered(2)...)
	f.Fuzz(func(t *testing.T, list uint8, rawQuery string) {
		r := httptest.NewRequest(http.MethodGet, paths[int(list)%len(paths)], nil)
		r.URL = &url.URL{Path: r.URL.Path, RawQuery: rawQuery}
		fixture.store.asked = nil
		w := fixture.do(t, r)
		if w.Code != http.StatusOK {
			if w.Code < 400 || w.Code >= 500 {
				t.Fatalf("%q gives %d: %s", rawQuery, w.Code, w.Body)
			}
			refusal(t, w, w.Code)
			return
		}
		var answer map[string]json.RawMessage
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer["limit"] == nil || len(answer) != 2 {
			t.Fatalf("%q gives %v: %s", rawQuery, err, w.Body)
		}
		if len(fixture.store.asked) != 1 {
			t.Fatalf("%q asked the store %d times", rawQuery, len(fixture.store.asked))
		}
	})
}
