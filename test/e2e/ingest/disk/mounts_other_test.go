//go:build !linux

package disk_test

import "testing"

type disk struct{ path string }

// inOwnMounts fails: small disks are made as Linux makes them.
func inOwnMounts(t *testing.T) bool {
	t.Helper()
	t.Fatal("a small disk can be made on Linux only")
	return false
}

func mountDisk(t *testing.T, _ int64) disk {
	t.Helper()
	return disk{path: t.TempDir()}
}

func (disk) free(*testing.T) int64 { return 0 }

func (disk) leave(*testing.T, int64) (remove func()) { return func() {} }
