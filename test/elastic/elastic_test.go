package elastic_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"auditquery.dev/auditquery/test/elastic"
)

// parentEnv makes this test binary play the parent of
// TestNothingOutlivesAKilledParent.
const parentEnv = "AUDITQUERY_TEST_ELASTIC_PARENT"

// shared is TestMain's; the tests borrow it.
var shared = elastic.NewShared(elastic.Options{})

func TestMain(m *testing.M) {
	if os.Getenv(parentEnv) != "" {
		os.Exit(beParent())
	}
	os.Exit(shared.Run(m))
}

// beParent runs a node until it is killed.
func beParent() int {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	c, err := elastic.Start(ctx, elastic.Options{Dir: os.Getenv(parentEnv)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(c.Nodes()[0].PID())
	select {}
}

func TestIndexAndSearch(t *testing.T) {
	c := shared.Cluster(t)
	put(t, c, "search")
	if got := count(t, c, "search"); got != 1 {
		t.Errorf("%d documents, want 1", got)
	}
	_, err := c.Do(t.Context(), http.MethodGet, "/missing/_search", nil)
	status := new(elastic.StatusError)
	if !errors.As(err, &status) || status.Status != http.StatusNotFound {
		t.Errorf("search of a missing index: %v", err)
	}
}

func TestSharedStartsOnce(t *testing.T) {
	first, second := shared.Cluster(t), shared.Cluster(t)
	if first != second {
		t.Error("two clusters")
	}
}

func TestCrashAndRestart(t *testing.T) {
	c := shared.Cluster(t)
	if len(c.Nodes()) == 0 {
		t.Skipf("the node of %s is not ours to kill", elastic.TestURLEnv)
	}
	put(t, c, "crash")
	node := c.Nodes()[0]
	before, address := members(t, node.PID()), node.URL()
	if len(before) < 2 {
		t.Fatalf("only %v in the node's process group", before)
	}
	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range before {
		waitGone(t, pid)
	}
	if node.Running() {
		t.Error("a killed node is called running")
	}
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if node.URL() != address {
		t.Errorf("the node moved from %s to %s", address, node.URL())
	}
	if got := count(t, c, "crash"); got != 1 {
		t.Errorf("%d documents after the crash, want 1", got)
	}
}

func TestPause(t *testing.T) {
	c := shared.Cluster(t)
	if len(c.Nodes()) == 0 {
		t.Skipf("the node of %s is not ours to pause", elastic.TestURLEnv)
	}
	node := c.Nodes()[0]
	if err := node.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.Do(ctx, http.MethodGet, "/_cluster/health", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused node answered: %v", err)
	}
	if err := node.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSecurity also runs a distribution that lies where only its owner can
// enter, as a repository cloned into a private directory does.
func TestSecurity(t *testing.T) {
	private := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	home, err := elastic.FindHome()
	if err != nil {
		t.Fatal(err)
	}
	hidden := filepath.Join(private, "elasticsearch")
	if output, err := exec.Command("cp", "-R", home, hidden).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	c := elastic.StartForTest(t, elastic.Options{Home: hidden, Security: true})
	put(t, c, "secret")
	put(t, c, "public")

	if got := status(t, c, "/secret/_count", ""); got != http.StatusUnauthorized {
		t.Errorf("anonymous: %d", got)
	}
	key, err := c.CreateAPIKey(t.Context(), "reader", json.RawMessage(
		`{"reader": {"indices": [{"names": ["public"], "privileges": ["read"]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := status(t, c, "/public/_count", "ApiKey "+key); got != http.StatusOK {
		t.Errorf("API key on its index: %d", got)
	}
	if got := status(t, c, "/secret/_count", "ApiKey "+key); got != http.StatusForbidden {
		t.Errorf("API key on another index: %d", got)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err == nil {
		_ = response.Body.Close()
	}
	unknown := new(x509.UnknownAuthorityError)
	if !errors.As(err, unknown) {
		t.Errorf("the system's authorities trust it: %v", err)
	}
}

// TestCluster takes one node of three away and gives it back.
func TestCluster(t *testing.T) {
	c := elastic.StartForTest(t, elastic.Options{Nodes: 3, Heap: "256m"})
	if _, err := c.Do(t.Context(), http.MethodPut, "/spread",
		[]byte(`{"settings": {"number_of_shards": 3, "number_of_replicas": 1}}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(t.Context(), http.MethodGet, "/_cluster/health?wait_for_status=green&timeout=60s", nil); err != nil {
		t.Fatal(err)
	}
	put(t, c, "spread")
	if err := c.Nodes()[0].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := count(t, c, "spread"); got != 1 {
		t.Errorf("%d documents with a node gone, want 1", got)
	}
	if err := c.Nodes()[0].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(t.Context(), http.MethodGet, "/_cluster/health?wait_for_nodes=3&timeout=60s", nil)
	if err != nil || !strings.Contains(string(answer), `"number_of_nodes":3`) {
		t.Errorf("after the restart: %s, %v", answer, err)
	}
}

func TestNothingOutlivesAKilledParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+reachableDir(t))
	parent.Stderr = os.Stderr
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var leader int
	_, scanErr := fmt.Fscan(output, &leader)
	var pids []int
	if scanErr == nil {
		pids = members(t, leader)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if len(pids) < 2 {
		t.Fatalf("the node's processes are %v: %v", pids, scanErr)
	}
	for _, pid := range pids {
		waitGone(t, pid)
	}
}

func TestStartRefusesAnUnreachableDir(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("whoever is not root runs Elasticsearch as himself")
	}
	private := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := elastic.Start(t.Context(), elastic.Options{Dir: filepath.Join(private, "state")})
	if err == nil || !strings.Contains(err.Error(), "cannot reach") {
		t.Errorf("got %v", err)
	}
}

func TestStartSaysWhyItFailed(t *testing.T) {
	_, err := elastic.Start(t.Context(), elastic.Options{
		Dir:      reachableDir(t),
		Settings: map[string]any{"no.such.setting": true},
	})
	if err == nil {
		t.Fatal("started with an unknown setting")
	}
	for _, want := range []string{"unknown setting [no.such.setting]", "node-1.log"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

// gone tells whether there is no such process; a signal of 0 is only a question.
func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
