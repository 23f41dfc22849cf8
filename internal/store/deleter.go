package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// Bounds of erasing and of notes.
const (
	// MaxErasureBatch is the most records that one Next erases.
	MaxErasureBatch = 5_000
	// MaxNoteBytes is the most that one note holds.
	MaxNoteBytes = 4 << 20
	// MaxNoteName is the length of the longest name of a note.
	MaxNoteName = 64
)

// ErrSurvivors means that a stretch was not erased, since something in it is to
// be kept. It is not a failure of the store: erase what is doomed in batches.
var ErrSurvivors = errors.New("the stretch holds records that are to be kept, and was left as it is")

// Deleter erases records for good, and says what there is. Like a Reader's, its
// errors are *Error, but for ErrSurvivors and io.EOF, and its methods may be
// called from several goroutines and processes.
//
// What is erased is erased because of what was decided before the call: whoever
// calls makes sure that it still holds, and ends ctx before it may not.
type Deleter interface {
	// Stretches lists what is kept together of a kind, oldest first: indices
	// that we made in Elasticsearch, calendar months with records in SQLite.
	Stretches(ctx context.Context, kind record.Kind) ([]Stretch, error)
	// EraseStretch erases all of a stretch at once, at a cost that does not
	// grow with its records, if every record in it satisfies doomed; nil dooms
	// all. If one does not, nothing is erased and the error is ErrSurvivors.
	// Records are appended all the while: each that was acknowledged is
	// counted among the survivors, or not lost. A stretch that Stretches does
	// not list is NotFound, one that is not over yet may be Invalid.
	//
	// After any other error it may have been erased or not: whole, or not at
	// all. FinishErasing and Stretches tell. Erased is then not zero if it is
	// known to be gone.
	EraseStretch(ctx context.Context, kind record.Kind, name string, doomed query.Filter) (Erased, error)
	// FinishErasing clears up what a process that died had begun: a stretch
	// that was not erased yet is as it was before, with all of its records.
	// It erases nothing. Call it before others of the Deleter when a run
	// begins.
	FinishErasing(ctx context.Context) error
	// Erase opens the erasure of the records of q, oldest first: its Kind,
	// window and Filter, in the scope of all. Limit and After are ignored.
	// Nothing is erased yet.
	Erase(ctx context.Context, q query.Query) (Erasure, error)
	// Reclaim gives the space of erased records back to the disk, for as long
	// as ctx lasts: then, or when there is nothing to do, it returns nil.
	Reclaim(ctx context.Context) error
}

// Erasure is an erasure under way. It is used by one goroutine.
type Erasure interface {
	// Next erases at most limit records, 1 to MaxErasureBatch, and returns how
	// many; io.EOF with 0 when none is left. Less than limit is not the end.
	// After an error nothing is known of the batch: close, and open anew.
	// Records that were appended after Erase may be left.
	Next(ctx context.Context, limit int) (erased int, err error)
	// Close ends it and frees what it holds in the store. What was erased
	// stays so.
	Close(ctx context.Context) error
}

// Erasable returns q as a backend erases it, with every value written as stores
// hold it: one that is not would match nothing, and a hold on it keep nothing.
// Unlike a reader's filter it may be of any size. The error is an *Error.
func Erasable(op string, q query.Query, schema query.Schema) (query.Query, error) {
	if q.Scope.Restrict != nil || q.Scope.Name != query.AllScope {
		return query.Query{}, &Error{Reason: Invalid, Op: op, Message: "records are erased in the scope of all only"}
	}
	q.Limit, q.After = 1, nil
	if q.Filter != nil {
		q.Scope = query.Scope{Name: "erasing", Restrict: q.Filter}
	}
	q.Filter = nil
	canonical, err := query.Validate(q, schema)
	if err != nil {
		return query.Query{}, &Error{Reason: Invalid, Op: op, Message: err.Error(), Err: err}
	}
	canonical.Filter, canonical.Scope = canonical.Scope.Restrict, query.All()
	return canonical, nil
}

// Stretch is a part of a kind's records that can be erased at once.
type Stretch struct {
	Kind record.Kind
	// Name is what EraseStretch takes, unique within the kind.
	Name string
	// From is inclusive, To exclusive. Every record in it is between them.
	// Stretches may overlap: an index of a day lies in its month.
	From, To time.Time
	// Bytes is what it takes on disk, once, roughly.
	Bytes int64
	// Orgs is what it holds of each org, sorted by id; empty if nothing.
	Orgs []Stock
}

// Stock is the records of an org in a stretch.
type Stock struct {
	// OrgID is empty for records without one.
	OrgID   string
	Records int64
	// Oldest is not after the oldest record, Newest not before the newest;
	// each is less than a millisecond off.
	Oldest, Newest time.Time
}

// Erased is how much was erased.
type Erased struct{ Records, Bytes int64 }

// Notebook keeps small documents beside the records. A note is replaced only by
// who read its last version, whichever process that is.
type Notebook interface {
	// ReadNote returns a note as it is now, the zero Note if there never was
	// one. A note that was written and is lost, or a store that lost what it
	// held, is a Conflict, never an empty note.
	ReadNote(ctx context.Context, name string) (Note, error)
	// WriteNote replaces the version that was read, "" for none, and returns
	// the new one; Conflict if another is there, or the note is lost. At most MaxNoteBytes; a name
	// is 1 to MaxNoteName lower-case letters, digits and -; else Invalid.
	// After another error it may have been written or not: read it again.
	WriteNote(ctx context.Context, name string, data []byte, version string) (newVersion string, err error)
}

// Note is a small document.
type Note struct {
	Data []byte
	// Version is empty when there is no note.
	Version string
}

// CheckNote returns why a note can't be written, an *Error, Invalid; nil if it
// can.
func CheckNote(op, name string, data []byte) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	refuse := func(message string) error { return &Error{Reason: Invalid, Op: op, Message: message} }
	if name == "" || len(name) > MaxNoteName {
		return refuse("a note's name has 1 to 64 characters")
	}
	for _, c := range []byte(name) {
		if strings.IndexByte(letters, c) < 0 {
			return refuse("a note's name is of lower-case letters, digits and -")
		}
	}
	if len(data) > MaxNoteBytes {
		return refuse("a note holds at most 4 MiB")
	}
	return nil
}
