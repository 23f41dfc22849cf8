package trail

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// maxExamples bounds what a report tells in words.
const maxExamples = 10

// Report is what a walk found.
type Report struct {
	// Read records are in the store. Erased ones have gone since the last walk, as
	// they should. Due ones are there and may go. Own ones are those that the eraser
	// wrote of itself since the last walk.
	Read, Erased, Due, Own int
	// Lost records were not due and are gone. Left ones should have gone. Altered
	// ones differ from what was stored. Repeated ones are there twice, and erased
	// ones are back. Unknown ones nobody stored.
	Lost, Left, Altered, Repeated, Unknown int
	// Examples tell of some.
	Examples []string
}

// Err is nil when the store holds what it should.
func (r Report) Err() error {
	if r.Lost+r.Left+r.Altered+r.Repeated+r.Unknown == 0 {
		return nil
	}
	return fmt.Errorf("of %d records: %d lost that were not due, %d left that were, %d altered, %d repeated or back, %d of unknown origin:\n%s",
		r.Read, r.Lost, r.Left, r.Altered, r.Repeated, r.Unknown, strings.Join(r.Examples, "\n"))
}

// walk reads everything.
type walk struct {
	trail  *Trail
	seen   []bool
	report Report
	buffer []byte
}

// read looks at all records of a kind. The count is asked for as well: records that
// stand at the same place of the order could hide from paging.
func (w *walk) read(ctx context.Context, reader store.Reader, kind record.Kind) error {
	q, err := query.Validate(query.Query{Kind: kind, Scope: query.All(), Limit: query.MaxLimit}, record.NewSchema(kind))
	if err != nil {
		return err
	}
	counted, err := reader.Count(ctx, q, 0)
	if err != nil {
		return fmt.Errorf("count the records of the kind %s: %w", kind, err)
	}
	before := w.report.Read
	for {
		page, err := reader.List(ctx, q)
		if err != nil {
			return fmt.Errorf("read the records of the kind %s: %w", kind, err)
		}
		for _, document := range page.Documents {
			if err := w.look(kind, document); err != nil {
				return err
			}
		}
		if page.Next == nil {
			break
		}
		q.After = page.Next
	}
	if paged := int64(w.report.Read - before); paged != counted.Records {
		w.report.Repeated++
		w.example("%d records of the kind %s were counted and %d read", counted.Records, kind, paged)
	}
	return nil
}

// look compares one document with the record that was stored.
func (w *walk) look(kind record.Kind, document []byte) error {
	w.report.Read++
	id, err := idOf(document)
	if err != nil {
		return err
	}
	i, known := w.trail.index[id]
	if !known {
		return w.meet(kind, id, document)
	}
	m := w.trail.members[i]
	if m.gone || i >= len(w.seen) || w.seen[i] {
		w.report.Repeated++
		w.example("it has %s once more", describe(m.record))
		return nil
	}
	w.seen[i] = true
	w.compare(m.record, document)
	return nil
}

func (w *walk) compare(want record.Record, document []byte) {
	w.buffer = record.AppendDocument(w.buffer[:0], want)
	if !bytes.Equal(w.buffer, document) {
		w.report.Altered++
		w.example("%s was %s and is %s", describe(want), w.buffer, document)
	}
}

// meet takes a record in that the trail does not know: one that was sent without
// an answer, or one that the eraser wrote of itself.
func (w *walk) meet(kind record.Kind, id record.ID, document []byte) error {
	if r, ok := w.trail.pending[id]; ok {
		w.compare(r, document)
		w.trail.add(r)
		delete(w.trail.pending, id)
		return nil
	}
	r := record.New(kind)
	if err := record.Decode(document, r); err != nil {
		return err
	}
	if !ownRun(r) {
		w.report.Unknown++
		w.example("nobody stored %s: %s", describe(r), document)
		return nil
	}
	w.report.Own++
	w.trail.add(r)
	return nil
}

// idOf reads the id, with which each document begins.
func idOf(document []byte) (record.ID, error) {
	const before = `{"id":"`
	rest, ok := bytes.CutPrefix(document, []byte(before))
	if !ok || len(rest) < 2*len(record.ID{}) {
		return record.ID{}, fmt.Errorf("a document does not begin with its id: %.100s", document)
	}
	return record.ParseID(string(rest[:2*len(record.ID{})]))
}

func describe(r record.Record) string {
	base := r.Base()
	text := fmt.Sprintf("the %s %s of %s, org %q, user %q", r.Kind(), base.ID, base.Time, base.OrgID, base.UserID)
	if a, ok := r.(*record.Audit); ok {
		text += fmt.Sprintf(", target %q", a.TargetID)
	}
	return text
}

func (w *walk) example(format string, args ...any) {
	if len(w.report.Examples) < maxExamples {
		w.report.Examples = append(w.report.Examples, fmt.Sprintf(format, args...))
	}
}
