// Package process runs the servers of tests and demos as supervised children:
// each has a log file and a process group of its own, none outlives its parent,
// and every failure carries the last lines that the child wrote.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// defaultGrace is how long Stop waits after SIGTERM when Spec names no time.
const defaultGrace = 10 * time.Second

// Spec says what to run. Name and LogPath are required besides Path.
type Spec struct {
	// Name is what errors call the child.
	Name string
	// Path of the program; no PATH lookup is made.
	Path string
	// Args without the program's name.
	Args []string
	// Env is the whole environment; nil means the parent's.
	Env []string
	// Dir is the working directory; empty means the parent's.
	Dir string
	// LogPath receives both outputs, appended.
	LogPath string
	// Credential is who the child runs as; nil means the parent's user. Only
	// root can name another.
	Credential *Credential
	// Grace is how long Stop waits between SIGTERM and SIGKILL; 0 means 10 s.
	Grace time.Duration
}

// Credential is an unprivileged identity, without supplementary groups.
type Credential struct {
	UID uint32
	GID uint32
}

// Process is one started child. Its methods may be called from any goroutine.
type Process struct {
	spec   Spec
	pid    int
	exited chan struct{}

	// mutex keeps signals and reaping apart: once a child is reaped its id may
	// belong to somebody else.
	mutex  sync.Mutex
	reaped bool
	err    error
}

// Start starts the child and returns once it runs (or cannot).
func Start(spec Spec) (*Process, error) {
	if spec.Grace <= 0 {
		spec.Grace = defaultGrace
	}
	log, err := os.OpenFile(spec.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: open its log: %w", spec.Name, err)
	}
	// The child has a descriptor of its own.
	defer log.Close()

	p := &Process{spec: spec, exited: make(chan struct{})}
	started := make(chan error, 1)
	go p.supervise(command(spec, log), started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	return p, nil
}

func command(spec Spec, log *os.File) *exec.Cmd {
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env = spec.Env
	cmd.Dir = spec.Dir
	cmd.Stdout = log
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if spec.Credential != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: spec.Credential.UID, Gid: spec.Credential.GID}
	}
	dieWithParent(cmd.SysProcAttr)
	return cmd
}

// supervise owns the child from birth to reaping. The kernel sends the parent
// death signal when the thread that forked ends, not the process, so this
// goroutine keeps its thread for as long as the child lives.
func (p *Process) supervise(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil

	err := p.describe(p.reap(cmd))
	p.mutex.Lock()
	p.err = err
	p.mutex.Unlock()
	close(p.exited)
}

// PID is the child's process id, which is also its group's.
func (p *Process) PID() int { return p.pid }

// LogPath is the file that both outputs go to.
func (p *Process) LogPath() string { return p.spec.LogPath }

// Exited is closed when the child has ended, whatever the reason.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err says how the child ended, with its last words. It is nil while the child
// runs; afterwards it never is, for a server is not expected to end by itself.
func (p *Process) Err() error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.err
}

func (p *Process) describe(waitErr error) error {
	if waitErr == nil {
		waitErr = errors.New("exit status 0")
	}
	return p.Failure(fmt.Errorf("%s ended: %w", p.spec.Name, waitErr))
}

// Failure adds to cause where the child's log is and how it ends.
func (p *Process) Failure(cause error) error {
	tail, err := Tail(p.spec.LogPath)
	if err != nil {
		return fmt.Errorf("%w (log: %s, unreadable: %w)", cause, p.spec.LogPath, err)
	}
	if tail == "" {
		return fmt.Errorf("%w (log: %s, empty)", cause, p.spec.LogPath)
	}
	return fmt.Errorf("%w (log: %s)\n%s", cause, p.spec.LogPath, tail)
}

// Signal sends sig to the child and to all of its group: launchers have
// children that must stop and continue with them. It does nothing once the
// child has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	return p.deliver(-p.pid, sig)
}

// Kill ends the child and its group at once. It does not wait: see Exited.
func (p *Process) Kill() error {
	return p.deliver(-p.pid, syscall.SIGKILL)
}

// Stop asks the child to end, forces it when the grace or ctx is over, and
// returns once it is gone. A child that needed force is an error.
func (p *Process) Stop(ctx context.Context) error {
	// Only the leader: a launcher passes the request on in its own way.
	if err := p.deliver(p.pid, syscall.SIGTERM); err != nil {
		return err
	}
	// A paused child could not even receive the request.
	if err := p.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	grace := time.NewTimer(p.spec.Grace)
	defer grace.Stop()
	var cause error
	select {
	case <-p.exited:
		return nil
	case <-grace.C:
		cause = fmt.Errorf("%s did not stop within %s and was killed", p.spec.Name, p.spec.Grace)
	case <-ctx.Done():
		cause = fmt.Errorf("%s was killed: %w", p.spec.Name, ctx.Err())
	}
	if err := p.Kill(); err != nil {
		return errors.Join(cause, err)
	}
	<-p.exited
	return p.Failure(cause)
}

func (p *Process) deliver(target int, sig syscall.Signal) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.reaped {
		return nil
	}
	if err := syscall.Kill(target, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to %s (%d): %w", sig, p.spec.Name, p.pid, err)
	}
	return nil
}
