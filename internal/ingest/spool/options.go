package spool

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
)

const (
	// MaxEntry is the most bytes that one entry may have.
	MaxEntry = 8 << 20
	// MaxDamage is the most bytes of a damaged stretch that are handed over.
	MaxDamage = 64 << 10

	defaultMaxBytes     = 8 << 30
	defaultSegmentBytes = 64 << 20
	defaultPendingBytes = 32 << 20
	defaultProgress     = 5 * time.Second
	defaultProbe        = time.Second

	// maxSegment keeps each offset within the 32 bits that a frame has for it.
	maxSegment = 1 << 30
)

var (
	// ErrFull says that there is no room: the bound on the spool's bytes is
	// reached, or the disk (or a quota) is full. Nothing of the batch was kept.
	ErrFull = errors.New("the spool is full")
	// ErrBusy says that too many bytes wait for the disk already. Nothing of the
	// batch was kept.
	ErrBusy = errors.New("too much waits to be written to the spool")
	// ErrClosed says that the spool was closed.
	ErrClosed = errors.New("the spool is closed")
	// ErrTooLarge says that the batch holds an entry of more than MaxEntry bytes,
	// or has more bytes than a segment may have. Nothing of it was kept.
	ErrTooLarge = errors.New("too large for the spool")
	// ErrLocked says that another process (or another Spool of this one) has the
	// folder open.
	ErrLocked = errors.New("the folder of the spool is in use")
)

// Options say where a spool is and how large it may grow.
type Options struct {
	// Dir is the spool's folder, which is made when it does not exist. Nothing
	// else may be kept in it.
	Dir string
	// MaxBytes bounds the bytes of all segments; 8 GiB when it is 0.
	MaxBytes int64
	// SegmentBytes is the size at which a segment is sealed and another is begun,
	// at most 1 GiB; 64 MiB when it is 0. It is lowered to an eighth of MaxBytes,
	// because space is freed by whole segments.
	SegmentBytes int64
	// PendingBytes bounds the bytes of all Appends that wait for the disk; 32 MiB
	// when it is 0. A batch that is larger waits alone.
	PendingBytes int64
	// ProgressEvery is how often what was confirmed is written down, 5 s when it
	// is 0. What was not yet written down is given out again after a crash.
	ProgressEvery time.Duration
	// ProbeEvery is how often a spool that failed tries whether its disk takes
	// writes again; 1 s when it is 0.
	ProbeEvery time.Duration
	// FS is the file system; the machine's own when it is nil.
	FS FS
	// Now is the clock; time.Now when it is nil.
	Now func() time.Time
	// Log says what was found and what failed. The zero Logger is silent.
	Log logr.Logger
	// Damaged is told of each damaged stretch, by the goroutine that is in Take
	// and before Take goes on behind it. Its error becomes Take's, and the next
	// Take tells it again; so does a spool that is opened after a crash. Without
	// it damage is only logged.
	Damaged func(Damage) error
}

// Damage is a stretch of a segment that holds no whole record.
type Damage struct {
	// Segment is the file's name in the spool's folder.
	Segment string
	// Offset and Length, in bytes, say where it lies. Length is 0 when the end of
	// the segment is missing.
	Offset, Length int64
	// Records is how many records were lost, by their sequence numbers. Records
	// that had been confirmed are not counted.
	Records int
	// Bytes are the stretch itself, its first MaxDamage bytes.
	Bytes []byte
	// Doubtful says that the stretch lies in the last write before a crash, so
	// that it may have been torn by the crash: then nothing of it was ever
	// acknowledged.
	Doubtful bool
}

// Stats is the state of a spool at one moment.
type Stats struct {
	// Records is how many records are in the spool and not confirmed.
	Records int64
	// Found is how many of these were there when the spool was opened.
	Found int64
	// Bytes is the size of all segments, MaxBytes its bound.
	Bytes, MaxBytes int64
	// Segments is the number of segments.
	Segments int
	// OldestAppended is when the oldest record that is not confirmed was
	// appended; zero when there is none.
	OldestAppended time.Time
	// FreePending is how many bytes may still wait for the disk.
	FreePending int64
	// Full says that an Append of 1 MiB would fail for want of room.
	Full bool
	// Failure is why the last write to the disk failed, ErrFull among others; nil
	// when it succeeded, or when a trial write has succeeded since.
	Failure error
}

func (o *Options) complete() error {
	if o.Dir == "" {
		return errors.New("spool: no folder was given")
	}
	if o.MaxBytes < 0 || o.SegmentBytes < 0 || o.PendingBytes < 0 {
		return errors.New("spool: a bound is negative")
	}
	if o.SegmentBytes > maxSegment {
		return fmt.Errorf("spool: a segment may have at most %d bytes", int64(maxSegment))
	}
	setDefault(&o.MaxBytes, defaultMaxBytes)
	setDefault(&o.SegmentBytes, defaultSegmentBytes)
	setDefault(&o.PendingBytes, defaultPendingBytes)
	setDefault(&o.ProgressEvery, defaultProgress)
	setDefault(&o.ProbeEvery, defaultProbe)
	o.SegmentBytes = max(1, min(o.SegmentBytes, o.MaxBytes/8))
	if o.FS == nil {
		o.FS = disk{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

func setDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}
