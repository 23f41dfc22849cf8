package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/process"
)

// parentEnv makes this test binary play the parent of
// TestNothingOutlivesAKilledParent.
const parentEnv = "AUDITQUERY_TEST_PROCESS_PARENT_LOG"

func TestMain(m *testing.M) {
	if log := os.Getenv(parentEnv); log != "" {
		os.Exit(beParent(log))
	}
	os.Exit(m.Run())
}

// beParent starts a child, names it on standard output and waits to be killed.
func beParent(log string) int {
	p, err := process.Start(process.Spec{
		Name: "child", Path: "/bin/sh", Args: []string{"-c", "exec sleep 600"}, LogPath: log,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(p.PID())
	<-p.Exited()
	return 0
}

func TestStop(t *testing.T) {
	tests := map[string]struct {
		script    string
		grace     time.Duration
		wantError string
	}{
		"obeys SIGTERM":            {script: "echo up; exec sleep 600", grace: time.Minute},
		"cleans up in its own way": {script: "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done", grace: time.Minute},
		"ignores SIGTERM": {
			script: "trap '' TERM; echo up; while :; do sleep 0.05; done", grace: 200 * time.Millisecond,
			wantError: "stubborn did not stop within 200ms and was killed",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := start(t, process.Spec{Name: "stubborn", Grace: test.grace}, test.script)
			waitForLog(t, p, "up")
			err := p.Stop(t.Context())
			if test.wantError == "" && err != nil {
				t.Errorf("Stop: %v", err)
			}
			if test.wantError != "" && (err == nil || !strings.Contains(err.Error(), test.wantError)) {
				t.Errorf("Stop: got %v, want %q", err, test.wantError)
			}
			if alive(p.PID()) {
				t.Error("the child is still there")
			}
		})
	}
}

func TestStopForcesWhenTheContextEnds(t *testing.T) {
	p := start(t, process.Spec{Name: "stubborn", Grace: time.Minute},
		"trap '' TERM; echo up; while :; do sleep 0.05; done")
	waitForLog(t, p, "up")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: got %v, want the context's error", err)
	}
	if alive(p.PID()) {
		t.Error("the child is still there")
	}
}

func TestErrorsCarryTheLog(t *testing.T) {
	p := start(t, process.Spec{Name: "server"}, "seq 1 3000; echo 'cannot bind' >&2; exit 7")
	err := p.WaitUntil(t.Context(), "it serves", func(context.Context) error { return errors.New("refused") })
	if err == nil {
		t.Fatal("WaitUntil waited for a dead server without an error")
	}
	for _, want := range []string{"wait until it serves", "exit status 7", p.LogPath(), "3000\ncannot bind"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if lines := strings.Count(err.Error(), "\n"); lines > 20 {
		t.Errorf("%d lines of log in the error", lines)
	}
}

func TestWaitUntilSaysWhatWasMissing(t *testing.T) {
	p := start(t, process.Spec{Name: "server"}, "exec sleep 600")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := p.WaitUntil(ctx, "it serves", func(context.Context) error { return errors.New("no shards") })
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no shards") {
		t.Errorf("got %v", err)
	}
}

// TestTheGroupGoesWithItsLeader has a launcher be killed that has a child.
func TestTheGroupGoesWithItsLeader(t *testing.T) {
	p := start(t, process.Spec{Name: "launcher"}, "sleep 600 & echo child $!; wait")
	child := childPID(t, p)
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
	waitGone(t, child)
}

func TestSignalReachesTheGroup(t *testing.T) {
	p := start(t, process.Spec{Name: "launcher"}, "sleep 600 & echo child $!; wait")
	child := childPID(t, p)
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the child is stopped", func() bool { return state(child) == "T" })
	if err := p.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the child goes on", func() bool { return state(child) == "S" })
}

func TestSignalsAfterTheEndAreHarmless(t *testing.T) {
	p := start(t, process.Spec{Name: "server"}, "exit 0")
	<-p.Exited()
	if err := errors.Join(p.Kill(), p.Signal(syscall.SIGCONT), p.Stop(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestStartSaysWhatFailed(t *testing.T) {
	_, err := process.Start(process.Spec{
		Name: "server", Path: "/does/not/exist", LogPath: filepath.Join(t.TempDir(), "log"),
	})
	if err == nil || !strings.Contains(err.Error(), "start server") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestCredential(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a child as somebody else")
	}
	p := start(t, process.Spec{Name: "server", Credential: &process.Credential{UID: 65534, GID: 65533}},
		"id -u; id -g; id -G")
	<-p.Exited()
	if got, err := process.Tail(p.LogPath()); err != nil || got != "65534\n65533\n65533" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNothingOutlivesAKilledParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+filepath.Join(t.TempDir(), "log"))
	parent.Stderr = os.Stderr
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("the parent named no child: %v", err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if !alive(child) {
		t.Fatal("the child does not run")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	waitGone(t, child)
}
