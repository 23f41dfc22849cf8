package deadletter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	suffix     = ".letters"
	tempSuffix = ".new"
	// checked is the length of a checksum and the space after it.
	checked = 9
)

// file is one file of letters.
type file struct {
	number uint64
	size   int64
}

func bytesOf(files []file) int64 {
	total := int64(0)
	for _, file := range files {
		total += file.size
	}
	return total
}

func (f *Folder) path(name string) string { return filepath.Join(f.options.Dir, name) }

func (f *Folder) pathOf(number uint64) string { return f.path(fmt.Sprintf("%016d%s", number, suffix)) }

// files lists the files in their order. The lock is held.
func (f *Folder) files() ([]file, error) {
	entries, err := os.ReadDir(f.options.Dir)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, entry := range entries {
		digits, ok := strings.CutSuffix(entry.Name(), suffix)
		number, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || number == 0 {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		files = append(files, file{number: number, size: info.Size()})
	}
	slices.SortFunc(files, func(a, b file) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	return files, nil
}

// tidy removes what a crash left of a rewriting. The lock is held.
func (f *Folder) tidy() error {
	left, err := filepath.Glob(f.path("*" + suffix + tempSuffix))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// append writes lines to the last file and to new ones. The lock is held.
func (f *Folder) append(files []file, lines [][]byte) error {
	current := file{number: 1}
	if len(files) > 0 {
		current = files[len(files)-1]
	}
	if current.number == f.spoiled {
		current = file{number: current.number + 1}
	}
	for len(lines) > 0 {
		var part []byte
		for len(lines) > 0 {
			size := current.size + int64(len(part))
			if size > 0 && size+int64(len(lines[0])) > f.options.FileBytes {
				break
			}
			part, lines = append(part, lines[0]...), lines[1:]
		}
		if len(part) > 0 {
			if err := f.write(current.number, part); err != nil {
				return err
			}
		}
		current = file{number: current.number + 1}
	}
	return nil
}

// write appends whole lines to a file, or leaves it as it was.
func (f *Folder) write(number uint64, lines []byte) error {
	name := f.pathOf(number)
	out, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	size, err := wholeLines(out)
	if err != nil {
		return errors.Join(err, out.Close())
	}
	if err = out.Truncate(size); err == nil {
		_, err = out.WriteAt(lines, size)
	}
	if err == nil {
		if err = f.sync(out); err != nil {
			// What a later sync of this file says cannot be believed.
			f.spoiled = number
		}
	}
	if err != nil {
		return errors.Join(err, out.Truncate(size), out.Close())
	}
	if err := out.Close(); err != nil {
		return err
	}
	if size == 0 {
		return syncFolder(f.options.Dir)
	}
	return nil
}

// wholeLines is the length of a file without a last line that a crash cut off.
func wholeLines(in *os.File) (int64, error) {
	info, err := in.Stat()
	if err != nil {
		return 0, err
	}
	buffer := make([]byte, 32<<10)
	for end := info.Size(); end > 0; {
		start := max(0, end-int64(len(buffer)))
		part := buffer[:end-start]
		if _, err := in.ReadAt(part, start); err != nil {
			return 0, err
		}
		if at := bytes.LastIndexByte(part, '\n'); at >= 0 {
			return start + int64(at) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// readLocked returns the whole lines of a file, none when it is gone.
func (f *Folder) readLocked(number uint64) (lines [][]byte, err error) {
	err = f.locked(func() error {
		lines, err = f.read(number)
		return err
	})
	return lines, err
}

func (f *Folder) read(number uint64) ([][]byte, error) {
	content, err := os.ReadFile(f.pathOf(number))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var lines [][]byte
	for {
		line, rest, whole := bytes.Cut(content, []byte{'\n'})
		if !whole {
			return lines, nil
		}
		lines, content = append(lines, line), rest
	}
}

// rewrite replaces a file by one without the letters of these ids, and returns
// how many those were. The lock is held.
func (f *Folder) rewrite(number uint64, ids map[string]bool) (int, error) {
	lines, err := f.read(number)
	if err != nil {
		return 0, err
	}
	var kept []byte
	removed := 0
	for _, line := range lines {
		if ids[decodeLine(line).ID] {
			removed++
			continue
		}
		kept = append(append(kept, line...), '\n')
	}
	switch {
	case removed == 0:
		return 0, nil
	case len(kept) == 0:
		err = os.Remove(f.pathOf(number))
	default:
		err = f.replace(number, kept)
	}
	if err == nil {
		err = syncFolder(f.options.Dir)
	}
	if err != nil {
		return 0, err
	}
	return removed, nil
}

func (f *Folder) replace(number uint64, content []byte) error {
	temporary := f.pathOf(number) + tempSuffix
	out, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(content)
	if err == nil {
		err = f.sync(out)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return os.Rename(temporary, f.pathOf(number))
}

func encodeLine(l Letter) ([]byte, error) {
	text, err := l.encode()
	if err != nil {
		return nil, err
	}
	line := make([]byte, 0, checked+len(text)+1)
	line = fmt.Appendf(line, "%08x ", checksum(text))
	return append(append(line, text...), '\n'), nil
}

// decodeLine never fails: a line that is no letter any more becomes one about
// itself.
func decodeLine(line []byte) Letter {
	if len(line) > checked && line[checked-1] == ' ' {
		sum, err := strconv.ParseUint(string(line[:checked-1]), 16, 32)
		text := line[checked:]
		var l Letter
		if err == nil && sum == uint64(checksum(text)) && json.Unmarshal(text, &l) == nil && l.ID != "" {
			return l
		}
	}
	l := OfBytes("dead letters", Damaged, "this letter's checksum is wrong: the disk has changed it", line, time.Time{})
	l.ID = l.identity()
	return l
}

func checksum(text []byte) uint32 { return crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)) }

func haveFolder(dir string, mayMake bool) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is no folder", dir)
	case !errors.Is(err, fs.ErrNotExist) || !mayMake:
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(filepath.Dir(dir))
}

// syncFolder makes new, renamed and removed names durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
