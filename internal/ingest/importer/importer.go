// Package importer stores the records of files.
package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// A batch is stored when it has this many records, or lines of so many bytes.
const (
	maxBatchRecords = 1000
	maxBatchBytes   = 4 << 20
)

// Source is a file of JSON lines, or of such lines compressed by gzip.
type Source struct {
	// Name is what messages call it.
	Name   string
	Reader io.Reader
	// Size is the file's length in bytes, 0 when it is not known.
	Size int64
}

// Options say how an import goes.
type Options struct {
	// Events says how audit events become records; Cluster is the one that
	// they are of.
	Events record.KubernetesOptions
	// Rejects gets each refused line as a deadletter.Letter in JSON; nil means
	// none.
	Rejects io.Writer
	// Progress is called after each batch and before each wait; nil means
	// never.
	Progress func(Progress)
	// RetryFor is how long an unavailable store is waited for; 0 means
	// DefaultRetryFor.
	RetryFor time.Duration
	// Now is the clock; nil means the system's.
	Now func() time.Time
	// Sleep waits, or returns ctx's error earlier; nil means the system's.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Progress is how far an import is.
type Progress struct {
	Source string
	// Lines is the number of lines so far, of all sources.
	Lines int64
	// Read and Size are bytes of this source; Size is 0 when it is not known.
	Read, Size int64
	Took       time.Duration
	// Waiting says that the store is away and will be asked again.
	Waiting bool
}

// Import reads sources one after the other and writes what they hold to the
// store. Each line is an Event or an EventList of audit.k8s.io/v1, or an Audit
// or AuthAudit of our own; empty lines are passed over. A line that cannot be
// used is refused and the next ones go on.
//
// Reading the same input again stores nothing new: events and records have
// identities made of their content. Equal lines of one source are different
// records, within the limits of occurrences.
//
// The error says why the import ended before the end of its input; the Summary
// then tells how far it came. It is nil when lines were refused.
func Import(ctx context.Context, sources []Source, writer store.Writer, options Options) (Summary, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Sleep == nil {
		options.Sleep = sleep
	}
	if options.RetryFor <= 0 {
		options.RetryFor = DefaultRetryFor
	}
	if options.Progress == nil {
		options.Progress = func(Progress) {}
	}
	i := &importer{options: options, writer: writer, began: options.Now()}
	for _, source := range sources {
		if err := i.source(ctx, source); err != nil {
			i.summary.Took = options.Now().Sub(i.began)
			return i.summary, fmt.Errorf("import %s: %w", source.Name, err)
		}
	}
	i.summary.Took = options.Now().Sub(i.began)
	return i.summary, nil
}

// importer is one import under way.
type importer struct {
	options Options
	writer  store.Writer
	began   time.Time
	summary Summary

	current     Source
	lines       *lineReader
	occurrences *occurrences
	batch       []imported
	batchBytes  int
}

// imported is a record and where it came from.
type imported struct {
	record record.Record
	line   int
}

func (i *importer) source(ctx context.Context, source Source) error {
	lines, err := newLineReader(source.Reader)
	if err != nil {
		return err
	}
	i.current, i.lines, i.occurrences = source, lines, newOccurrences(occurrenceWindow)
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped at line %d: %w; importing the file again stores only what is missing", i.lines.number, err)
		}
		l, err := lines.next()
		if errors.Is(err, io.EOF) {
			return i.flush(ctx)
		}
		if err != nil {
			// What came before a broken end is good.
			return errors.Join(fmt.Errorf("line %d cannot be read: %w", l.number, err), i.flush(ctx))
		}
		i.summary.Lines++
		if err := i.take(l); err != nil {
			return err
		}
		if len(i.batch) >= maxBatchRecords || i.batchBytes >= maxBatchBytes {
			if err := i.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// take adds what a line holds to the batch.
func (i *importer) take(l line) error {
	if l.tooLong {
		return i.refuse(l.number, deadletter.TooLarge, fmt.Sprintf("it has %d bytes; a line has at most %d", l.bytes, MaxLineBytes), l.data)
	}
	if len(l.data) == 0 {
		return nil
	}
	found := decodeLine(l.data, i.options.Events)
	i.summary.Skipped += int64(found.skipped)
	for _, bad := range found.bad {
		if err := i.refuse(l.number, bad.cause, bad.reason, bad.raw); err != nil {
			return err
		}
	}
	now := i.options.Now()
	for _, r := range found.records {
		if err := i.identify(r); err != nil {
			return i.refuse(l.number, deadletter.Malformed, err.Error(), l.data)
		}
		record.Normalize(r, now)
		i.batch = append(i.batch, imported{record: r, line: l.number})
	}
	i.batchBytes += len(l.data)
	return nil
}

// identify gives an identity to a record that its sender gave none.
func (i *importer) identify(r record.Record) error {
	if !r.Base().ID.IsZero() {
		return nil
	}
	canonical, err := record.Canonical(r)
	if err != nil {
		return err
	}
	first := record.ContentID(r.Kind(), canonical, 0)
	r.Base().ID = first
	if n := i.occurrences.next(first); n > 0 {
		r.Base().ID = record.ContentID(r.Kind(), canonical, n)
	}
	return nil
}

func (i *importer) refuse(number int, cause deadletter.Cause, reason string, raw []byte) error {
	return i.reject(number, deadletter.OfInput("", cause, reason, raw, i.options.Now()))
}

// reject counts a letter, and writes it where somebody wants it.
func (i *importer) reject(number int, letter deadletter.Letter) error {
	letter.Source = fmt.Sprintf("%s:%d", i.current.Name, number)
	i.summary.refuse(RefusedLine{Source: i.current.Name, Line: number, Reason: letter.Reason})
	if i.options.Rejects == nil {
		return nil
	}
	encoded, err := json.Marshal(letter)
	if err != nil {
		return fmt.Errorf("write a refused line: %w", err)
	}
	if _, err := i.options.Rejects.Write(append(encoded, '\n')); err != nil {
		return fmt.Errorf("write a refused line: %w", err)
	}
	return nil
}

// flush stores the batch, waiting for the store when it is away.
func (i *importer) flush(ctx context.Context) error {
	if len(i.batch) > 0 {
		if err := i.store(ctx); err != nil {
			return err
		}
	}
	clear(i.batch)
	i.batch, i.batchBytes = i.batch[:0], 0
	i.progress(false)
	return nil
}

// count notes what became of a record; true when it must be sent again.
func (i *importer) count(item imported, outcome store.Outcome) (again bool, err error) {
	switch outcome.Result {
	case store.Stored:
		i.summary.Stored++
	case store.Duplicate:
		i.summary.Duplicate++
	case store.Collision, store.Rejected:
		return false, i.reject(item.line, deadletter.OfRecord("", record.Prepare(item.record), outcome, i.options.Now()))
	default:
		return true, nil
	}
	return false, nil
}

func (i *importer) progress(waiting bool) {
	i.options.Progress(Progress{
		Source: i.current.Name, Lines: i.summary.Lines, Read: i.lines.consumed(), Size: i.current.Size,
		Took: i.options.Now().Sub(i.began), Waiting: waiting,
	})
}
