package security_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/stage"
)

// namespaceWith makes a namespace in which a new account may read records, and
// returns when the namespace was made and how the account reaches the cluster.
func namespaceWith(t *testing.T, s *stage.Stage, namespace, reader string) (time.Time, *rest.Config) {
	t.Helper()
	s.Kubectl(t, "create", "namespace", namespace)
	client, err := kubernetes.NewForConfig(s.ControlPlane().RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	made, err := client.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.CreationTimestamp.Time, bindReader(t, s, reader, namespace)
}

func appendAll(t *testing.T, s *stage.Stage, records []record.Record) {
	t.Helper()
	if err := s.Append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
}

// tenant is an AuditTenant.
func tenant(name, namespace string, orgs ...string) string {
	return fmt.Sprintf("{apiVersion: auditquery.dev/v1alpha1, kind: AuditTenant, metadata: {name: %s}, spec: {namespace: %s, orgIDs: [%s]}}",
		name, namespace, strings.Join(orgs, ", "))
}

// awaitOrgs waits until lists of both APIs in a namespace show exactly the records
// of orgs.
func awaitOrgs(t *testing.T, config *rest.Config, namespace string, orgs ...string) {
	t.Helper()
	for _, path := range []string{
		in(recordsPath, namespace, "audits"), in(recordsPath, namespace, "authaudits"),
		in(restPath, namespace, "audits"), in(restPath, namespace, "auth_audits"),
	} {
		await.Nil(t, fmt.Sprintf("%s shows %v", path, orgs), func(context.Context) error {
			got := get(t, config, path)
			if err := got.is(http.StatusOK); err != nil {
				return err
			}
			if diff := cmp.Diff(slices.Clip(orgs), got.orgs(t)); diff != "" && len(orgs)+len(got.orgs(t)) > 0 {
				return fmt.Errorf("(-want +got):\n%s", diff)
			}
			return nil
		})
	}
}

func TestANamespaceNamedAfterAForeignOrganisation(t *testing.T) {
	s := shared.Stage(t)
	appendAll(t, s, imported("umbrella", time.Now()))
	_, reader := namespaceWith(t, s, "umbrella", "umbrella-reader")
	awaitOrgs(t, reader, "umbrella")
	own := get(t, s.Server().Config(reader), "/v1/audits?org_id=umbrella")
	if own.wantCode(t, http.StatusOK); len(own.orgs(t)) > 0 {
		t.Errorf("on the server's own address: %s", own.body)
	}
	ids := idsOf(t, s, "umbrella")
	get(t, reader, in(recordsPath, "umbrella", "audits/"+ids[record.KindAudit])).wantCode(t, http.StatusNotFound)
	get(t, account(t, s, clusterReader), in(recordsPath, stage.SystemNamespace, "audits/"+ids[record.KindAudit])).wantCode(t, http.StatusOK)

	appendAll(t, s, happened("umbrella", time.Now()))
	awaitOrgs(t, reader, "umbrella", "umbrella")
	if list := get(t, reader, in(recordsPath, "umbrella", "audits")).list(t); len(list.Items) != 1 || list.Items[0].ID == ids[record.KindAudit] {
		t.Errorf("beside what happened in it: %+v", list.Items)
	}
}

func TestARecreatedNamespaceDoesNotSeeItsPredecessor(t *testing.T) {
	s := shared.Stage(t)
	made, reader := namespaceWith(t, s, "phoenix", "phoenix-reader")
	for i := range 3 {
		appendAll(t, s, happened("phoenix", made.Add(time.Duration(i)*time.Millisecond)))
	}
	awaitOrgs(t, reader, "phoenix", "phoenix")
	first := get(t, reader, in(recordsPath, "phoenix", "audits")+"?limit=1")
	token, id := first.token(t), first.list(t).Items[0].ID

	s.Kubectl(t, "delete", "namespace", "phoenix", "--timeout=60s")
	await.True(t, "the second it was made in is over for long", func() bool { return time.Since(made) > 4*time.Second })
	again, reader := namespaceWith(t, s, "phoenix", "phoenix-reader")
	awaitOrgs(t, reader, "phoenix")
	get(t, reader, in(recordsPath, "phoenix", "audits/"+id)).wantCode(t, http.StatusNotFound)
	next := get(t, reader, in(recordsPath, "phoenix", "audits")+"?limit=1&continue="+token)
	if next.wantCode(t, http.StatusOK); len(next.list(t).Items) > 0 {
		t.Errorf("a token of the predecessor's list shows %s", next.body)
	}
	get(t, account(t, s, clusterReader), in(recordsPath, stage.SystemNamespace, "audits/"+id)).wantCode(t, http.StatusOK)
	appendAll(t, s, happened("phoenix", again))
	awaitOrgs(t, reader, "phoenix", "phoenix")
	if list := get(t, reader, in(recordsPath, "phoenix", "audits")).list(t); len(list.Items) != 1 || list.Items[0].ID == id {
		t.Errorf("beside its own: %+v", list.Items)
	}
	if next := get(t, reader, in(recordsPath, "phoenix", "audits")+"?limit=1&continue="+token); len(next.orgs(t)) > 0 {
		t.Errorf("a token of the predecessor's list shows %s", next.body)
	}
}

func TestTwoClustersWithEqualNamespaces(t *testing.T) {
	s := shared.Stage(t)
	_, reader := namespaceWith(t, s, "twin", "twin-reader")
	_, westerner := namespaceWith(t, s, "west-twin", "west-twin-reader")
	for _, cluster := range []string{"local", "west"} {
		send(t, s, cluster, builders.Event(func(e *auditv1.Event) {
			e.AuditID = types.UID("twin-of-" + cluster)
			e.ObjectRef.Namespace = "twin"
			e.RequestReceivedTimestamp, e.StageTimestamp = metav1.NowMicro(), metav1.NowMicro()
		}))
	}
	awaitAudits(t, reader, "twin", "twin")
	awaitAudits(t, westerner, "west-twin")
	get(t, s.Server().Config(reader), "/v1/audits?org_id=west%2Ftwin").wantCode(t, http.StatusForbidden)
	s.Apply(t, tenant("west-twin", "west-twin", "west/twin"))
	awaitAudits(t, westerner, "west-twin", "west/twin")
	awaitAudits(t, reader, "twin", "twin")
}

// awaitAudits waits until a list of audits shows exactly the records of orgs.
func awaitAudits(t *testing.T, config *rest.Config, namespace string, orgs ...string) {
	t.Helper()
	await.Nil(t, fmt.Sprintf("%s sees %v", namespace, orgs), func(context.Context) error {
		got := get(t, config, in(recordsPath, namespace, "audits"))
		if err := got.is(http.StatusOK); err != nil {
			return err
		}
		if seen := got.orgs(t); !slices.Equal(seen, orgs) {
			return fmt.Errorf("it sees %v", seen)
		}
		return nil
	})
}

// send posts an audit event to the receiver as the kube-apiserver of a cluster.
func send(t *testing.T, s *stage.Stage, cluster string, event *auditv1.Event) {
	t.Helper()
	pair, err := s.CA().IssueClient(cluster)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{
		CAData: s.CA().CertPEM(), CertData: pair.CertPEM, KeyData: pair.KeyPEM,
	}})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		s.Server().IngestURL()+"/ingest/kubernetes/"+cluster, bytes.NewReader(builders.EventList(event)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if response.Body.Close(); response.StatusCode/100 != 2 {
		t.Fatal(response.Status)
	}
}

// TestABindingThatChanges: what a list may show is decided anew on every page.
func TestABindingThatChanges(t *testing.T) {
	s := shared.Stage(t)
	_, from := namespaceWith(t, s, "leaving", "leaving-reader")
	_, to := namespaceWith(t, s, "arriving", "arriving-reader")
	s.Apply(t, tenant("moving", "leaving", "moving"))
	for i := range 3 {
		appendAll(t, s, imported("moving", time.Now().Add(-time.Duration(i)*time.Minute)))
	}
	awaitOrgs(t, from, "leaving", "moving")
	awaitOrgs(t, to, "arriving")
	records, original := in(recordsPath, "leaving", "audits")+"?limit=1", in(restPath, "leaving", "audits")+"?limit=1"
	const own = "/v1/audits?org_id=moving&limit=1"
	token, page, ownPage := get(t, from, records).token(t), get(t, from, original).token(t), get(t, s.Server().Config(from), own).token(t)
	if token == "" || page == "" || ownPage == "" {
		t.Fatalf("no tokens: %q %q %q", token, page, ownPage)
	}
	get(t, from, records+"&continue="+token).wantCode(t, http.StatusOK)

	s.Apply(t, tenant("moving", "arriving", "moving"))
	awaitOrgs(t, to, "arriving", "moving")
	awaitOrgs(t, from, "leaving")
	for _, path := range []string{records + "&continue=" + token, original + "&page_token=" + page} {
		got := get(t, from, path)
		if got.wantCode(t, http.StatusOK); len(got.orgs(t)) > 0 {
			t.Errorf("%s still shows %v", path, got.orgs(t))
		}
	}
	get(t, s.Server().Config(from), own+"&page_token="+ownPage).wantCode(t, http.StatusForbidden)
	get(t, from, in(restPath, "leaving", "audits")+"?org_id=moving").wantCode(t, http.StatusForbidden)
	// To whom the organisation came, a token of the other namespace is of no use.
	get(t, to, in(recordsPath, "arriving", "audits")+"?limit=1&continue="+token).wantCode(t, http.StatusBadRequest)

	t.Run("a permission that was taken away", func(t *testing.T) {
		path := in(restPath, "arriving", "audits") + "?limit=1"
		page := get(t, to, path).token(t)
		s.Kubectl(t, "delete", "rolebinding", "arriving-reader", "-n", "arriving")
		for what, lost := range map[string]func() answer{
			"through the kube-apiserver":    func() answer { return get(t, to, path+"&page_token="+page) },
			"on the server's own address":   func() answer { return get(t, s.Server().Config(to), own) },
			"of a record":                   func() answer { return get(t, to, in(recordsPath, "arriving", "audits")) },
			"of records on its own address": func() answer { return get(t, s.Server().Config(to), in(recordsPath, "arriving", "audits")) },
		} {
			await.Nil(t, what, func(context.Context) error { return lost().is(http.StatusForbidden) })
		}
	})
}
