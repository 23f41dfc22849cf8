package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// Bounds of dead letters.
const (
	// MaxReason is the length at which a reason is cut, in bytes.
	MaxReason = 512
	// DefaultDeadLetterBytes is the size at which a file of letters is rotated.
	DefaultDeadLetterBytes = 32 << 20
	// deadLetterFiles is how many full files are kept beside the current one.
	deadLetterFiles = 3
)

// Letter is something that came in and cannot be stored.
type Letter struct {
	// Time is when it was put aside.
	Time time.Time `json:"time"`
	// Source says where it came from, such as kubernetes/prod.
	Source string `json:"source"`
	// Cause is the class of the reason, as metrics name it.
	Cause Cause `json:"cause"`
	// Reason says why, for an operator; at most MaxReason bytes.
	Reason string `json:"reason"`
	// Excerpt is what may be kept of an event that gave no record: scrubbed,
	// at most record.MaxExcerptBytes.
	Excerpt json.RawMessage `json:"excerpt,omitempty"`
	// Record is the whole record that the store did not take.
	Record json.RawMessage `json:"record,omitempty"`
}

// Cause is why something became a dead letter.
type Cause string

// The causes of a dead letter.
const (
	// CauseMalformed: it is not an event.
	CauseMalformed Cause = "malformed"
	// CauseTooLarge: it is larger than an event may be.
	CauseTooLarge Cause = "too_large"
	// CauseCollision: a different record with its identity is stored.
	CauseCollision Cause = "collision"
	// CauseRejected: the store can never accept it.
	CauseRejected Cause = "rejected"
)

func causes() []Cause {
	return []Cause{CauseMalformed, CauseTooLarge, CauseCollision, CauseRejected}
}

// eventLetter is the letter for an event, or the beginning of one, that gave no
// record.
func eventLetter(source string, cause Cause, reason string, raw []byte, now time.Time) Letter {
	return Letter{Time: now.UTC(), Source: source, Cause: cause, Reason: cut(reason, MaxReason), Excerpt: record.Excerpt(raw)}
}

// recordLetter is the letter for a record that the store will never take. It is
// whole: after a collision it is the only evidence.
func recordLetter(source string, outcome store.Outcome, r record.Record, now time.Time) Letter {
	letter := Letter{Time: now.UTC(), Source: source, Cause: CauseRejected, Reason: storeText(outcome.Err)}
	if outcome.Result == store.Collision {
		letter.Cause = CauseCollision
	}
	encoded, err := record.Encode(r)
	if err != nil {
		encoded, _ = json.Marshal(err.Error()) // text always marshals
	}
	letter.Record = encoded
	return letter
}

// cut returns at most limit bytes of text, as valid UTF-8.
func cut(text string, limit int) string {
	if len(text) > limit {
		for limit > 0 && !utf8.RuneStart(text[limit]) {
			limit--
		}
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// DeadLetters is a file of letters, one JSON object a line, readable by its
// owner alone, since scrubbing cannot know every secret. When it is full it becomes FILE.1, and
// the oldest of three such files goes. It is safe for concurrent use; a file
// has one process that writes it.
type DeadLetters struct {
	options   DeadLetterOptions
	discarded prometheus.Counter

	mutex  sync.Mutex
	closed bool
	// file is nil after a failure; the next letter opens it again.
	file *os.File
	size int64
}

// DeadLetterOptions say where dead letters are kept.
type DeadLetterOptions struct {
	// Path of the file; its folder must exist.
	Path string
	// MaxBytes is the size at which the file is rotated; 0 means
	// DefaultDeadLetterBytes.
	MaxBytes int64
	// Registry gets the metrics; nil means none.
	Registry prometheus.Registerer
	// Log is told of old letters that make room for new ones.
	Log logr.Logger
}

// OpenDeadLetters opens the file, or makes it.
func OpenDeadLetters(options DeadLetterOptions) (*DeadLetters, error) {
	if options.MaxBytes <= 0 {
		options.MaxBytes = DefaultDeadLetterBytes
	}
	d := &DeadLetters{options: options, discarded: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "auditquery_ingest_dead_letters_discarded_bytes_total",
		Help: "Bytes of old dead letters that were removed to make room.",
	})}
	if options.Registry != nil {
		if err := options.Registry.Register(d.discarded); err != nil {
			return nil, fmt.Errorf("register the metrics of dead letters: %w", err)
		}
	}
	if err := d.open(); err != nil {
		return nil, fmt.Errorf("open the dead letters: %w", err)
	}
	return d, nil
}

// Put appends letters and returns when they are on the disk. After an error
// some of them may be there.
func (d *DeadLetters) Put(letters ...Letter) error {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.closed {
		return fmt.Errorf("write a dead letter: %w", os.ErrClosed)
	}
	if d.file == nil {
		if err := d.open(); err != nil {
			return fmt.Errorf("open the dead letters again: %w", err)
		}
	}
	for _, letter := range letters {
		if err := d.append(letter); err != nil {
			return fmt.Errorf("write a dead letter: %w", err)
		}
	}
	if err := d.file.Sync(); err != nil {
		return fmt.Errorf("write a dead letter: %w", err)
	}
	return nil
}

// Close closes the file. Later letters are refused.
func (d *DeadLetters) Close() error {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.closed = true
	return d.release()
}

func (d *DeadLetters) release() error {
	if d.file == nil {
		return nil
	}
	err := errors.Join(d.file.Sync(), d.file.Close())
	d.file = nil
	return err
}

func (d *DeadLetters) append(letter Letter) error {
	line, err := json.Marshal(letter)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if d.size > 0 && d.size+int64(len(line)) > d.options.MaxBytes {
		if err := d.rotate(); err != nil {
			return fmt.Errorf("rotate: %w", err)
		}
	}
	n, err := d.file.Write(line)
	d.size += int64(n)
	return err
}

// open also ends a line that a crash cut off, so that the next letter is whole.
func (d *DeadLetters) open() error {
	file, err := os.OpenFile(d.options.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil {
		err = file.Chmod(0o600)
	}
	size := int64(0)
	if err == nil {
		size, err = endLine(file, info.Size())
	}
	if err == nil {
		err = syncFolder(filepath.Dir(d.options.Path))
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	d.file, d.size = file, size
	return nil
}

func endLine(file *os.File, size int64) (int64, error) {
	if size == 0 {
		return 0, nil
	}
	var last [1]byte
	if _, err := file.ReadAt(last[:], size-1); err != nil {
		return size, err
	}
	if last[0] == '\n' {
		return size, nil
	}
	n, err := file.Write([]byte{'\n'})
	return size + int64(n), err
}

func (d *DeadLetters) rotate() error {
	if err := d.release(); err != nil {
		return err
	}
	oldest := d.numbered(deadLetterFiles)
	if info, err := os.Stat(oldest); err == nil {
		if err := os.Remove(oldest); err != nil {
			return err
		}
		d.discarded.Add(float64(info.Size()))
		d.options.Log.Info("removed the oldest dead letters to make room", "file", oldest, "bytes", info.Size())
	}
	for n := deadLetterFiles - 1; n >= 0; n-- {
		if err := os.Rename(d.numbered(n), d.numbered(n+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return d.open()
}

// numbered names the nth file; 0 is the current one.
func (d *DeadLetters) numbered(n int) string {
	if n == 0 {
		return d.options.Path
	}
	return d.options.Path + "." + strconv.Itoa(n)
}

// syncFolder makes a new or renamed file's name durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
