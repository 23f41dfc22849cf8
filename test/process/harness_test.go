package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/process"
)

// start runs script in a shell and ends it with the test.
func start(t *testing.T, spec process.Spec, script string) *process.Process {
	t.Helper()
	spec.Path = "/bin/sh"
	spec.Args = []string{"-c", script}
	spec.LogPath = filepath.Join(t.TempDir(), "log")
	p, err := process.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		<-p.Exited()
	})
	return p
}

func waitForLog(t *testing.T, p *process.Process, want string) {
	t.Helper()
	await.True(t, fmt.Sprintf("the log says %q", want), func() bool {
		tail, err := process.Tail(p.LogPath())
		return err == nil && strings.Contains(tail, want)
	})
}

// childPID reads "child PID" from the log.
func childPID(t *testing.T, p *process.Process) int {
	t.Helper()
	waitForLog(t, p, "child ")
	tail, err := process.Tail(p.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(tail), "child "))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	await.True(t, fmt.Sprintf("process %d is gone", pid), func() bool { return !alive(pid) })
}

func alive(pid int) bool {
	s := state(pid)
	return s != "" && s != "Z"
}

// state is the letter from /proc, empty when there is no such process.
func state(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name before it is in parentheses and may hold anything.
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest[:1]
}
