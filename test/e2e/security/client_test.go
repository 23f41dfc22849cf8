package security_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/test/stage"
)

// answer is what came back.
type answer struct {
	code   int
	header http.Header
	body   string
}

// ask sends one request as whoever config stands for.
func ask(t *testing.T, config *rest.Config, method, path, body string) answer {
	t.Helper()
	return askWith(t, config, method, path, body, nil)
}

func askWith(t *testing.T, config *rest.Config, method, path, body string, header http.Header) answer {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, config.Host+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{code: response.StatusCode, header: response.Header, body: string(content)}
}

// get is ask for a list or a record.
func get(t *testing.T, config *rest.Config, path string) answer {
	t.Helper()
	return ask(t, config, http.MethodGet, path, "")
}

// seen is a list of either API.
type seen struct {
	Metadata metav1.ListMeta `json:"metadata"`
	Items    []struct {
		ID    string `json:"id"`
		OrgID string `json:"orgID"`
	} `json:"items"`
	Audits     []row `json:"audits"`
	AuthAudits []row `json:"auth_audits"`
}

type row struct {
	ID    string `json:"id"`
	OrgID string `json:"org_id"`
}

// orgs are the organisations of the records of a list, each once, in order.
func (a answer) orgs(t *testing.T) []string {
	t.Helper()
	list := a.list(t)
	var all []string
	for _, item := range list.Items {
		all = append(all, item.OrgID)
	}
	for _, r := range slices.Concat(list.Audits, list.AuthAudits) {
		all = append(all, r.OrgID)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (a answer) list(t *testing.T) seen {
	t.Helper()
	var list seen
	if err := json.Unmarshal([]byte(a.body), &list); err != nil {
		t.Fatalf("%d, and no list: %s", a.code, a.body)
	}
	return list
}

// token is how a list goes on, "" at its end.
func (a answer) token(t *testing.T) string {
	t.Helper()
	if link := regexp.MustCompile(`^<\?(.*)>; rel="next"$`).FindStringSubmatch(a.header.Get("Link")); link != nil {
		parameters, err := url.ParseQuery(link[1])
		if err != nil {
			t.Fatal(err)
		}
		return parameters.Get("page_token")
	}
	return a.list(t).Metadata.Continue
}

// wantCode fails unless the answer has the code; an error is a Status that says
// something.
func (a answer) wantCode(t *testing.T, code int) {
	t.Helper()
	if err := a.is(code); err != nil {
		t.Fatal(err)
	}
	if code < http.StatusBadRequest {
		return
	}
	var status metav1.Status
	if err := json.Unmarshal([]byte(a.body), &status); err != nil || status.Kind != "Status" || status.Message == "" || int(status.Code) != code {
		t.Errorf("the error is no Status that says why: %.500s", a.body)
	}
}

// is returns an error unless the answer has the code.
func (a answer) is(code int) error {
	if a.code != code {
		return fmt.Errorf("got %d, want %d: %.500s", a.code, code, a.body)
	}
	return nil
}

// The paths of lists.
const (
	recordsPath = "/apis/records.auditquery.dev/v1alpha1"
	restPath    = "/apis/rest.auditquery.dev/v1"
)

// in is the path of a resource, in a namespace or, with "", in all.
func in(prefix, namespace, resource string) string {
	if namespace != "" {
		prefix += "/namespaces/" + namespace
	}
	return prefix + "/" + resource
}

// account is how an account of people reaches the kube-apiserver.
func account(t *testing.T, s *stage.Stage, name string) *rest.Config {
	t.Helper()
	config, err := s.TokenConfig(t.Context(), people, name)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// bindReader gives an account auditquery-reader in namespaces, before anybody asks
// as it, and returns how it reaches the kube-apiserver.
func bindReader(t *testing.T, s *stage.Stage, name string, namespaces ...string) *rest.Config {
	t.Helper()
	for _, namespace := range namespaces {
		reader := asker{name: name, role: "auditquery-reader", in: namespace}
		if err := reader.bind(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := reader.waitBound(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	return account(t, s, name)
}
