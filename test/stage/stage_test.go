package stage_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/stage"
)

func TestStageOnSQLite(t *testing.T) {
	s := stage.StartForTest(t, stage.Options{Audit: true})
	if err := s.Append(t.Context(), builders.Audit(func(a *record.Audit) { a.OrgID = "acme" })); err != nil {
		t.Fatal(err)
	}
	if out := s.Kubectl(t, "get", "audits", "-A", "--field-selector=orgID=acme,from=2026-11-01", "-o", "name"); strings.Count(out, "audit.") != 1 {
		t.Errorf("through the kube-apiserver: %q", out)
	}
	const path = "/v1/audits?org_id=acme&dt_from=2026-11-01"
	if code, _ := get(t, s.Server().Config(s.AnonymousConfig()), path); code != http.StatusForbidden {
		t.Errorf("without permission: %d", code)
	}
	reader, err := s.TokenConfig(t.Context(), stage.SystemNamespace, "auditor")
	if err != nil {
		t.Fatal(err)
	}
	s.Kubectl(t, "create", "clusterrolebinding", "auditor", "--clusterrole=auditquery-reader", "--serviceaccount="+stage.SystemNamespace+":auditor")
	if code, body := get(t, s.Server().Config(reader), path); code != http.StatusOK || !strings.Contains(body, `"org_id":"acme"`) {
		t.Errorf("at the server's own address: %d %s", code, body)
	}
	t.Run("a server can be killed and started again", func(t *testing.T) {
		if err := s.Server().Process().Kill(); err != nil {
			t.Fatal(err)
		}
		<-s.Server().Process().Exited()
		if err := s.Server().Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if code, body := get(t, s.Server().Config(reader), path); code != http.StatusOK {
			t.Errorf("%d %s", code, body)
		}
	})
	t.Run("the audit webhook delivers", func(t *testing.T) {
		await.Nil(t, "the binding of the auditor is there", func(context.Context) error {
			code, body := get(t, s.Server().Config(reader), "/v1/audits?limit=1&action=create&target_resource_type=clusterrolebindings")
			var answer struct{ Audits []json.RawMessage }
			if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Audits) != 1 {
				return fmt.Errorf("%d %s (%v)", code, body, err)
			}
			return nil
		})
	})
}

func get(t *testing.T, config *rest.Config, path string) (code int, body string) {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
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
	return response.StatusCode, string(content)
}
