package controlplane

import (
	"testing"
)

// StartForTest starts a control plane that ends with the test. An empty Dir
// becomes a directory of the test's own; progress goes to the test's log.
func StartForTest(t testing.TB, options Options) *ControlPlane {
	t.Helper()
	if options.Dir == "" {
		options.Dir = t.TempDir()
	}
	if options.Progress == nil {
		options.Progress = func(line string) { t.Log(line) }
	}
	cp, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	return cp
}
