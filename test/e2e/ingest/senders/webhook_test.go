package senders_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/receiver"
	"auditquery.dev/auditquery/test/stage"
)

const (
	// objectWorkers create objects at once, as many as a busy cluster has clients.
	objectWorkers = 8
	objectsIn     = "many"
)

// objects is how many are created, and how often the receiver is killed meanwhile.
func objects() (count, kills int) {
	if soak() {
		return 20_000, 4
	}
	return 2000, 1
}

// soak tells whether tests are to take their time.
func soak() bool { return os.Getenv("AUDITQUERY_SOAK") != "" }

// TestTheKubeAPIServersOwnLog has a real kube-apiserver send its audit events while
// thousands of objects are created, and compares what is stored with the log file that
// it writes of the same events. In the middle of it the receiver is killed.
func TestTheKubeAPIServersOwnLog(t *testing.T) {
	s := theStage(t)
	begin := time.Now()
	t.Cleanup(func() { tellWhoLost(t, s) })
	client, err := kubernetes.NewForConfig(s.ControlPlane().RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	s.Kubectl(t, "create", "namespace", objectsIn)
	var created atomic.Int64
	done := make(chan error, 1)
	count, kills := objects()
	go func() { done <- createObjects(t.Context(), client, count, &created) }()
	for kill := range kills {
		await.True(t, "more of the objects are there", func() bool { return int(created.Load()) > count*(kill+1)/(kills+2) })
		killAndStart(t, s.Server())
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	oddRequests(t, s)
	ownRequests(t, s)

	reader := openStore(t, stagePrefix)
	wanted := awaitLogged(t, s, reader, begin)
	stored := storedSince(t, reader, begin)
	altered := 0
	for id, want := range wanted {
		if diff := difference(want, stored[id]); diff != "" {
			if altered++; altered <= 5 {
				t.Errorf("(-in the log +stored):\n%s", diff)
			}
		}
	}
	logged, own := logOf(t, s)
	for id, r := range stored {
		if logged[id] == nil {
			t.Errorf("nothing in the log gives the stored record %s: %+v", id, r)
		}
	}
	made := audits(t, reader, query.And{
		query.Equal{Field: "action", Value: "create"}, query.Equal{Field: "target_resource_type", Value: "configmaps"},
		query.Equal{Field: "org_id", Value: objectsIn}, query.Prefix{Field: "target_resource_name", Value: "object-"},
	})
	if len(made) != count {
		t.Errorf("of %d creations %d are stored", count, len(made))
	}
	if counted := drainedAt(t, s.Server().MetricsURL(), stagePrefix); counted.DeadLettered != 0 {
		t.Errorf("dead letters: %v", counted.DeadLetters)
	}
	kinds := map[record.Kind]int{}
	for _, r := range wanted {
		kinds[r.Kind()]++
	}
	if kinds[record.KindAuthAudit] < 2 || own == 0 {
		t.Errorf("the log gives %v and %d events of the server's own: the odd requests are not in it", kinds, own)
	}
	t.Logf("the log gives %v since the test began, %d records in all, and %d events that are left out", kinds, len(logged), own)
}

// tellWhoLost says, when the test failed, what sender and receiver count: a kube-apiserver
// gives a batch up after five tries.
func tellWhoLost(t *testing.T, s *stage.Stage) {
	t.Helper()
	if !t.Failed() {
		return
	}
	ctx := context.Background() // the test's own is over
	counted, err := receiver.ReadMetrics(ctx, s.Server().MetricsURL())
	t.Logf("the server counts %+v (%v)", counted, err)
	out, _, err := s.ControlPlane().Kubectl(ctx, "get", "--raw", "/metrics")
	if err != nil {
		t.Log(err)
		return
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "apiserver_audit_error_total") || strings.HasPrefix(line, "apiserver_audit_event_total") {
			t.Logf("the kube-apiserver counts %s", line)
		}
	}
}

// createObjects creates ConfigMaps, and tells how many there are.
func createObjects(ctx context.Context, client kubernetes.Interface, count int, created *atomic.Int64) error {
	group, ctx := errgroup.WithContext(ctx)
	for worker := range objectWorkers {
		group.Go(func() error {
			for n := worker; n < count; n += objectWorkers {
				object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("object-%05d", n)}, Data: map[string]string{"n": fmt.Sprint(n)}}
				if _, err := client.CoreV1().ConfigMaps(objectsIn).Create(ctx, object, metav1.CreateOptions{}); err != nil {
					return err
				}
				created.Add(1)
			}
			return nil
		})
	}
	return group.Wait()
}

// killAndStart kills a server, and starts it again at once.
func killAndStart(t *testing.T, server *stage.Server) {
	t.Helper()
	if err := server.Process().Kill(); err != nil {
		t.Fatal(err)
	}
	<-server.Process().Exited()
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// oddRequests are some that end in other ways than a creation does.
func oddRequests(t *testing.T, s *stage.Stage) {
	t.Helper()
	token, err := s.TokenConfig(t.Context(), objectsIn, "stranger") // makes an AuthAudit
	if err != nil {
		t.Fatal(err)
	}
	forged := rest.CopyConfig(token)
	forged.BearerToken = "not-a-token"
	for name, config := range map[string]*rest.Config{
		"a stranger": token, "a forged token": forged, "nobody": s.AnonymousConfig(),
	} {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().ConfigMaps(objectsIn).List(t.Context(), metav1.ListOptions{}); err == nil {
			t.Errorf("%s may list ConfigMaps", name)
		}
	}
	for _, args := range [][]string{
		{"delete", "configmap", "object-00000", "object-00001", "-n", objectsIn},
		{"patch", "configmap", "object-00002", "-n", objectsIn, "--type=merge", `-p={"data":{"n":"ä \u0000 \"quoted\""}}`},
		{"label", "configmap", "object-00003", "-n", objectsIn, "a=b", "--dry-run=server"},
		{"get", "configmaps", "-n", objectsIn, "-l", "a in (b, c)", "--chunk-size=100", "-o", "name"},
		{"get", "--raw", "/api/v1/namespaces/" + objectsIn + "/configmaps?labelSelector=token%3Dsecret&limit=1"},
		{"get", "configmaps", "-n", objectsIn, "--as=system:serviceaccount:" + objectsIn + ":stranger"},
		{"get", "configmap", "absent", "-n", objectsIn},
		{"exec", "-n", objectsIn, "absent", "--", "ls"},
	} {
		// Some of them are refused, and meant to be.
		if _, _, err := s.ControlPlane().Kubectl(t.Context(), args...); err != nil {
			t.Logf("kubectl %s: refused", args[0])
		}
	}
}

// ownRequests has the server do what it does of itself, which is left out: write the
// status of a query, and ask whose a token is.
func ownRequests(t *testing.T, s *stage.Stage) {
	t.Helper()
	s.Apply(t, `{"apiVersion":"auditquery.dev/v1alpha1","kind":"AuditQuery","metadata":{"name":"latest","namespace":"`+objectsIn+`"},
		"spec":{"audits":{"action":"create"}}}`)
	s.Kubectl(t, "wait", "--for=condition=Ready", "--timeout=60s", "auditquery/latest", "-n", objectsIn)
	stageDoor(t, s, "", "somebody").post(t, recordsPath, typeLines, lines(t, thing{name: "unwanted"}.audit())).want(t, http.StatusForbidden)
}

// eventOptions are those that the server goes by.
func eventOptions(s *stage.Stage) record.KubernetesOptions {
	return record.KubernetesOptions{Cluster: s.Cluster(), OwnCluster: s.Cluster(), OwnUsernames: []string{ownAccount}}
}

// logOf returns what the kube-apiserver's log file gives by now, and how many of its
// events are left out as the server's own. A last line without its end is still being
// written.
func logOf(t *testing.T, s *stage.Stage) (wanted map[record.ID]record.Record, own int) {
	t.Helper()
	file, err := os.Open(filepath.Join(s.Dir(), logFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	wanted = map[record.ID]record.Record{}
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return wanted, own
		}
		if err != nil {
			t.Fatal(err)
		}
		event, err := record.DecodeEvent(bytes.TrimSpace(line), record.DecodeLimits{})
		if err != nil {
			t.Fatal(err)
		}
		records, skip, err := record.KubernetesRecords(event, eventOptions(s))
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if skip == record.SkipOwn {
			own++
		}
		for _, r := range records {
			if wanted[r.Base().ID] != nil {
				t.Errorf("the log gives the record %s twice", r.Base().ID)
			}
			wanted[r.Base().ID] = r
		}
	}
}

// awaitLogged waits until the store has what the log gives since a time, and returns
// it.
func awaitLogged(t *testing.T, s *stage.Stage, reader store.Reader, begin time.Time) map[record.ID]record.Record {
	t.Helper()
	wanted, _ := logOf(t, s)
	for id, r := range wanted {
		if r.Base().Time < record.At(begin) {
			delete(wanted, id)
		}
	}
	missing := wanted
	await.Nil(t, "all that is in the log is stored", func(context.Context) error {
		refresh(t, stagePrefix)
		stored, still := storedSince(t, reader, begin), map[record.ID]record.Record{}
		for id, r := range missing {
			if stored[id] == nil {
				still[id] = r
			}
		}
		missing = still
		for id, r := range missing {
			return fmt.Errorf("%d of %d records are missing, such as %s: %+v", len(missing), len(wanted), id, r)
		}
		return nil
	})
	return wanted
}

// storedSince is what the store has of Kubernetes since a time.
func storedSince(t *testing.T, reader store.Reader, begin time.Time) map[record.ID]record.Record {
	t.Helper()
	stored := map[record.ID]record.Record{}
	for _, kind := range record.Kinds() {
		for _, r := range read(t, reader, kind, query.Equal{Field: "source_type", Value: record.SourceKubernetes}, begin) {
			stored[r.Base().ID] = r
		}
	}
	return stored
}

// difference says in which fields a stored record differs from what the log gives.
func difference(want, got record.Record) string {
	ingested := got.Base().IngestTime
	record.Normalize(want, ingested.Time())
	if want.Base().IngestTime != ingested || ingested < got.Base().Time {
		return fmt.Sprintf("the time of ingest is %s, that of the event %s", ingested, got.Base().Time)
	}
	if bytes.Equal(record.AppendDocument(nil, want), record.AppendDocument(nil, got)) {
		return ""
	}
	var diff strings.Builder
	diff.WriteString(cmp.Diff(want, got))
	if diff.Len() == 0 {
		diff.WriteString(cmp.Diff(string(record.AppendDocument(nil, want)), string(record.AppendDocument(nil, got))))
	}
	return diff.String()
}
