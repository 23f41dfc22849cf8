package rules_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/test/stage"
)

const (
	recordsPath = "/apis/records.auditquery.dev/v1alpha1"
	restPath    = "/apis/rest.auditquery.dev/v1"
	ownPath     = "/v1"

	asTable    = "application/json;as=Table;g=meta.k8s.io;v=v1"
	asMetadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

// client asks one address as one user, without trying anything twice.
type client struct {
	host string
	http *http.Client
}

func newClient(config *rest.Config) (*client, error) {
	c, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	return &client{host: config.Host, http: c}, nil
}

func mustClient(t *testing.T, config *rest.Config) *client {
	t.Helper()
	c, err := newClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// admin asks the kube-apiserver, and may do everything.
func admin(t *testing.T, s *stage.Stage) *client {
	t.Helper()
	return mustClient(t, s.ControlPlane().RESTConfig())
}

// answer is a response that was read to its end; err is why it was not.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
	err    error
}

func (c *client) get(ctx context.Context, path string, accept ...string) answer {
	return c.do(ctx, http.MethodGet, path, accept...)
}

func (c *client) do(ctx context.Context, method, path string, accept ...string) answer {
	began := time.Now()
	request, err := http.NewRequestWithContext(ctx, method, c.host+path, http.NoBody)
	if err != nil {
		return answer{err: err}
	}
	for _, mediaType := range accept {
		request.Header.Add("Accept", mediaType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer{err: err, took: time.Since(began)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: body, took: time.Since(began), err: err}
}

func (a answer) String() string {
	const most = 300
	return fmt.Sprintf("%d after %s, error %v: %.*s", a.status, a.took.Round(time.Millisecond), a.err, most, a.body)
}

// list is what a list of any form holds: the served records, a Table, or the
// original API's.
type list struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Continue string `json:"continue"`
	} `json:"metadata"`
	Truncation *struct {
		Reason   string `json:"reason"`
		Continue string `json:"continue"`
	} `json:"truncation"`
	Items []struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		TargetID string `json:"targetID"`
	} `json:"items"`
	Rows       []json.RawMessage `json:"rows"`
	Audits     []json.RawMessage `json:"audits"`
	AuthAudits []json.RawMessage `json:"auth_audits"`
}

func (l list) records() int { return len(l.Items) + len(l.Rows) + len(l.Audits) + len(l.AuthAudits) }

// list reads a whole and good list.
func (a answer) list() (list, error) {
	var l list
	switch {
	case a.err != nil:
		return l, a.err
	case a.status != http.StatusOK:
		return l, fmt.Errorf("%s", a)
	}
	err := json.Unmarshal(a.body, &l)
	return l, err
}

// good is nil if the answer is a list of so many records.
func (a answer) good(want int) error {
	l, err := a.list()
	if err != nil {
		return err
	}
	if l.records() != want {
		return fmt.Errorf("%d records instead of %d", l.records(), want)
	}
	return nil
}

// namespaced is the path of a namespace's list with parameters, names and values
// in turn; those without a value are left out.
func namespaced(base, namespace, resource string, parameters ...string) string {
	return base + "/namespaces/" + namespace + "/" + resource + encoded(parameters)
}

func encoded(parameters []string) string {
	values := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		if parameters[i+1] != "" {
			values.Add(parameters[i], parameters[i+1])
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

// inWindow is the field selector of a list that pages to its end.
func inWindow(more string) []string {
	return []string{"fieldSelector", "from=" + windowFrom + more}
}
