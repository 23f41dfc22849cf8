package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"auditquery.dev/auditquery/test/process"
	"auditquery.dev/auditquery/test/repository"
)

// profiledSource is added to the server where its profile is asked for. The role
// that takes records in has no address for profiles, and shall have none.
//
//go:embed profiled.go.txt
var profiledSource []byte

const profileVariable = "AUDITQUERY_BENCH_PROFILE"

// program is the server that is measured; one that can be profiled if profiles are
// asked for.
func (t *intake) program(ctx context.Context) (string, error) {
	root, err := repository.Root()
	if err != nil {
		return "", err
	}
	if t.bench.settings.profile == "" {
		return t.bench.settings.program(root)
	}
	binary := t.path("auditquery")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	t.bench.progress.step("building a server that writes profiles")
	added, overlay := t.path("profiled.go"), t.path("overlay.json")
	replaced, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(root, "cmd", "auditquery", "profiled.go"): added},
	})
	if err != nil {
		return "", err
	}
	err = errors.Join(os.MkdirAll(t.dir, 0o700), os.WriteFile(added, profiledSource, 0o600), os.WriteFile(overlay, replaced, 0o600),
		os.Setenv(profileVariable, t.path("profile")))
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-overlay="+overlay, "-o", binary, "./cmd/auditquery")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build a server that writes profiles: %w\n%s", err, output)
	}
	return binary, nil
}

// profileServer begins a profile of a server if profiles are asked for: one file a
// turn, PREFIX.NAME.NUMBER.pprof, which pprof adds up. Call done when the turn is
// over.
func (t *intake) profileServer(server *process.Process, name string) (done func() error, err error) {
	if t.bench.settings.profile == "" || server == nil {
		return func() error { return nil }, nil
	}
	written := fmt.Sprintf("%s.%d", t.path("profile"), server.PID())
	t.profiles++
	name = fmt.Sprintf("%s.%s.%d.pprof", t.bench.settings.profile, strings.ReplaceAll(name, " ", "-"), t.profiles)
	return func() error {
		if err := server.Signal(syscall.SIGUSR2); err != nil {
			return err
		}
		const patience, often = 10 * time.Second, 10 * time.Millisecond
		for deadline := time.Now().Add(patience); ; <-time.After(often) {
			data, err := os.ReadFile(written)
			if err == nil {
				return errors.Join(os.WriteFile(name, data, 0o600), os.Remove(written))
			}
			if !errors.Is(err, os.ErrNotExist) || time.Now().After(deadline) {
				return fmt.Errorf("wait for the profile of %s: %w", name, err)
			}
		}
	}, server.Signal(syscall.SIGUSR1)
}
