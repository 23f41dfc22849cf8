package crash_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"auditquery.dev/auditquery/test/e2e/retention/trail"
	"auditquery.dev/auditquery/test/process"
)

// world is one whose erasers are children.
type world struct {
	*trail.World
	// childPlace is how they reach the store.
	childPlace trail.Place
	dir        string
}

func newWorld(t *testing.T, place, childPlace trail.Place) *world {
	t.Helper()
	return &world{World: trail.NewWorld(t, place, records), childPlace: childPlace, dir: t.TempDir()}
}

// life has a child erase until it has finished, or dies. Records arrive meanwhile.
func (w *world) life(t *testing.T, murder murderer) (finished bool) {
	t.Helper()
	done := filepath.Join(w.dir, "done")
	if err := os.Remove(done); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	child, err := w.spawn(done)
	if err != nil {
		t.Fatal(err)
	}
	over := murder(t, w.Random, child)
	stop := w.Write(t)
	<-child.Exited()
	stop()
	over()
	if _, err := os.Stat(done); err == nil {
		return true
	}
	if !killed(child) {
		t.Fatal(child.Err())
	}
	return false
}

// spawn starts an eraser.
func (w *world) spawn(done string) (*process.Process, error) {
	content, err := json.Marshal(order{Place: w.childPlace, Declared: w.Declared, Now: w.Clock.Now(), Done: done})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(w.dir, "order")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log := filepath.Join(w.dir, "log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		return nil, err
	}
	return process.Start(process.Spec{Name: "the eraser", Path: self, LogPath: log, Env: append(os.Environ(), orderEnv+"="+path)})
}

// finish runs an eraser that nobody kills and to which nothing arrives.
func (w *world) finish(t *testing.T) {
	t.Helper()
	done := filepath.Join(w.dir, "finished")
	child, err := w.spawn(done)
	if err != nil {
		t.Fatal(err)
	}
	<-child.Exited()
	if err := os.Remove(done); err != nil {
		t.Fatal(child.Err())
	}
	w.Verify(t, true)
}

// killed tells whether a child ended because somebody killed it.
func killed(child *process.Process) bool {
	var exit *exec.ExitError
	if !errors.As(child.Err(), &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
