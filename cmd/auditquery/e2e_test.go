package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store/sqlite"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/certs"
	"auditquery.dev/auditquery/test/controlplane"
	"auditquery.dev/auditquery/test/loopback"
	"auditquery.dev/auditquery/test/process"
	"auditquery.dev/auditquery/test/repository"
)

// mainEnv makes this test binary play auditquery itself.
const mainEnv = "AUDITQUERY_TEST_MAIN"

// ownUser is whom the server of the test is to the cluster.
const ownUser = "system:serviceaccount:auditquery-system:auditquery-controller"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// stage is a real cluster whose audit webhook sends to a real server.
type stage struct {
	t      *testing.T
	root   string
	dir    string
	db     string
	health string
	cp     *controlplane.ControlPlane
	server *process.Process
	files  []string // the flags that name the receiver's files
}

func TestAllOnARealCluster(t *testing.T) {
	s := newStage(t)
	s.startServer()
	s.act()

	t.Run("who deleted deployment web in shop", func(t *testing.T) {
		s.wantRecord(t, record.KindAudit, map[string]string{
			"action": "delete", "target_resource_type": "deployments", "target_resource_name": "web", "org_id": "shop",
			"user_id": "alice", "outcome": record.OutcomeSuccess, "cluster": "local", "api_name": "apps",
		})
	})
	t.Run("who was refused", func(t *testing.T) {
		s.wantRecord(t, record.KindAudit, map[string]string{
			"action": "get", "target_resource_type": "secrets", "target_resource_name": "db", "user_id": "bob",
			"outcome": record.OutcomeDenied, "response_code": "403",
		})
	})
	t.Run("a bad token", func(t *testing.T) {
		s.wantRecord(t, record.KindAuthAudit, map[string]string{
			"event_name": record.EventAuthenticationRequest, "result": record.OutcomeDenied,
		})
	})
	t.Run("a token was made", func(t *testing.T) {
		s.wantRecord(t, record.KindAuthAudit, map[string]string{
			"event_name": record.EventToken, "result": record.OutcomeSuccess, "org_id": "shop",
		})
	})
	t.Run("an import while the server runs", func(t *testing.T) { s.importSample(t) })
	t.Run("an AuditQuery answers", func(t *testing.T) { s.wantAnswer(t) })
	t.Run("events that come while the server is away are not lost", func(t *testing.T) { s.restart(t) })
	t.Run("the server's own writes are not stored", func(t *testing.T) { s.wantNoOwnWrites(t) })
	t.Run("nothing was put into the dead letters", func(t *testing.T) {
		letters, err := deadletter.Open(deadletter.Options{Dir: filepath.Join(s.dir, "dead-letters")})
		if err == nil {
			err = letters.Each(t.Context(), func(l deadletter.Letter) error { return errors.New(l.Reason) })
		}
		if err != nil {
			t.Error(err)
		}
	})
}

func newStage(t *testing.T) *stage {
	t.Helper()
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, root: root, dir: t.TempDir()}
	s.db = filepath.Join(s.dir, "records.db")
	ports, err := loopback.Ports(2)
	if err != nil {
		t.Fatal(err)
	}
	ingestAddress := loopback.Address(ports[0])
	s.health = loopback.Address(ports[1])
	ca, err := certs.NewCA("ingest")
	if err != nil {
		t.Fatal(err)
	}
	serving, err := ca.IssueServing("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	sender, err := ca.IssueClient("local")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := serving.Write(s.dir, "ingest")
	if err != nil {
		t.Fatal(err)
	}
	caFile := filepath.Join(s.dir, "ca.crt")
	if err := os.WriteFile(caFile, ca.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.files = []string{
		"--ingest-address=" + ingestAddress, "--ingest-tls-cert-file=" + cert, "--ingest-tls-key-file=" + key,
		"--ingest-client-ca-file=" + caFile, "--spool-dir=" + filepath.Join(s.dir, "spool"), "--dead-letter-dir=" + filepath.Join(s.dir, "dead-letters"),
	}
	policy, err := os.ReadFile(filepath.Join(root, "config", "ingest", "audit-policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.cp = controlplane.StartForTest(t, controlplane.Options{Audit: &controlplane.Audit{
		Policy: policy,
		Webhook: &controlplane.Webhook{
			URL: "https://" + ingestAddress + "/ingest/kubernetes/local", CAPEM: ca.CertPEM(),
			ClientCertPEM: sender.CertPEM, ClientKeyPEM: sender.KeyPEM,
			Batch: controlplane.Batch{InitialBackoff: time.Second},
		},
	}})
	s.kubectl("apply", "-f", filepath.Join(root, "config", "crd", "bases"))
	s.kubectl("apply", "-f", filepath.Join(root, "config", "admission", "policy.yaml"))
	s.kubectl("apply", "-f", filepath.Join(root, "config", "admission", "policy_binding.yaml"))
	s.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/auditqueries.auditquery.dev", "crd/clusterauditqueries.auditquery.dev")
	return s
}

// kubectl runs kubectl as the administrator.
func (s *stage) kubectl(args ...string) string {
	s.t.Helper()
	out, _, err := s.cp.Kubectl(s.t.Context(), args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// as writes a kubeconfig of a user and returns the flag that names it.
func (s *stage) as(user string, groups ...string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, strings.ReplaceAll(user, ":", "-")+".kubeconfig")
	if err := s.cp.WriteKubeconfig(path, user, groups...); err != nil {
		s.t.Fatal(err)
	}
	return "--kubeconfig=" + path
}

func (s *stage) startServer() {
	s.t.Helper()
	server, err := process.Start(process.Spec{
		Name: "auditquery all", Path: os.Args[0], Env: append(os.Environ(), mainEnv+"=1"),
		LogPath: filepath.Join(s.dir, "auditquery.log"), Grace: time.Minute,
		Args: append([]string{
			"all", "--secure-port=0", s.as(ownUser, "system:masters"), "--sqlite-path=" + s.db, "--health-address=" + s.health,
		}, s.files...),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.server = server
	s.t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			s.t.Error(err)
		}
	})
	s.until(s.t, "the server is ready", func() error {
		if err := server.Err(); err != nil {
			s.t.Fatal(err)
		}
		res, err := http.Get("http://" + s.health + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
}

// act does what the test then asks about.
func (s *stage) act() {
	s.t.Helper()
	alice := s.as("alice", "system:masters")
	s.kubectl(alice, "create", "namespace", "shop")
	s.kubectl(alice, "create", "deployment", "web", "--image=none", "-n", "shop")
	s.kubectl(alice, "create", "secret", "generic", "db", "--from-literal=password=hunter2", "-n", "shop")
	s.kubectl(alice, "delete", "deployment", "web", "-n", "shop")
	if _, _, err := s.cp.Kubectl(s.t.Context(), s.as("bob"), "get", "secret", "db", "-n", "shop"); err == nil {
		s.t.Error("bob may read secrets")
	}
	s.until(s.t, "there is a ServiceAccount", func() error {
		_, _, err := s.cp.Kubectl(s.t.Context(), "create", "token", "default", "-n", "shop")
		return err
	})
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.cp.URL()+"/api/v1/namespaces/shop/secrets", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer of-bad-tidings")
	config := rest.AnonymousClientConfig(s.cp.RESTConfig())
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		s.t.Errorf("a bad token was answered %s", res.Status)
	}
}

// find returns the records of a kind whose fields have values, newest first.
func (s *stage) find(kind record.Kind, fields map[string]string) ([]record.Record, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	db, err := sqlite.Open(ctx, sqlite.Options{Path: s.db})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var all query.And
	for name, value := range fields {
		all = append(all, query.Equal{Field: name, Value: value})
	}
	page, err := db.List(ctx, query.Query{Kind: kind, Scope: query.All(), Limit: query.MaxLimit, Filter: all})
	if err != nil {
		return nil, err
	}
	return record.DecodeAll(kind, page.Documents)
}

func (s *stage) wantRecord(t *testing.T, kind record.Kind, fields map[string]string) {
	t.Helper()
	s.until(t, fmt.Sprintf("there is a %s with %v", kind, fields), func() error {
		found, err := s.find(kind, fields)
		if err == nil && len(found) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
}

// importSample runs a second process on the store that the server has open.
func (s *stage) importSample(t *testing.T) {
	for _, want := range []string{" 300     300          0 ", " 300       0        300 "} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "import", "--sqlite-path="+s.db,
			filepath.Join(s.root, "test", "testdata", "applications.jsonl"))
		cmd.Env = append(os.Environ(), mainEnv+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v\n%s", err, out)
		}
	}
	s.wantRecord(t, record.KindAudit, map[string]string{"source_type": record.SourceImport, "user_id": "alice"})
}

func (s *stage) wantAnswer(t *testing.T) {
	s.kubectl("apply", "-f", filepath.Join(s.root, "config", "samples", "who_deleted_web.yaml"))
	s.until(t, "the AuditQuery matched", func() error {
		_, _, err := s.cp.Kubectl(t.Context(), "wait", "--for=condition=Matched", "--timeout=5s", "-n", "shop", "auditquery/who-deleted-web")
		return err
	})
	out := s.kubectl("get", "auditquery", "who-deleted-web", "-n", "shop", "-o", "jsonpath={.status}")
	if !strings.Contains(out, "alice") {
		t.Errorf("the status: %s", out)
	}
}

// restart ends the server by SIGTERM, does something, and starts it again.
func (s *stage) restart(t *testing.T) {
	if err := s.server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.server.Err(); err == nil || !strings.Contains(err.Error(), "exit status 0") {
		t.Errorf("after SIGTERM: %v", err)
	}
	s.kubectl("create", "configmap", "made-while-away", "-n", "shop")
	s.startServer()
	s.wantRecord(t, record.KindAudit, map[string]string{"action": "create", "target_resource_name": "made-while-away"})
}

func (s *stage) wantNoOwnWrites(t *testing.T) {
	found, err := s.find(record.KindAudit, map[string]string{"user_id": ownUser, "target_resource_type": "auditqueries/status"})
	if err != nil || len(found) > 0 {
		t.Errorf("%d records, %v", len(found), err)
	}
	if found, err := s.find(record.KindAudit, map[string]string{"user_id": ownUser}); err != nil || len(found) == 0 {
		t.Errorf("its other calls are not stored either: %v", err)
	}
}

// until polls; the webhook sends once a second and the controller runs when it
// likes. A failure carries the last words of the server.
func (s *stage) until(t *testing.T, what string, ok func() error) {
	t.Helper()
	await.Nil(t, what, func(context.Context) error {
		err := ok()
		if err != nil && s.server != nil {
			err = s.server.Failure(err)
		}
		return err
	})
}
