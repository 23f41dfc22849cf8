package stage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// BinaryEnv names the program to run instead of one that is built.
const BinaryEnv = "AUDITQUERY_TEST_BINARY"

// Build returns the program that BinaryEnv names, or builds it into dir.
func Build(ctx context.Context, root, dir string) (string, error) {
	if path := os.Getenv(BinaryEnv); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s: %w", BinaryEnv, err)
		}
		return filepath.Abs(path)
	}
	path := filepath.Join(dir, "auditquery")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./cmd/auditquery")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build auditquery: %w\n%s", err, output)
	}
	return path, nil
}

// Binary is the program that the servers run. It is built when it is first asked
// for, unless Options or BinaryEnv names one.
func (s *Stage) Binary(ctx context.Context) (string, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.options.Binary == "" {
		s.options.Progress("building auditquery")
		built, err := Build(ctx, s.root, s.options.Dir)
		if err != nil {
			return "", err
		}
		s.options.Binary = built
	}
	return s.options.Binary, nil
}
