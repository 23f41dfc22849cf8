package stage

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"auditquery.dev/auditquery/test/process"
)

// StartForTest starts a stage that ends with the test. An empty Dir becomes a
// directory of the test's own; progress goes to the test's log, and so does the
// end of each server's log if the test fails.
func StartForTest(t testing.TB, options Options) *Stage {
	t.Helper()
	if options.Dir == "" {
		options.Dir = t.TempDir()
	}
	if options.Progress == nil {
		options.Progress = func(line string) { t.Log(line) }
	}
	s, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			s.LogTails(t)
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// LogTails puts the end of each server's log into the test's.
func (s *Stage) LogTails(t testing.TB) {
	t.Helper()
	for _, server := range s.servers {
		tail, err := process.Tail(server.LogPath())
		if err != nil {
			t.Logf("%s: %v", server.Name(), err)
			continue
		}
		t.Logf("the log of %s ends:\n%s", server.Name(), tail)
	}
}

// Kubectl runs kubectl as the administrator, unless args say otherwise, and fails
// the test if kubectl does.
func (s *Stage) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	out, _, err := s.control.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Apply applies manifests as the administrator, and fails the test if they are
// refused.
func (s *Stage) Apply(t testing.TB, manifests string) {
	t.Helper()
	if _, _, err := s.control.KubectlInput(t.Context(), strings.NewReader(manifests), "apply", "--server-side", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// Shared is one stage for all tests of a package, started by the first that asks.
// The package's TestMain owns it:
//
//	func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }
type Shared struct {
	options Options
	prepare func(context.Context, *Options) error
	setup   func(context.Context, *Stage) error
	once    sync.Once
	stage   *Stage
	err     error
}

// NewShared starts nothing yet. Prepare may be nil, or completes the options when
// the stage is started, such as with the URL of an Elasticsearch.
func NewShared(options Options, prepare func(context.Context, *Options) error) *Shared {
	return &Shared{options: options, prepare: prepare}
}

// WithSetup has setup fill the stage once, before any test sees it.
func (s *Shared) WithSetup(setup func(context.Context, *Stage) error) *Shared {
	s.setup = setup
	return s
}

// Stage returns the shared stage and starts it if need be. Tests keep apart by the
// names of their namespaces and organisations.
func (s *Shared) Stage(t testing.TB) *Stage {
	t.Helper()
	s.once.Do(func() { s.err = s.start(t.Context()) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.stage
}

// start keeps what was started in s.stage, also when setup failed. What an error
// tells of is in the directory, so that stays.
func (s *Shared) start(ctx context.Context) error {
	var err error
	if s.options.Dir, err = os.MkdirTemp("", "auditquery-stage-"); err != nil {
		return err
	}
	if s.prepare != nil {
		if err := s.prepare(ctx, &s.options); err != nil {
			return err
		}
	}
	if s.stage, err = Start(ctx, s.options); err != nil || s.setup == nil {
		return err
	}
	if err := s.setup(ctx, s.stage); err != nil {
		return fmt.Errorf("set up the stage: %w", err)
	}
	return nil
}

// Run runs the tests of m, stops what they started, and removes its directory
// unless a test failed.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	if s.options.Dir == "" {
		return code // nobody asked for it
	}
	var err error
	if s.stage != nil {
		err = s.stage.Stop()
	}
	if err == nil && code == 0 {
		err = os.RemoveAll(s.options.Dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "the logs are in", s.options.Dir)
	}
	return code
}
