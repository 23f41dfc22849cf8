package rules_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// lockDatabase takes the locks of an SQLite database that each reader needs, as
// another process would that recovers its log. What it returns gives them back.
func lockDatabase(t *testing.T, path string) (unlock func()) {
	t.Helper()
	// SQLite's locks are bytes of the index of the log: eight of them from here.
	const first, count = 120, 8
	index, err := os.OpenFile(path+"-shm", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// A lock of the open file, unlike one of the process, does not meddle with
	// those that this process's own connections hold.
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: first, Len: count}
	if err := unix.FcntlFlock(index.Fd(), unix.F_OFD_SETLKW, &lock); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := index.Close(); err != nil {
			t.Error(err)
		}
	}
}
