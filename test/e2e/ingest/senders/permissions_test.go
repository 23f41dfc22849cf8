package senders_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/stage"
)

// Two namespaces claim an organisation each. writer may write what belongs to shop,
// reporter may send the events of the cluster east, keeper may write what nobody
// claims, and stranger may do nothing.
const furnishings = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: bank}
---
apiVersion: v1
kind: Namespace
metadata: {name: people}
---
apiVersion: auditquery.dev/v1alpha1
kind: AuditTenant
metadata: {name: shop}
spec: {namespace: shop, orgIDs: [acme]}
---
apiVersion: auditquery.dev/v1alpha1
kind: AuditTenant
metadata: {name: bank}
spec: {namespace: bank, orgIDs: [globex]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: writer, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: auditquery-writer}
subjects: [{kind: ServiceAccount, name: writer, namespace: people}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: keeper, namespace: auditquery-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: auditquery-writer}
subjects: [{kind: ServiceAccount, name: keeper, namespace: people}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reports-east}
rules: [{nonResourceURLs: [/ingest/kubernetes/east], verbs: [post]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reporter}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reports-east}
subjects: [{kind: ServiceAccount, name: reporter, namespace: people}]
`

const people = "people"

// certificateArgs say what certificates may send on the stage.
func certificateArgs() []string {
	return []string{
		"--ingest-client-clusters=forwarder=east", "--ingest-client-clusters=forwarder=west",
		"--ingest-client-orgs=billing=acme", "--ingest-client-orgs=everything=*",
	}
}

// furnish waits until the cluster goes by the bindings: the server keeps what it was
// told for some time.
func furnish(ctx context.Context, s *stage.Stage) error {
	if _, _, err := s.ControlPlane().KubectlInput(ctx, strings.NewReader(furnishings), "apply", "--server-side", "-f", "-"); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(s.ControlPlane().RESTConfig())
	if err != nil {
		return err
	}
	writes := func(namespace string) authorizationv1.SubjectAccessReviewSpec {
		return authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: "create", Group: "rest.auditquery.dev", Resource: "audits", Namespace: namespace,
		}}
	}
	for account, spec := range map[string]authorizationv1.SubjectAccessReviewSpec{
		"writer": writes("shop"), "keeper": writes(stage.SystemNamespace),
		"reporter": {NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: "post", Path: kubernetesPath("east")}},
	} {
		spec.User = "system:serviceaccount:" + people + ":" + account
		review := &authorizationv1.SubjectAccessReview{Spec: spec}
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			got, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			return err == nil && got.Status.Allowed, err
		})
		if err != nil {
			return fmt.Errorf("wait until the binding of %s is known: %w", account, err)
		}
	}
	return nil
}

// stageDoor is the stage's receiver for a certificate, empty for none, and an account
// of the namespace people, empty for none.
func stageDoor(t *testing.T, s *stage.Stage, commonName, account string) door {
	t.Helper()
	config := &rest.Config{TLSClientConfig: rest.TLSClientConfig{CAData: s.CA().CertPEM()}}
	if commonName != "" {
		pair, err := s.CA().IssueClient(commonName)
		if err != nil {
			t.Fatal(err)
		}
		config.CertData, config.KeyData = pair.CertPEM, pair.KeyPEM
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	d := door{url: s.Server().IngestURL(), client: client}
	if account != "" {
		token, err := s.TokenConfig(t.Context(), people, account)
		if err != nil {
			t.Fatal(err)
		}
		d.token = token.BearerToken
	}
	return d
}

// TestNobodyWritesWhatIsAnothers: each attempt stores what its sender may send, and
// nothing else of it.
func TestNobodyWritesWhatIsAnothers(t *testing.T) {
	s := theStage(t)
	await.Nil(t, "the server knows who claims what", func(context.Context) error {
		var answer recordsAnswer
		a := stageDoor(t, s, "", "writer").post(t, recordsPath, typeLines, lines(t, thing{name: "first", org: "acme"}.audit()))
		if a.status != http.StatusOK {
			return fmt.Errorf("%s", a)
		}
		if a.into(t, &answer); answer.Accepted != 1 {
			return fmt.Errorf("%s", a)
		}
		return nil
	})
	all := attempts(t, s)
	for name, test := range all {
		t.Run(name, func(t *testing.T) {
			d := stageDoor(t, s, test.certificate, test.account)
			if test.token != "" {
				d.token = test.token
			}
			contentType, body := test.body(t)
			a := d.post(t, test.path, contentType, body).want(t, test.want)
			if test.want/100 == 2 {
				test.wantAnswer(t, a)
			}
		})
	}
	drainedAt(t, s.Server().MetricsURL(), stagePrefix)
	stored := namesOf(t, openStore(t, stagePrefix), "may-")
	for name, test := range all {
		found := map[string]int{}
		for sent := range test.sent {
			if stored[sent] > 0 {
				found[sent] = stored[sent]
			}
		}
		if diff := cmp.Diff(once(test.wantStored...), found); diff != "" {
			t.Errorf("%s: stored (-want +got):\n%s", name, diff)
		}
	}
}

// TestTheClusterCannotBeAsked: while nobody can say whose a token is, its owner is told
// to come again, and certificates, which need no cluster, are as good as ever.
func TestTheClusterCannotBeAsked(t *testing.T) {
	s := theStage(t)
	fresh, certificate := stageDoor(t, s, "", "writer"), stageDoor(t, s, "east", "")
	apiserver := s.ControlPlane().APIServer()
	if err := apiserver.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := apiserver.Signal(syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	})
	await.Nil(t, "no thread of the API server runs any more", func(context.Context) error { return paused(apiserver.PID()) })
	for path, body := range map[string][]byte{
		recordsPath: lines(t, thing{name: "paused-1", org: "acme"}.audit()),
		bulkPath:    bulk(t, thing{name: "paused-2", org: "acme"}.bulkEvent()),
	} {
		contentType := typeJSON
		if path == recordsPath {
			contentType = typeLines
		}
		if a := fresh.post(t, path, contentType, body).want(t, http.StatusServiceUnavailable); a.retryAfter == "" {
			t.Errorf("%s: no Retry-After: %s", path, a)
		}
	}
	certificate.post(t, kubernetesPath("east"), typeJSON, builders.EventList(thing{name: "paused-3", org: "shop"}.event())).want(t, http.StatusOK)
	if err := apiserver.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await.Nil(t, "the token is good again", func(context.Context) error {
		a := fresh.post(t, recordsPath, typeLines, lines(t, thing{name: "paused-4", org: "acme"}.audit()))
		if a.status != http.StatusOK {
			return fmt.Errorf("%s", a)
		}
		return nil
	})
	drainedAt(t, s.Server().MetricsURL(), stagePrefix)
	stored := namesOf(t, openStore(t, stagePrefix), "paused-")
	if stored["paused-1"]+stored["paused-2"] > 0 || stored["paused-3"] != 1 || stored["paused-4"] < 1 {
		t.Errorf("stored: %v", stored)
	}
}

// paused returns an error while a thread of a process can still run: to send the
// signal is not to have stopped it.
func paused(pid int) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err == nil && len(threads) == 0 {
		err = fmt.Errorf("process %d has no threads", pid)
	}
	if err != nil {
		return err
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		// PID (NAME) STATE …, and the name can hold anything.
		if state := stat[bytes.LastIndexByte(stat, ')')+1:]; !bytes.HasPrefix(state, []byte(" T")) {
			return fmt.Errorf("%s: %.2s", path, state)
		}
	}
	return nil
}
