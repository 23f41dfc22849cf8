package rest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/rest"
)

func TestParametersBecomeAQuery(t *testing.T) {
	equal := func(field, value string) query.Filter { return query.Equal{Field: field, Value: value} }
	for name, tc := range map[string]struct {
		path       string
		wantFilter query.Filter
		wantLimit  int
	}{
		"no parameter asks for the newest 500":        {path: ownAudits, wantLimit: 500},
		"limit 1 is the least":                        {path: ownAudits + "?limit=1", wantLimit: 1},
		"limit 500 is the most":                       {path: ownAudits + "?limit=500", wantLimit: 500},
		"user_id":                                     {path: ownAudits + "?user_id=alice", wantFilter: equal("user_id", "alice")},
		"action":                                      {path: ownAudits + "?action=delete", wantFilter: equal("action", "delete")},
		"target_id":                                   {path: ownAudits + "?target_id=t", wantFilter: equal("target_id", "t")},
		"token_id":                                    {path: ownAudits + "?token_id=t", wantFilter: equal("token_id", "t")},
		"api_name":                                    {path: ownAudits + "?api_name=apps", wantFilter: equal("api_name", "apps")},
		"target_resource_type":                        {path: ownAudits + "?target_resource_type=pods", wantFilter: equal("target_resource_type", "pods")},
		"org_id":                                      {path: allAudits + "?org_id=org-1", wantFilter: equal("org_id", "org-1")},
		"attribute_type":                              {path: ownAudits + "?attribute_type=group", wantFilter: query.Attribute{Type: []string{"group"}}},
		"attribute_id":                                {path: ownAudits + "?attribute_id=g", wantFilter: query.Attribute{ID: []string{"g"}}},
		"attribute_org_id":                            {path: ownAudits + "?attribute_org_id=o", wantFilter: query.Attribute{OrgID: []string{"o"}}},
		"attribute_type_list once":                    {path: ownAudits + "?attribute_type_list=a", wantFilter: query.Attribute{Type: []string{"a"}}},
		"attribute_type_list twice":                   {path: ownAudits + "?attribute_type_list=b&attribute_type_list=a", wantFilter: query.Attribute{Type: []string{"a", "b"}}},
		"attribute_id_list twice, once empty":         {path: ownAudits + "?attribute_id_list=b&attribute_id_list=", wantFilter: query.Attribute{ID: []string{"b"}}},
		"a comma does not divide a list":              {path: ownAudits + "?attribute_id_list=a,b", wantFilter: query.Attribute{ID: []string{"a,b"}}},
		"a type among the listed":                     {path: ownAudits + "?attribute_type=a&attribute_type_list=a&attribute_type_list=b", wantFilter: query.Attribute{Type: []string{"a"}}},
		"a type that is not listed matches nothing":   {path: ownAudits + "?attribute_type=c&attribute_type_list=a&user_id=u", wantFilter: query.Or{}},
		"type and id are of one attribute":            {path: ownAudits + "?attribute_type=a&attribute_id_list=1&attribute_org_id=o", wantFilter: query.Attribute{Type: []string{"a"}, ID: []string{"1"}, OrgID: []string{"o"}}},
		"session_id is the session":                   {path: ownAuthAudits + "?session_id=s", wantFilter: equal("session", "s")},
		"trace_id":                                    {path: ownAuthAudits + "?trace_id=t", wantFilter: equal("trace_id", "t")},
		"upstream_user_id":                            {path: ownAuthAudits + "?upstream_user_id=u", wantFilter: equal("upstream_user_id", "u")},
		"upstream_idp":                                {path: ownAuthAudits + "?upstream_idp=google", wantFilter: equal("upstream_idp", "google")},
		"login_org_id":                                {path: ownAuthAudits + "?login_org_id=o", wantFilter: equal("login_org_id", "o")},
		"source_ip in another form":                   {path: ownAuthAudits + "?source_ip=::ffff:192.0.2.3", wantFilter: equal("source_ip", "192.0.2.3")},
		"client_id":                                   {path: ownAuthAudits + "?client_id=c", wantFilter: equal("client_id", "c")},
		"event":                                       {path: ownAuthAudits + "?event=Success", wantFilter: equal("event", "Success")},
		"stage":                                       {path: ownAuthAudits + "?stage=Login", wantFilter: equal("stage", "Login")},
		"request_id":                                  {path: ownAuthAudits + "?request_id=r", wantFilter: equal("request_id", "r")},
		"result":                                      {path: ownAuthAudits + "?result=Denied", wantFilter: equal("result", "Denied")},
		"event_name with a space":                     {path: ownAuthAudits + "?event_name=Authentication+Request", wantFilter: equal("event_name", "Authentication Request")},
		"several parameters all hold":                 {path: ownAudits + "?user_id=alice&action=delete", wantFilter: query.And{equal("user_id", "alice"), equal("action", "delete")}},
		"unknown parameters are passed over":          {path: ownAudits + "?nonsense=1&nonsense=2&source_ip=none&=x&pretty", wantLimit: 500},
		"parameters of the other list are unknown":    {path: ownAuthAudits + "?action=delete&attribute_id=1", wantLimit: 500},
		"watch=false is no watch":                     {path: ownAudits + "?watch=false", wantLimit: 500},
		"any text can be a value":                     {path: ownAudits + "?user_id=%22%3C%26%00%F0%9F%98%80", wantFilter: equal("user_id", "\"<&\x00😀")},
		"invalid UTF-8 is replaced as in the records": {path: ownAudits + "?user_id=a%FFb", wantFilter: equal("user_id", "a\uFFFDb")},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if w := f.get(t, tc.path); w.Code != http.StatusOK {
				t.Fatalf("got %d: %s", w.Code, w.Body)
			}
			got := f.store.last(t)
			if diff := cmp.Diff(tc.wantFilter, got.Filter); diff != "" {
				t.Errorf("filter (-want +got):\n%s", diff)
			}
			if tc.wantLimit == 0 {
				tc.wantLimit = 500
			}
			if got.Limit != tc.wantLimit {
				t.Errorf("limit is %d, want %d", got.Limit, tc.wantLimit)
			}
		})
	}
}

func TestWrongParametersAreNamed(t *testing.T) {
	many := strings.Repeat("&attribute_id_list=1", query.MaxValues+1)
	for name, tc := range map[string]struct {
		path, wantParameter, wantMessage string
	}{
		"limit 0":                            {path: ownAudits + "?limit=0", wantParameter: "limit", wantMessage: "from 1 to 500"},
		"limit 501":                          {path: ownAudits + "?limit=501", wantParameter: "limit"},
		"a negative limit":                   {path: ownAudits + "?limit=-1", wantParameter: "limit"},
		"a limit with a sign":                {path: ownAudits + "?limit=%2B5", wantParameter: "limit"},
		"a limit beyond every integer":       {path: ownAudits + "?limit=99999999999999999999", wantParameter: "limit"},
		"a limit that is no number":          {path: ownAudits + "?limit=ten", wantParameter: "limit"},
		"a fraction as limit":                {path: ownAudits + "?limit=1.5", wantParameter: "limit"},
		"a source_ip that is none":           {path: ownAuthAudits + "?source_ip=localhost", wantParameter: "source_ip", wantMessage: "not an IP address"},
		"dt_from that is no time":            {path: ownAudits + "?dt_from=soon", wantParameter: "dt_from", wantMessage: "accepted:"},
		"dt_to that is no time":              {path: ownAudits + "?dt_to=now-1fortnight", wantParameter: "dt_to"},
		"a plus that became a space":         {path: ownAudits + "?dt_to=now+1day", wantParameter: "dt_to", wantMessage: "%2B"},
		"a window that ends where it begins": {path: ownAudits + "?dt_from=now&dt_to=now", wantParameter: "dt_from", wantMessage: "is not before"},
		"a watch":                            {path: ownAudits + "?watch=true", wantParameter: "watch"},
		"a watch without a value":            {path: ownAuthAudits + "?watch", wantParameter: "watch"},
		"too many attribute ids":             {path: ownAudits + "?" + many[1:], wantParameter: "attribute_id_list", wantMessage: "more than 1024"},
		"a field selector":                   {path: allAudits + "?fieldSelector=action%3Ddelete", wantParameter: "fieldSelector"},
		"a field selector for a name":        {path: allAudits + "?fieldSelector=metadata.name%3Dx", wantParameter: "fieldSelector"},
		"a label selector":                   {path: ownAudits + "?labelSelector=a%3Db", wantParameter: "labelSelector"},
		"a filter that we cannot apply":      {path: ownAudits + "?resources_behind_connector_id=1", wantParameter: "resources_behind_connector_id"},
		"a page_token that is none":          {path: ownAudits + "?page_token=x", wantParameter: "page_token"},
		"a query string that is broken":      {path: ownAudits + "?user_id=%zz", wantMessage: "cannot be read"},
		"a semicolon that would hide one":    {path: ownAudits + "?user_id=a;action=b", wantMessage: "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			status := refusal(t, f.get(t, tc.path), http.StatusBadRequest)
			if got := blames(status); got != tc.wantParameter {
				t.Errorf("blames %q, want %q", got, tc.wantParameter)
			}
			if !strings.Contains(status.Message, tc.wantParameter) || !strings.Contains(status.Message, tc.wantMessage) {
				t.Errorf("message %q does not hold %q and %q", status.Message, tc.wantParameter, tc.wantMessage)
			}
			if len(f.store.asked) > 0 {
				t.Error("the store was asked")
			}
		})
	}
}

func TestAQueryStringIsBounded(t *testing.T) {
	f := newFixture(t)
	for name, tc := range map[string]struct {
		value    string
		wantCode int
	}{
		"just short enough":          {value: strings.Repeat("y", rest.MaxQueryBytes-len("x=")), wantCode: http.StatusOK},
		"too long":                   {value: strings.Repeat("y", rest.MaxQueryBytes-len("x=")+1), wantCode: http.StatusRequestURITooLong},
		"too long when it is quoted": {value: strings.Repeat("/", rest.MaxQueryBytes/3+1), wantCode: http.StatusRequestURITooLong},
	} {
		t.Run(name, func(t *testing.T) {
			if w := f.get(t, ownAudits+"?x="+tc.value); w.Code != tc.wantCode {
				t.Errorf("got %d, want %d", w.Code, tc.wantCode)
			}
		})
	}
}

// documented returns the parameters of a list, by the OpenAPI document: true for
// those that may be repeated.
func documented(t *testing.T, path string) map[string]bool {
	t.Helper()
	var document struct {
		Paths map[string]struct {
			Get struct {
				Parameters []struct {
					Name   string
					Schema struct{ Type string }
				}
			}
		}
	}
	text, err := rest.Document()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, p := range document.Paths[path].Get.Parameters {
		found[p.Name] = p.Schema.Type == "array"
	}
	return found
}

func TestEveryParameterOfTheOriginalIsThere(t *testing.T) {
	for path, want := range map[string]string{
		ownAudits: "limit user_id dt_from dt_to action target_id token_id api_name target_resource_type org_id " +
			"attribute_type attribute_id attribute_org_id attribute_type_list attribute_id_list page_token",
		ownAuthAudits: "limit user_id dt_from dt_to org_id session_id trace_id upstream_user_id upstream_idp login_org_id " +
			"source_ip client_id event stage request_id result event_name page_token",
	} {
		t.Run(path, func(t *testing.T) {
			var got []string
			for name, repeatable := range documented(t, path) {
				got = append(got, name)
				for again, wantCode := range map[string]int{name + "=": http.StatusOK, name + "=&" + name + "=": http.StatusBadRequest} {
					if repeatable {
						wantCode = http.StatusOK
					}
					w := newFixture(t).get(t, path+"?"+again)
					if w.Code != wantCode {
						t.Errorf("%s: got %d, want %d: %s", again, w.Code, wantCode, w.Body)
					}
					if wantCode == http.StatusBadRequest && blames(refusal(t, w, wantCode)) != name {
						t.Errorf("%s: the message does not blame it: %s", again, w.Body)
					}
				}
			}
			expected := strings.Fields(want)
			slices.Sort(expected)
			slices.Sort(got)
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("parameters (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAWindowIsResolvedAgainstTheClock(t *testing.T) {
	f := newFixture(t)
	if w := f.get(t, ownAudits+"?dt_from="+url.QueryEscape("now-1day")+"&dt_to=today"); w.Code != http.StatusOK {
		t.Fatalf("got %d: %s", w.Code, w.Body)
	}
	got := f.store.last(t)
	if want := f.now.Add(-24 * time.Hour); !got.From.Equal(want) {
		t.Errorf("from is %s, want %s", got.From, want)
	}
	if want := f.now.Truncate(24 * time.Hour); !got.To.Equal(want) {
		t.Errorf("to is %s, want %s", got.To, want)
	}
}
