package stage_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/stage"
)

func TestReplicasOnElasticsearch(t *testing.T) {
	store := elastic.StartForTest(t, elastic.Options{})
	s := stage.StartForTest(t, stage.Options{
		ElasticsearchURL: store.URL(), IndexPrefix: "stage", Audit: true,
		Servers: []stage.ServerOptions{
			{Role: stage.RoleController}, {Role: stage.RoleAPIServer}, {Role: stage.RoleAPIServer}, {Role: stage.RoleIngest},
		},
	})
	first, second := s.Servers()[1], s.Servers()[2]
	if err := s.Append(t.Context(), builders.Audit(func(a *record.Audit) { a.OrgID = "acme" })); err != nil {
		t.Fatal(err)
	}
	list := func() error {
		out, _, err := s.ControlPlane().Kubectl(t.Context(), "get", "audits", "-A", "--field-selector=orgID=acme,from=2026-11-01", "-o", "name")
		if err == nil && strings.Count(out, "audit.") != 1 {
			err = errors.New(out)
		}
		return err
	}
	await.Nil(t, "the record is found", func(context.Context) error { return list() })
	t.Run("each replica answers at its own address", func(t *testing.T) {
		reader, err := s.UserConfig("root", "system:masters")
		if err != nil {
			t.Fatal(err)
		}
		for _, server := range []*stage.Server{first, second} {
			if code, body := get(t, server.Config(reader), "/v1/audits?org_id=acme"); code != http.StatusOK || !strings.Contains(body, `"acme"`) {
				t.Errorf("%s: %d %s", server.Name(), code, body)
			}
		}
	})
	t.Run("a paused server can be continued", func(t *testing.T) {
		if err := errors.Join(first.Process().Signal(syscall.SIGSTOP), first.Process().Signal(syscall.SIGCONT)); err != nil {
			t.Fatal(err)
		}
		await.Nil(t, "it answers", func(ctx context.Context) error { return first.Probe(ctx, "/readyz") })
	})
	t.Run("the APIServices can be led to another replica", func(t *testing.T) {
		if err := s.Register(t.Context(), stage.Registration{Port: second.Port()}); err != nil {
			t.Fatal(err)
		}
		if err := first.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		await.Nil(t, "the record is found", func(context.Context) error { return list() })
	})
	t.Run("the controller runs queries", func(t *testing.T) {
		s.Apply(t, `{"apiVersion":"auditquery.dev/v1alpha1","kind":"ClusterAuditQuery","metadata":{"name":"acme"},"spec":{"audits":{"orgID":"acme"}}}`)
		s.Kubectl(t, "wait", "--for=condition=Matched", "--timeout=60s", "clusterauditquery/acme")
	})
	t.Run("the cluster's events come through the receiver", func(t *testing.T) {
		s.Kubectl(t, "create", "namespace", "shop")
		await.Nil(t, "the event is found", func(context.Context) error {
			out, _, err := s.ControlPlane().Kubectl(t.Context(), "get", "audits", "-n", "shop", "-o", "name",
				"--field-selector=action=create,targetResourceType=namespaces,from=now-1h")
			if err == nil && out == "" {
				err = errors.New("none is there yet")
			}
			return err
		})
	})
	t.Run("a token writes where its account is bound, and nowhere else", func(t *testing.T) { testTokenWrites(t, s) })
}

func testTokenWrites(t *testing.T, s *stage.Stage) {
	s.Apply(t, `{"apiVersion":"auditquery.dev/v1alpha1","kind":"AuditTenant","metadata":{"name":"shop"},"spec":{"namespace":"shop","orgIDs":["globex"]}}`)
	s.Kubectl(t, "create", "rolebinding", "writes", "-n", "shop", "--clusterrole=auditquery-writer", "--serviceaccount=shop:application")
	account, err := s.TokenConfig(t.Context(), "shop", "application")
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(&rest.Config{
		BearerToken: account.BearerToken, TLSClientConfig: rest.TLSClientConfig{CAFile: s.CAPath()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	const lines = `{"kind":"Audit","time":"2026-11-24T10:00:00Z","org_id":"globex","user_id":"erin","action":"pay"}
{"kind":"Audit","time":"2026-11-24T10:00:00Z","org_id":"initech","user_id":"erin","action":"pay"}
`
	receiver := s.Servers()[3]
	await.Nil(t, "the binding counts", func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, receiver.IngestURL()+"/ingest/records", strings.NewReader(lines))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/x-ndjson")
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && !strings.Contains(string(body), `"accepted":1`) {
			err = errors.New(string(body))
		}
		return err
	})
	await.Nil(t, "the record is found in the namespace", func(context.Context) error {
		out, _, err := s.ControlPlane().Kubectl(t.Context(), "get", "audits", "-n", "shop", "-o", "name",
			"--field-selector=action=pay,from=2026-11-01")
		if err == nil && strings.Count(out, "audit.") != 1 {
			err = errors.New(out)
		}
		return err
	})
}
