package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// FS is what a spool needs of a file system. All names are paths. A file that is
// removed or renamed can be used further by whoever has it open. Every method may
// be called by several goroutines.
type FS interface {
	// MakeDir makes the folder and those above it, unless they exist.
	MakeDir(dir string) error
	// Names lists the folder, in any order.
	Names(dir string) ([]string, error)
	// Create makes a file that must not exist, to be read and written.
	Create(name string) (File, error)
	// Open opens a file that exists, to be read and written.
	Open(name string) (File, error)
	// Rename gives a file another name, and replaces the one that had it.
	Rename(from, to string) error
	// Remove removes a file.
	Remove(name string) error
	// SyncDir makes durable what was created, renamed and removed in the folder.
	SyncDir(dir string) error
	// Lock takes the lock that the named file stands for until it is closed or
	// the process ends; ErrLocked when somebody has it.
	Lock(name string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is the file's length in bytes.
	Size() (int64, error)
	// Truncate sets the file's length.
	Truncate(size int64) error
	// Sync makes the content and the length durable.
	Sync() error
}

// disk is the machine's file system.
type disk struct{}

// Records are read by the spool's owner alone.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

func (d disk) MakeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(dir))
}

func (disk) Names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

func (disk) Create(name string) (File, error) {
	return openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (disk) Open(name string) (File, error) { return openFile(name, os.O_RDWR) }

func openFile(name string, flags int) (File, error) {
	f, err := os.OpenFile(name, flags, fileMode)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (disk) Rename(from, to string) error { return os.Rename(from, to) }

func (disk) Remove(name string) error { return os.Remove(name) }

func (disk) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (disk) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w by another process", ErrLocked)
	}
	return nil, &os.PathError{Op: "flock", Path: name, Err: err}
}

type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// outOfSpace tells a disk that is full from one that fails.
func outOfSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
