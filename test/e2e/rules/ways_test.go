package rules_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"auditquery.dev/auditquery/test/stage"
)

// ownAddress names the way that does not lead through the kube-apiserver.
const ownAddress = "the server's own address"

// way is one way to ask for records of smallOrg.
type way struct {
	client *client
	path   string
	accept string
	// records is how many a good answer has; 0 is one record by its name.
	records int
}

func (y way) ask(ctx context.Context) answer {
	if y.accept == "" {
		return y.client.get(ctx, y.path)
	}
	return y.client.get(ctx, y.path, y.accept)
}

func (y way) good(a answer) error {
	if y.records > 0 {
		return a.good(y.records)
	}
	if a.err != nil || a.status != http.StatusOK || !json.Valid(a.body) {
		return fmt.Errorf("%s", a)
	}
	return nil
}

// ways are all ways to ask a stage for records, by a name.
func ways(t *testing.T, s *stage.Stage) map[string]way {
	t.Helper()
	asAdmin := admin(t, s)
	own := mustClient(t, s.Server().Config(readerOf(t, s, "own")))
	lists := namespaced(recordsPath, smallOrg, "audits", inWindow("")...)
	first, err := asAdmin.get(t.Context(), lists+"&limit=10").list()
	if err != nil {
		t.Fatal(err)
	}
	original := []string{"org_id", smallOrg, "dt_from", windowFrom}
	return map[string]way{
		"a list in a namespace":            {asAdmin, lists, "", smallAudits},
		"a list of all namespaces":         {asAdmin, recordsPath + "/audits" + encoded(inWindow(",orgID="+smallOrg)), "", smallAudits},
		"a table":                          {asAdmin, lists, asTable, smallAudits},
		"a list of metadata":               {asAdmin, lists, asMetadata, smallAudits},
		"the second page of a list":        {asAdmin, lists + "&limit=10&continue=" + first.Metadata.Continue, "", 10},
		"a list of auth audits":            {asAdmin, namespaced(recordsPath, smallOrg, "authaudits", inWindow("")...), "", smallLogins},
		"one record":                       {asAdmin, namespaced(recordsPath, smallOrg, "audits") + "/" + first.Items[0].Metadata.Name, "", 0},
		"the original list in a namespace": {asAdmin, namespaced(restPath, smallOrg, "audits", original...), "", smallAudits},
		"the original list":                {asAdmin, restPath + "/auth_audits" + encoded(original), "", smallLogins},
		ownAddress:                         {own, ownPath + "/audits" + encoded(original), "", smallAudits},
	}
}

// askAll asks in all ways at the same time.
func askAll(ctx context.Context, ways map[string]way) map[string]answer {
	var mutex sync.Mutex
	var asked sync.WaitGroup
	answers := map[string]answer{}
	for name, y := range ways {
		asked.Go(func() {
			a := y.ask(ctx)
			mutex.Lock()
			defer mutex.Unlock()
			answers[name] = a
		})
	}
	asked.Wait()
	return answers
}

// wantAllGood fails the test unless every way leads to all records.
func wantAllGood(t *testing.T, ways map[string]way) {
	t.Helper()
	for name, a := range askAll(t.Context(), ways) {
		if err := ways[name].good(a); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// refused is nil if the answer tells, in a whole document, that the store cannot
// be asked: 503 with a time to come again, or 504.
func refused(a answer) error {
	var status struct {
		Kind string `json:"kind"`
		Code int    `json:"code"`
	}
	switch {
	case a.err != nil:
		return fmt.Errorf("no answer: %w", a.err)
	case a.status != http.StatusServiceUnavailable && a.status != http.StatusGatewayTimeout:
		return fmt.Errorf("neither 503 nor 504: %s", a)
	case a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "1":
		return fmt.Errorf("Retry-After is %q: %s", a.header.Get("Retry-After"), a)
	}
	if err := json.Unmarshal(a.body, &status); err != nil || status.Kind != "Status" || status.Code != a.status {
		return fmt.Errorf("no Status (%v): %s", err, a)
	}
	return nil
}
