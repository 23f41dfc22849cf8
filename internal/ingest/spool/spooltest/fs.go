// Package spooltest is a disk for tests of what is kept in a spool: its power can
// be cut, it can fill up, and its next write or sync can fail.
package spooltest

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"auditquery.dev/auditquery/internal/ingest/spool"
)

// ErrPowerCut is returned by all that was opened before the power was cut.
var ErrPowerCut = fmt.Errorf("the power was cut: %w", syscall.EIO)

// Disk is a disk in memory. What was written to a file and not synced, and what was
// done in a folder that was not synced, may be lost when the power is cut. A sync
// that fails loses what it should have made durable, and the syncs after it do not
// say so, as on Linux.
type Disk struct {
	mu sync.Mutex
	// life counts the power cuts; what is of an earlier life is dead.
	life  int
	files map[string]*inode
	// durable are the names that a power cut leaves, before undone is redone.
	durable map[string]*inode
	// undone are the changes of names since the folder was synced.
	undone []change
	locked map[string]bool
	// capacity bounds the bytes of all files; 0 means no bound.
	capacity int64
	failing  map[Operation][]error
	calls    map[Operation]int
	// countdown is how many operations there are until cut is called.
	countdown int
	cut       func()
}

// Operation is something that a disk does and that can fail.
type Operation string

// The operations that can be made to fail.
const (
	Write    Operation = "write"
	Sync     Operation = "sync"
	SyncDir  Operation = "sync a folder"
	Truncate Operation = "truncate"
	Create   Operation = "create"
	Open     Operation = "open"
	Remove   Operation = "remove"
	Rename   Operation = "rename"
	Read     Operation = "read"
)

// change is one change of a folder: name means file from now on, nil for none.
type change struct {
	names []string
	files []*inode
}

// New makes an empty disk without bounds.
func New() *Disk {
	return &Disk{
		files: map[string]*inode{}, durable: map[string]*inode{}, locked: map[string]bool{},
		failing: map[Operation][]error{}, calls: map[Operation]int{},
	}
}

// SetCapacity bounds the bytes of all files; writes beyond it fail with ENOSPC,
// after they have written what there was room for. 0 takes the bound away.
func (d *Disk) SetCapacity(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = bytes
}

// Fail makes the next operations of a kind fail, each with the next of the errors;
// a nil lets one succeed. It replaces what an earlier call said.
func (d *Disk) Fail(op Operation, errs ...error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failing[op] = errs
}

// Calls is how many operations of a kind there were.
func (d *Disk) Calls(op Operation) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[op]
}

// Used is the bytes of all files.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used()
}

func (d *Disk) used() int64 {
	n := int64(0)
	for _, file := range d.files {
		n += int64(len(file.data))
	}
	return n
}

// PowerCut loses what was not durable: of the writes that were not synced, some
// 256 bytes are kept and others not, in any order; of the changes of the folders
// the first few are kept. All that is open is dead and all locks are free.
func (d *Disk) PowerCut(random *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.powerCut(random)
}

// CutAfter cuts the power when n operations, at least 1, have been begun from now
// on; the last of them is not done.
func (d *Disk) CutAfter(n int, random *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.countdown = n
	d.cut = func() { d.powerCut(random) }
}

// Kill is the end of the process: all that it had open is dead and all locks are
// free, but the disk keeps what was written.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
}

func (d *Disk) end() {
	d.life++
	d.locked = map[string]bool{}
	d.failing = map[Operation][]error{}
	d.countdown = 0
}

func (d *Disk) powerCut(random *rand.Rand) {
	d.end()
	for _, c := range d.undone[:random.IntN(len(d.undone)+1)] {
		c.apply(d.durable)
	}
	d.undone = nil
	d.files = map[string]*inode{}
	// In the order of the names, so that the same seed does the same.
	for _, name := range slices.Sorted(maps.Keys(d.durable)) {
		file := d.durable[name]
		file.powerCut(random)
		d.files[name] = file
	}
}

// Damage changes the bytes of a file, those on disk too.
func (d *Disk) Damage(name string, change func(data []byte) []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	file := d.files[name]
	file.data = change(file.data)
	file.durable = slices.Clone(file.data)
	file.undone = nil
}

// Put makes a file, durably.
func (d *Disk) Put(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	file := &inode{data: slices.Clone(data), durable: slices.Clone(data)}
	d.files[name], d.durable[name] = file, file
}

// Content is what a file holds now; nil when there is none.
func (d *Disk) Content(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if file := d.files[name]; file != nil {
		return slices.Clone(file.data)
	}
	return nil
}

func (c *change) apply(to map[string]*inode) {
	for i, name := range c.names {
		if c.files[i] == nil {
			delete(to, name)
		} else {
			to[name] = c.files[i]
		}
	}
}

func (d *Disk) change(c change) {
	c.apply(d.files)
	d.undone = append(d.undone, c)
}

// next counts an operation and is why the operation fails, nil when it does not. Disk.mu is held.
func (d *Disk) next(op Operation) error {
	d.calls[op]++
	if d.countdown > 0 {
		if d.countdown--; d.countdown == 0 {
			d.cut()
			return ErrPowerCut
		}
	}
	errs := d.failing[op]
	if len(errs) == 0 {
		return nil
	}
	d.failing[op] = errs[1:]
	return errs[0]
}

// FS is the file system on the disk, until the power is cut; then FS returns the
// next.
func (d *Disk) FS() spool.FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &files{Disk: d, life: d.life}
}

// files is a spool.FS.
type files struct {
	*Disk
	life int
}

// begin says whether the operation may be done. Disk.mu is held.
func (f *files) begin(op Operation, name string) error {
	err := f.next(op)
	if f.life != f.Disk.life {
		err = ErrPowerCut
	}
	if err != nil {
		return &fs.PathError{Op: string(op), Path: name, Err: err}
	}
	return nil
}

func (f *files) MakeDir(string) error { return nil }

func (f *files) Names(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(Open, dir); err != nil {
		return nil, err
	}
	var names []string
	for name := range f.files {
		if filepath.Dir(name) == filepath.Clean(dir) {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (f *files) Create(name string) (spool.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(Create, name); err != nil {
		return nil, err
	}
	if f.files[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	file := &inode{}
	f.change(change{names: []string{name}, files: []*inode{file}})
	return &handle{disk: f.Disk, life: f.life, inode: file}, nil
}

func (f *files) Open(name string) (spool.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(Open, name); err != nil {
		return nil, err
	}
	file := f.files[name]
	if file == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &handle{disk: f.Disk, life: f.life, inode: file}, nil
}

func (f *files) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(Rename, from); err != nil {
		return err
	}
	file := f.files[from]
	if file == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	f.change(change{names: []string{from, to}, files: []*inode{nil, file}})
	return nil
}

func (f *files) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(Remove, name); err != nil {
		return err
	}
	if f.files[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	f.change(change{names: []string{name}, files: []*inode{nil}})
	return nil
}

// SyncDir makes the changes of all folders durable.
func (f *files) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(SyncDir, dir); err != nil {
		return err
	}
	for _, c := range f.undone {
		c.apply(f.durable)
	}
	f.undone = nil
	return nil
}

func (f *files) Lock(name string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.life != f.Disk.life {
		return nil, ErrPowerCut
	}
	if f.locked[name] {
		return nil, spool.ErrLocked
	}
	f.locked[name] = true
	return &lock{disk: f.Disk, life: f.life, name: name}, nil
}

type lock struct {
	disk *Disk
	life int
	name string
}

func (l *lock) Close() error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	if l.life == l.disk.life {
		delete(l.disk.locked, l.name)
	}
	return nil
}
