package deadletter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Bounds of a folder.
const (
	// DefaultMaxBytes bounds the letters of a folder.
	DefaultMaxBytes = 1 << 30
	// fileBytes is the size at which a file gets no more letters.
	fileBytes = 2 << 20

	lockName = "lock"
)

// ErrFull: the folder has no room for a letter. Discarding others makes room.
var ErrFull = errors.New("the dead letters are full")

// Options say where letters are kept.
type Options struct {
	// Dir is the folder; it is made where its parent exists.
	Dir string
	// Existing says that a folder that is missing is an error: whoever only
	// looks at letters should not find none in a folder of a wrong name.
	Existing bool
	// MaxBytes bounds the letters; 0 means DefaultMaxBytes.
	MaxBytes int64
	// FileBytes is the size at which a file gets no more letters; 0 means 2 MiB.
	FileBytes int64
}

// Folder keeps letters. Its methods may be called concurrently, and other
// processes may use the same folder.
type Folder struct {
	options Options
	// sync makes a file's bytes durable.
	sync func(*os.File) error

	// mutex keeps goroutines of this process from holding a thread each while
	// they wait for the lock.
	mutex sync.Mutex
	// spoiled is the number of a file that could not be made durable; it gets
	// no more letters.
	spoiled uint64
}

// Usage is how full a folder is.
type Usage struct {
	// Bytes are those of all letters, MaxBytes is their bound.
	Bytes, MaxBytes int64
	// Files is how many files they are in.
	Files int
}

// Open makes the folder where it is missing, and checks that it can be used.
func Open(options Options) (*Folder, error) {
	if options.Dir == "" {
		return nil, errors.New("open the dead letters: no folder is named")
	}
	if options.MaxBytes <= 0 {
		options.MaxBytes = DefaultMaxBytes
	}
	if options.FileBytes <= 0 {
		options.FileBytes = fileBytes
	}
	if err := haveFolder(options.Dir, !options.Existing); err != nil {
		return nil, fmt.Errorf("open the dead letters: %w", err)
	}
	f := &Folder{options: options, sync: (*os.File).Sync}
	if err := f.locked(f.tidy); err != nil {
		return nil, fmt.Errorf("open the dead letters: %w", err)
	}
	return f, nil
}

// Put returns when the letters are durable. After an error some of them may be
// there; putting them again does no harm. ErrFull is wrapped when there is no
// room for all of them; then none is written.
func (f *Folder) Put(letters ...Letter) error {
	lines := make([][]byte, 0, len(letters))
	total := int64(0)
	for _, letter := range letters {
		line, err := encodeLine(letter.finish())
		if err != nil {
			return fmt.Errorf("write a dead letter: %w", err)
		}
		lines = append(lines, line)
		total += int64(len(line))
	}
	if len(lines) == 0 {
		return nil
	}
	err := f.locked(func() error {
		files, err := f.files()
		if err != nil {
			return err
		}
		if used := bytesOf(files); used+total > f.options.MaxBytes {
			return fmt.Errorf("%w: %d of %d bytes are used; look at them with `auditquery deadletter list`", ErrFull, used, f.options.MaxBytes)
		}
		return f.append(files, lines)
	})
	if err != nil {
		return fmt.Errorf("write a dead letter: %w", err)
	}
	return nil
}

// Each calls each for every letter, oldest first, holding one file of them in
// memory. Letters that are put or discarded meanwhile may be seen or not. The
// error is that of each, which ends the reading, or of the disk.
func (f *Folder) Each(ctx context.Context, each func(Letter) error) error {
	var files []file
	err := f.locked(func() (err error) {
		files, err = f.files()
		return err
	})
	if err != nil {
		return fmt.Errorf("read the dead letters: %w", err)
	}
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		lines, err := f.readLocked(file.number)
		if err != nil {
			return fmt.Errorf("read the dead letters: %w", err)
		}
		for _, line := range lines {
			letter := decodeLine(line)
			letter.file = file.number
			if err := each(letter); err != nil {
				return err
			}
		}
	}
	return nil
}

// Discard removes letters that Each has given, and returns how many lines of the
// folder that were. After an error some of them may be gone.
func (f *Folder) Discard(letters ...Letter) (int, error) {
	byFile := map[uint64]map[string]bool{}
	for _, l := range letters {
		if byFile[l.file] == nil {
			byFile[l.file] = map[string]bool{}
		}
		byFile[l.file][l.ID] = true
	}
	removed := 0
	for number, ids := range byFile {
		err := f.locked(func() error {
			n, err := f.rewrite(number, ids)
			removed += n
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("discard dead letters: %w", err)
		}
	}
	return removed, nil
}

// Usage tells how full the folder is.
func (f *Folder) Usage() (Usage, error) {
	usage := Usage{MaxBytes: f.options.MaxBytes}
	err := f.locked(func() error {
		files, err := f.files()
		usage.Bytes, usage.Files = bytesOf(files), len(files)
		return err
	})
	return usage, err
}

// locked runs do while no other process uses the folder.
func (f *Folder) locked(do func() error) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	lock, err := os.OpenFile(f.path(lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	for {
		if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("lock the folder: %w", err), lock.Close())
	}
	// Closing gives the lock back.
	return errors.Join(do(), lock.Close())
}
