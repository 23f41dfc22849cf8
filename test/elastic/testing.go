package elastic

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"

	"auditquery.dev/auditquery/test/process"
)

// TestURLEnv names an Elasticsearch that Shared uses instead of starting one.
const TestURLEnv = "AUDITQUERY_TEST_ELASTICSEARCH_URL"

// StartForTest starts Elasticsearch and ends it with the test. Progress goes to
// the test's log, and so does the end of each node's log if the test fails.
func StartForTest(t testing.TB, options Options) *Cluster {
	t.Helper()
	if options.Progress == nil {
		options.Progress = func(line string) { t.Log(line) }
	}
	c, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logTails(t, c)
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func logTails(t testing.TB, c *Cluster) {
	t.Helper()
	for _, node := range c.Nodes() {
		tail, err := process.Tail(node.LogPath())
		if err != nil {
			t.Logf("%s: %v", node.Name(), err)
			continue
		}
		t.Logf("the log of %s ends:\n%s", node.Name(), tail)
	}
}

// Shared is one Elasticsearch for all tests of a package, started by the first
// that asks. The package's TestMain owns it:
//
//	func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }
type Shared struct {
	options Options
	once    sync.Once
	cluster *Cluster
	err     error
}

// NewShared starts nothing yet.
func NewShared(options Options) *Shared {
	return &Shared{options: options}
}

// Cluster returns the shared Elasticsearch and starts it if need be. Tests keep
// apart by the names of their indices.
func (s *Shared) Cluster(t testing.TB) *Cluster {
	t.Helper()
	s.once.Do(func() { s.cluster, s.err = s.open(t.Context()) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.cluster
}

func (s *Shared) open(ctx context.Context) (*Cluster, error) {
	address := os.Getenv(TestURLEnv)
	if address == "" {
		return Start(ctx, s.options)
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" {
		return nil, fmt.Errorf("%s=%q is no URL", TestURLEnv, address)
	}
	return &Cluster{external: address, client: newClient(nil)}, nil
}

// Run runs the tests of m and stops what they started.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	if s.cluster == nil {
		return code
	}
	if err := s.cluster.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}
