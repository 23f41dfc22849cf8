package contract_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	auditrest "auditquery.dev/auditquery/internal/rest"
)

// The ways in.
const (
	ownAddress  = "the server's own address"
	clusterWide = "the kube-apiserver, cluster-wide"
	inNamespace = "the kube-apiserver, in a namespace"
)

// ways are the addresses below which audits and auth_audits are.
func (c *cluster) ways() map[string]string {
	return map[string]string{
		ownAddress:  c.Server().URL() + auditrest.OwnPrefix,
		clusterWide: c.ControlPlane().URL() + auditrest.GroupPrefix,
		inNamespace: c.ControlPlane().URL() + auditrest.GroupPrefix + "namespaces/shop/",
	}
}

// reply is what a client can see of an answer.
type reply struct {
	Code        int
	ContentType string
	Allow       string
	RetryAfter  string
	// Link is without its token, which holds the time.
	Link string
	// Body is the JSON, decoded; nil of an empty one.
	Body any
}

// ask sends a request as an account.
func (c *cluster) ask(t *testing.T, account, method, address string) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.client(t, account).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := reply{
		Code: response.StatusCode, ContentType: response.Header.Get("Content-Type"), Allow: response.Header.Get("Allow"),
		RetryAfter: response.Header.Get("Retry-After"),
		Link:       regexp.MustCompile(`page_token=[^&>]*`).ReplaceAllString(response.Header.Get("Link"), "page_token=…"),
	}
	if len(content) > 0 {
		if err := json.Unmarshal(content, &r.Body); err != nil {
			t.Fatalf("%s: %v: %.300s", address, err, content)
		}
	}
	return r
}

// text is what an error says, "" of a list.
func (r reply) text() string {
	body, ok := r.Body.(map[string]any)
	if !ok {
		return ""
	}
	message, _ := body["message"].(string)
	return message
}

// rows is how many records a list has, -1 of anything else.
func (r reply) rows() int {
	body, _ := r.Body.(map[string]any)
	for _, name := range []string{"audits", "auth_audits"} {
		if list, ok := body[name].([]any); ok {
			return len(list)
		}
	}
	return -1
}

// question is a request that is answered alike on every way in.
type question struct {
	method   string
	path     string
	wantCode int
	wantRows int
	// wantText is in the message of an error.
	wantText string
	wantLink bool
}

// everyWayAnswersAlike asks for lists.
func (c *cluster) everyWayAnswersAlike(t *testing.T) {
	for name, q := range map[string]question{
		"all of an organisation":      {path: "audits?org_id=org-1", wantRows: 2},
		"another of its organisation": {path: "audits?org_id=org-2", wantRows: 1},
		"logins":                      {path: "auth_audits?org_id=org-1", wantRows: 2},
		"a window":                    {path: "audits?org_id=org-1&dt_from=2026-11-01&dt_to=2026-11-03T00:00:00%2B02:00", wantRows: 1},
		"a window without records":    {path: "audits?org_id=org-1&dt_from=2026-10-01&dt_to=2026-10-02"},
		"a page":                      {path: "audits?org_id=org-1&limit=1&action=", wantRows: 1, wantLink: true},
		"a filter":                    {path: "audits?org_id=org-1&user_id=bob&action=delete", wantRows: 1},
		"lists of attributes":         {path: "audits?org_id=org-1&attribute_type_list=group&attribute_type_list=role&attribute_id_list=g-1", wantRows: 1},
		"an address in another form":  {path: "auth_audits?org_id=org-1&source_ip=2001:db8:0::1&result=Denied", wantRows: 1},
		"an unknown parameter":        {path: "audits?org_id=org-2&colour=red", wantRows: 1},
		"the headers alone":           {method: http.MethodHead, path: "audits?org_id=org-1&limit=1", wantRows: -1, wantLink: true},
		"an empty page of a window":   {path: "auth_audits?org_id=org-1&dt_to=1980-01-01"},
	} {
		q.wantCode = http.StatusOK
		t.Run(name, func(t *testing.T) { c.wantAlike(t, q) })
	}
}

// everyWayFailsAlike asks for what cannot be answered.
func (c *cluster) everyWayFailsAlike(t *testing.T) {
	for name, q := range map[string]question{
		"a limit of 0":             {path: "audits?org_id=org-1&limit=0", wantCode: 400, wantText: "limit: "},
		"a limit of 501":           {path: "auth_audits?org_id=org-1&limit=501", wantCode: 400, wantText: "limit: "},
		"two limits":               {path: "audits?org_id=org-1&limit=1&limit=1", wantCode: 400, wantText: "limit: "},
		"two organisations":        {path: "audits?org_id=org-1&org_id=org-2", wantCode: 400, wantText: "org_id"},
		"no time":                  {path: "audits?org_id=org-1&dt_from=soon", wantCode: 400, wantText: "dt_from: "},
		"a lost plus":              {path: "audits?org_id=org-1&dt_to=2026-11-01T00:00:00+02:00", wantCode: 400, wantText: "dt_to: "},
		"an end before its start":  {path: "audits?org_id=org-1&dt_from=2026-11-02&dt_to=2026-11-01", wantCode: 400},
		"no address":               {path: "auth_audits?org_id=org-1&source_ip=here", wantCode: 400, wantText: "source_ip: "},
		"what there is not":        {path: "audits?org_id=org-1&resources_behind_connector_id=c", wantCode: 400, wantText: "resources_behind_connector_id: "},
		"a selector":               {path: "audits?org_id=org-1&fieldSelector=action%3Ddelete", wantCode: 400, wantText: "fieldSelector: "},
		"a watch":                  {path: "audits?org_id=org-1&watch=true", wantCode: 400, wantText: "watch: "},
		"a token that nobody made": {path: "audits?org_id=org-1&page_token=e30.e30", wantCode: 400, wantText: "page_token: "},
		"a token of last week":     {path: "audits?org_id=org-1&page_token=" + oldToken(t), wantCode: 410, wantText: "page_token: "},
		"a list that there is not": {path: "users?org_id=org-1", wantCode: 404},
		"a single record":          {path: "audits/e4459d2ce80e4574b155714d8c3ad574", wantCode: 404},
		"a path below a record":    {path: "audits/a/b", wantCode: 404},
		"a record to be made":      {method: http.MethodPost, path: "audits", wantCode: 405},
		"records to be deleted":    {method: http.MethodDelete, path: "auth_audits?org_id=org-1", wantCode: 405},
		"a record to be replaced":  {method: http.MethodPut, path: "audits", wantCode: 405},
		"a query that has no end":  {path: "audits?org_id=org-1&user_id=" + strings.Repeat("a", auditrest.MaxQueryBytes), wantCode: 414},
	} {
		q.wantRows = -1
		t.Run(name, func(t *testing.T) { c.wantAlike(t, q) })
	}
}

// wantAlike asks as one who may everything: the kube-apiserver asks for a
// permission before it passes on what our server refuses to everybody.
func (c *cluster) wantAlike(t *testing.T, q question) {
	t.Helper()
	if q.method == "" {
		q.method = http.MethodGet
	}
	first := c.ask(t, everything, q.method, c.ways()[ownAddress]+q.path)
	if first.Code != q.wantCode || first.rows() != q.wantRows || !strings.Contains(first.text(), q.wantText) || (first.Link != "") != q.wantLink {
		t.Errorf("%s: %+v", ownAddress, first)
	}
	for _, way := range []string{clusterWide, inNamespace} {
		if diff := cmp.Diff(first, c.ask(t, everything, q.method, c.ways()[way]+q.path)); diff != "" {
			t.Errorf("(-%s +%s):\n%s", ownAddress, way, diff)
		}
	}
}

// everyWayRefuses asks as those who may little. An error has one form, whoever it
// comes from.
func (c *cluster) everyWayRefuses(t *testing.T) {
	const ok, forbidden, notAllowed, bad = http.StatusOK, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusBadRequest
	for name, tc := range map[string]struct {
		account string
		method  string
		path    string
		want    map[string]int
	}{
		"all, as a reader of all": {
			account: allRecords, path: "audits", want: map[string]int{ownAddress: ok, clusterWide: ok, inNamespace: ok},
		},
		"what nobody owns, as a reader of all": {
			account: allRecords, path: "audits?org_id=org-9", want: map[string]int{ownAddress: ok, clusterWide: ok, inNamespace: forbidden},
		},
		"all, as a reader of shop": {
			account: shopRecords, path: "audits", want: map[string]int{ownAddress: forbidden, clusterWide: forbidden, inNamespace: ok},
		},
		"its own, as a reader of shop": {
			account: shopRecords, path: "auth_audits?org_id=org-1", want: map[string]int{ownAddress: ok, clusterWide: forbidden, inNamespace: ok},
		},
		"what nobody owns, as a reader of shop": {
			account: shopRecords, path: "audits?org_id=org-9", want: map[string]int{ownAddress: forbidden, clusterWide: forbidden, inNamespace: forbidden},
		},
		"its own, as one who may nothing": {
			account: nothing, path: "audits?org_id=org-1", want: map[string]int{ownAddress: forbidden, clusterWide: forbidden, inNamespace: forbidden},
		},
		// The kube-apiserver knows of no permission to do these.
		"a record to be made, as a reader of all": {
			account: allRecords, method: http.MethodPost, path: "audits",
			want: map[string]int{ownAddress: notAllowed, clusterWide: forbidden, inNamespace: forbidden},
		},
		"a watch, as a reader of all": {
			account: allRecords, path: "audits?watch=true", want: map[string]int{ownAddress: bad, clusterWide: forbidden, inNamespace: forbidden},
		},
		"a single record, as a reader of all": {
			account: allRecords, path: "audits/a", want: map[string]int{ownAddress: forbidden, clusterWide: forbidden, inNamespace: forbidden},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.method == "" {
				tc.method = http.MethodGet
			}
			for way, base := range c.ways() {
				got := c.ask(t, tc.account, tc.method, base+tc.path)
				if got.Code != tc.want[way] {
					t.Errorf("%s: got %+v, want %d", way, got, tc.want[way])
				}
				if got.Code >= http.StatusBadRequest {
					wantStatus(t, way, got)
				}
			}
		})
	}
	for way, base := range c.ways() {
		got := c.ask(t, nobody, http.MethodGet, base+"audits?org_id=org-1")
		if got.Code != http.StatusUnauthorized {
			t.Errorf("%s with a wrong token: %+v", way, got)
		}
		wantStatus(t, way, got)
	}
}

// wantStatus holds an error to the one form that errors have.
func wantStatus(t *testing.T, way string, r reply) {
	t.Helper()
	body, err := json.Marshal(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil || status.Kind != "Status" || int(status.Code) != r.Code ||
		status.Reason == "" || status.Message == "" || r.ContentType != "application/json" {
		t.Errorf("%s: %v %s %s", way, err, r.ContentType, body)
	}
}

// brokenQueries shows what no server behind an aggregator can help: it passes on
// what it could read of a query string, and its own address refuses it.
func (c *cluster) brokenQueries(t *testing.T) {
	const path = "audits?org_id=org-1&action=%zz"
	for way, want := range map[string]int{ownAddress: http.StatusBadRequest, clusterWide: http.StatusOK, inNamespace: http.StatusOK} {
		if got := c.ask(t, everything, http.MethodGet, c.ways()[way]+path); got.Code != want {
			t.Errorf("%s: %+v", way, got)
		}
	}
}

// everyWayPages follows links that survive the aggregator.
func (c *cluster) everyWayPages(t *testing.T) {
	for way, base := range c.ways() {
		t.Run(way, func(t *testing.T) {
			seen := map[string]int{}
			pages := 0
			for next := base + "audits?org_id=org-1&limit=1&dt_from=2026-10-01"; next != ""; pages++ {
				next = follow(t, c.client(t, allRecords), c.token(allRecords), next, seen)
			}
			if len(seen) != 2 || pages != 2 {
				t.Errorf("%d records on %d pages", len(seen), pages)
			}
		})
	}
}
