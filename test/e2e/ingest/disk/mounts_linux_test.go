package disk_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/stage"
)

// ownMountsEnv is set in a process whose mounts nobody else sees.
const ownMountsEnv = "AUDITQUERY_TEST_OWN_MOUNTS"

// inOwnMounts runs the calling test once more in a process that may mount, and
// whose mounts end with it, however it ends. It is true there, and false in the
// process that asked, once the other has passed: it fails the test otherwise.
//
// Root needs mounts of its own for that; others become root of a user namespace
// too. Where neither is allowed the test fails: a full disk is not to be left
// untested unseen.
func inOwnMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownMountsEnv) != "" {
		// What is mounted here must not be mounted where this came from.
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	// The store must be started outside: in a user namespace there is nobody else
	// that it could run as.
	address := server.Cluster(t).URL()
	var denied error
	for _, flags := range []uintptr{syscall.CLONE_NEWNS, syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER} {
		err := again(t, flags, elastic.TestURLEnv+"="+address, stage.BinaryEnv+"="+program.get(t), ownMountsEnv+"=1")
		if err == nil {
			return false
		}
		if !errors.Is(err, syscall.EPERM) {
			t.Fatal(err)
		}
		denied = err
	}
	t.Fatalf("neither mounts nor a user namespace of its own: %v; run the test as root, or allow unprivileged user namespaces", denied)
	return false
}

// again runs the test in a process with new namespaces. EPERM means that it was
// not started.
func again(t *testing.T, flags uintptr, env ...string) error {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"-test.v", "-test.run=^" + t.Name() + "$"}
	if deadline, ok := t.Deadline(); ok {
		args = append(args, "-test.timeout="+time.Until(deadline).String())
	}
	var seen strings.Builder
	child := exec.CommandContext(t.Context(), self, args...)
	child.Env = append(os.Environ(), env...)
	child.Stdout, child.Stderr = &seen, &seen
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if flags&syscall.CLONE_NEWUSER != 0 {
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	// The child dies with the thread that made it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := child.Start(); err != nil {
		return fmt.Errorf("run the test with mounts of its own: %w", err)
	}
	err = child.Wait()
	t.Log(seen.String())
	if err != nil {
		return fmt.Errorf("the test with mounts of its own: %w", err)
	}
	if !strings.Contains(seen.String(), "--- PASS: "+t.Name()) {
		return errors.New("the test with mounts of its own did not run")
	}
	return nil
}

// disk is a small file system.
type disk struct{ path string }

// mountDisk makes an empty disk of a number of bytes, which ends with the test.
func mountDisk(t *testing.T, size int64) disk {
	t.Helper()
	d := disk{path: t.TempDir()}
	if err := unix.Mount("tmpfs", d.path, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.path, 0); err != nil {
			t.Error(err)
		}
	})
	return d
}

// free is how many bytes can still be written.
func (d disk) free(t *testing.T) int64 {
	t.Helper()
	var stat unix.Statfs_t
	if err := unix.Statfs(d.path, &stat); err != nil {
		t.Fatal(err)
	}
	return int64(stat.Bavail) * stat.Bsize
}

// leave fills the disk with a file until so many bytes are free. What it returns
// removes the file.
func (d disk) leave(t *testing.T, bytes int64) (remove func()) {
	t.Helper()
	ballast, err := os.CreateTemp(d.path, "ballast-")
	if err != nil {
		t.Fatal(err)
	}
	err = unix.Fallocate(int(ballast.Fd()), 0, 0, d.free(t)-bytes)
	if err := errors.Join(err, ballast.Close()); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(ballast.Name()); err != nil {
			t.Fatal(err)
		}
	}
}
