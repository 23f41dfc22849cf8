package sender

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// maxExamples bounds what a report tells in words.
const maxExamples = 10

// Run is what one sender did: Sent events may be in the store, those that were
// Acknowledged must.
type Run struct {
	Source             Source
	Sent, Acknowledged *Numbers
}

// Report is what a store holds of what was sent.
type Report struct {
	// Events were acknowledged, Records read.
	Events, Records int
	// Missing records are of acknowledged events. Altered ones differ in some
	// field. Repeated ones are there more than once. Unknown ones nobody sent.
	Missing, Altered, Repeated, Unknown int
	// Examples tell of some.
	Examples []string
}

// Err is nil when every acknowledged event is in the store exactly once and
// unaltered, and nothing is that was not sent.
func (r Report) Err() error {
	if r.Missing+r.Altered+r.Repeated+r.Unknown == 0 {
		return nil
	}
	return fmt.Errorf("of %d acknowledged events, in %d records: %d records missing, %d altered, %d repeated, %d of unknown origin:\n%s",
		r.Events, r.Records, r.Missing, r.Altered, r.Repeated, r.Unknown, strings.Join(r.Examples, "\n"))
}

// Verify reads every record of a store and compares it with what was sent. Nothing
// may be written meanwhile.
func Verify(ctx context.Context, reader store.Reader, runs ...Run) (Report, error) {
	v := verifier{runs: runs, seen: map[place]*Numbers{}, whole: make([]Numbers, len(runs))}
	for i, run := range runs {
		v.report.Events += run.Acknowledged.Len()
		for _, kind := range record.Kinds() {
			v.seen[place{run: i, kind: kind}] = &Numbers{}
		}
	}
	for _, kind := range record.Kinds() {
		if err := v.read(ctx, reader, kind); err != nil {
			return v.report, err
		}
	}
	return v.report, v.findMissing()
}

// place is a kind of record of one run.
type place struct {
	run  int
	kind record.Kind
}

type verifier struct {
	runs   []Run
	report Report
	seen   map[place]*Numbers
	// whole are the events of each run of which nothing is missing, for they give
	// one record.
	whole []Numbers
}

// read looks at all records of a kind. The count is asked for as well: records that
// stand at the same place of the order could hide from paging.
func (v *verifier) read(ctx context.Context, reader store.Reader, kind record.Kind) error {
	q, err := query.Validate(query.Query{Kind: kind, Scope: query.All(), Limit: query.MaxLimit}, record.NewSchema(kind))
	if err != nil {
		return err
	}
	counted, err := reader.Count(ctx, q, 0)
	if err != nil {
		return fmt.Errorf("count the records of the kind %s: %w", kind, err)
	}
	before := v.report.Records
	for {
		page, err := reader.List(ctx, q)
		if err != nil {
			return fmt.Errorf("read the records of the kind %s: %w", kind, err)
		}
		records, err := record.DecodeAll(kind, page.Documents)
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := v.look(r); err != nil {
				return err
			}
		}
		if page.Next == nil {
			break
		}
		q.After = page.Next
	}
	if paged := int64(v.report.Records - before); paged != counted.Records {
		v.report.Repeated++
		v.example("%d records of the kind %s were counted and %d read", counted.Records, kind, paged)
	}
	return nil
}

// look compares one record.
func (v *verifier) look(r record.Record) error {
	v.report.Records++
	for i, run := range v.runs {
		n, ok := run.Source.Number(r)
		if !ok {
			continue
		}
		if !run.Sent.Has(n) {
			break
		}
		if v.seen[place{run: i, kind: r.Kind()}].Add(n, 1) == 0 {
			v.report.Repeated++
			v.example("event %d of run %d has more than one record of the kind %s", n, i, r.Kind())
		}
		return v.compare(i, n, r)
	}
	v.report.Unknown++
	v.example("nobody sent the %s %s with the trace id %q", r.Kind(), r.Base().ID, r.Base().TraceID)
	return nil
}

func (v *verifier) compare(run, n int, got record.Record) error {
	wanted, err := v.runs[run].Source.Records(n)
	if err != nil {
		return fmt.Errorf("make event %d again: %w", n, err)
	}
	if len(wanted) == 1 {
		v.whole[run].Add(n, 1)
	}
	for _, want := range wanted {
		if want.Kind() != got.Kind() {
			continue
		}
		if got.Base().IngestTime <= 0 || got.Base().ID.IsZero() {
			v.report.Altered++
			v.example("event %d of run %d: the id is %s and the time of ingest %s", n, run, got.Base().ID, got.Base().IngestTime)
			return nil
		}
		diff, err := difference(want, got)
		if diff != "" {
			v.report.Altered++
			v.example("event %d of run %d (-sent +stored):\n%s", n, run, diff)
		}
		return err
	}
	v.report.Unknown++
	v.example("event %d of run %d gives no record of the kind %s", n, run, got.Kind())
	return nil
}

// difference says in which fields a stored record differs from what was sent; empty
// for none. The time of ingest is the receiver's.
func difference(want, got record.Record) (string, error) {
	if want.Base().ID.IsZero() {
		want.Base().ID = got.Base().ID
	}
	got.Base().IngestTime = 0
	wanted, err := record.Encode(want)
	if err != nil {
		return "", err
	}
	stored, err := record.Encode(got)
	if err != nil || bytes.Equal(wanted, stored) {
		return "", err
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return diff, nil
	}
	return cmp.Diff(string(wanted), string(stored)), nil
}

// findMissing looks for the records of acknowledged events.
func (v *verifier) findMissing() error {
	for i, run := range v.runs {
		var failure error
		run.Acknowledged.Each(func(n int) bool {
			if v.whole[i].Has(n) {
				return true
			}
			wanted, err := run.Source.Records(n)
			if err != nil {
				failure = err
				return false
			}
			for _, want := range wanted {
				if !v.seen[place{run: i, kind: want.Kind()}].Has(n) {
					v.report.Missing++
					v.example("event %d of run %d lacks its record of the kind %s", n, i, want.Kind())
				}
			}
			return true
		})
		if failure != nil {
			return failure
		}
	}
	return nil
}

func (v *verifier) example(format string, args ...any) {
	if len(v.report.Examples) < maxExamples {
		v.report.Examples = append(v.report.Examples, fmt.Sprintf(format, args...))
	}
}
