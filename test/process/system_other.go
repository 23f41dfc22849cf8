//go:build !linux

package process

import (
	"os/exec"
	"syscall"
)

// dieWithParent does nothing: only Linux ties a child to its parent's life.
func dieWithParent(*syscall.SysProcAttr) {}

// reap returns how the child ended. What it leaves behind in its group dies
// right after it.
func (p *Process) reap(cmd *exec.Cmd) error {
	err := cmd.Wait()
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.reaped = true
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	return err
}
