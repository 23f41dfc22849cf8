// Package rules_test holds the servers to the rules of an aggregated API: what
// they may never do to the cluster, and what an answer may never be. Everything
// is real: kube-apiserver and kube-controller-manager, an Elasticsearch behind a
// proxy that can break it, and two servers behind a balancer.
package rules_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/balancer"
	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/faults"
	"auditquery.dev/auditquery/test/loopback"
	"auditquery.dev/auditquery/test/stage"
)

// shared is the world of all tests, started by the first that asks.
var shared world

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.stop(code == 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Times that the servers of the world are given: short, so that tests that wait
// for them are, and so far apart that a slow machine does not mix them up.
const (
	storeTimeout   = "5s"
	requestTimeout = "30s"
	shutdownDelay  = "3s"
)

// replicas is how many servers are behind the balancer.
const replicas = 2

// world is what the tests share. Those that change how it works change it back.
type world struct {
	once sync.Once
	err  error

	*stage.Stage
	dir      string
	elastic  *elastic.Cluster
	proxy    *faults.Proxy
	balancer *balancer.Balancer
	// before is what the cluster said of itself before it knew our API.
	before snapshot
}

// theWorld returns the shared world.
func theWorld(t *testing.T) *world {
	t.Helper()
	shared.once.Do(func() { shared.err = shared.start(t) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			shared.LogTails(t)
		}
	})
	return &shared
}

func (w *world) start(t *testing.T) error {
	ctx := t.Context()
	var err error
	if w.dir, err = os.MkdirTemp("", "auditquery-rules-"); err != nil {
		return err
	}
	if w.elastic, err = elastic.Start(ctx, elastic.Options{}); err != nil {
		return err
	}
	if w.proxy, err = faults.Start(w.elastic.URL()); err != nil {
		return err
	}
	replica := stage.ServerOptions{
		Role: stage.RoleAPIServer, ElasticsearchURL: w.proxy.URL(),
		Args: []string{"--store-timeout=" + storeTimeout, "--request-timeout=" + requestTimeout, "--shutdown-delay-duration=" + shutdownDelay},
	}
	w.Stage, err = stage.New(stage.Options{
		Dir: filepath.Join(w.dir, "stage"), ElasticsearchURL: w.elastic.URL(),
		Servers: []stage.ServerOptions{replica, replica},
	})
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{w.StartControlPlane, w.Install, w.fill, w.StartServers} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	w.before = w.snapshot(t)
	return w.connect(t)
}

func (w *world) fill(ctx context.Context) error { return fill(ctx, w.Stage) }

// connect has the kube-apiserver find both servers behind the balancer.
func (w *world) connect(t *testing.T) error {
	var addresses []string
	for _, server := range w.Servers()[:replicas] {
		addresses = append(addresses, loopback.Address(server.Port()))
	}
	var err error
	if w.balancer, err = balancer.Start(addresses...); err != nil {
		return err
	}
	await.True(t, "both servers are ready", func() bool { return w.balancer.Ready() == len(addresses) })
	return w.Register(t.Context(), stage.Registration{Port: w.balancer.Port()})
}

// stop ends what was started and removes its files, unless they may tell why a
// test failed.
func (w *world) stop(clean bool) error {
	var failures []error
	if w.balancer != nil {
		failures = append(failures, w.balancer.Close())
	}
	if w.Stage != nil {
		failures = append(failures, w.Stop())
	}
	if w.proxy != nil {
		failures = append(failures, w.proxy.Close())
	}
	if w.elastic != nil {
		failures = append(failures, w.elastic.Stop())
	}
	if err := errors.Join(failures...); err != nil || !clean {
		fmt.Fprintln(os.Stderr, "the logs are in", w.dir)
		return err
	}
	return os.RemoveAll(w.dir)
}

// breakStore has the proxy break what passes, until the test ends.
func (w *world) breakStore(t *testing.T, f faults.Fault) {
	t.Helper()
	if err := w.proxy.Set(f); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.mendStore(t) })
}

func (w *world) mendStore(t *testing.T) {
	t.Helper()
	if err := w.proxy.Set(faults.Fault{}); err != nil {
		t.Fatal(err)
	}
}

// reader is how an account of its own, which may read all records, reaches the
// kube-apiserver. It has a token: a server that has just started may not know yet
// by which authority clients show certificates.
func (w *world) reader(t *testing.T, name string) *rest.Config {
	t.Helper()
	return readerOf(t, w.Stage, name)
}

func readerOf(t *testing.T, s *stage.Stage, name string) *rest.Config {
	t.Helper()
	config, err := s.TokenConfig(t.Context(), smallOrg, name)
	if err != nil {
		t.Fatal(err)
	}
	s.Apply(t, fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: rules-%s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: auditquery-reader}
subjects: [{kind: ServiceAccount, name: %s, namespace: %s}]
`, name, name, smallOrg))
	return config
}

// lines splits what kubectl prints.
func lines(out string) []string { return strings.Split(strings.TrimSpace(out), "\n") }
