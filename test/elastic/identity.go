package elastic

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"auditquery.dev/auditquery/test/process"
)

// nobody is the user of Elasticsearch when root starts it, for it refuses to
// run as root. The number means the same on every system that has it.
const nobody = 65534

// identity is whom Elasticsearch runs as; nil is the user of this process.
type identity struct {
	uid int
	gid int
}

// chooseIdentity returns nil unless this process is root's.
func chooseIdentity() *identity {
	if os.Geteuid() != 0 {
		return nil
	}
	return &identity{uid: nobody, gid: nobody}
}

func (i *identity) credential() *process.Credential {
	if i == nil {
		return nil
	}
	return &process.Credential{UID: uint32(i.uid), GID: uint32(i.gid)}
}

// own gives path to the identity.
func (i *identity) own(path string) error {
	if i == nil {
		return nil
	}
	return os.Lchown(path, i.uid, i.gid)
}

// blockedAt returns the topmost directory on the way to path, links resolved,
// that the identity may not pass; empty when it gets there.
func (i *identity) blockedAt(path string) (string, error) {
	if i == nil {
		return "", nil
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	blocked := ""
	for dir := resolved; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return "", err
		}
		if !i.mayPass(info) {
			blocked = dir
		}
		if dir == filepath.Dir(dir) {
			return blocked, nil
		}
	}
}

// sharedMode is that of a directory which holds what is the identity's and what
// is not: the identity may pass. What is inside has its own owner and mode.
func (i *identity) sharedMode() os.FileMode {
	if i == nil {
		return 0o700
	}
	return 0o711
}

// mayPass tells whether the identity can go through the directory info, or run
// the file: the bit is the same.
func (i *identity) mayPass(info os.FileInfo) bool {
	shift := 0
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		switch {
		case int(stat.Uid) == i.uid:
			shift = 6
		case int(stat.Gid) == i.gid:
			shift = 3
		}
	}
	return info.Mode().Perm()>>shift&0o1 != 0
}

// temporaryDir makes a directory that the identity can reach, under the
// system's place for temporary files.
func (i *identity) temporaryDir() (string, error) {
	for _, parent := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if blocked, err := i.blockedAt(parent); err != nil || blocked != "" {
			continue
		}
		dir, err := os.MkdirTemp(parent, "auditquery-elasticsearch-")
		if err != nil {
			return "", err
		}
		return dir, os.Chmod(dir, i.sharedMode())
	}
	return "", fmt.Errorf("no directory for temporary files that user %d can reach", i.uid)
}
