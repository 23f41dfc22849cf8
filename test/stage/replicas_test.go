package stage_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/stage"
)

func TestReplicasOnElasticsearch(t *testing.T) {
	store := elastic.StartForTest(t, elastic.Options{})
	s := stage.StartForTest(t, stage.Options{
		ElasticsearchURL: store.URL(), IndexPrefix: "stage",
		Servers: []stage.ServerOptions{{Role: stage.RoleController}, {Role: stage.RoleAPIServer}, {Role: stage.RoleAPIServer}},
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
}
