package importer

import (
	"context"
	"errors"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/builders"
)

// fakeWriter keeps records in memory, as a store would, and can fail the next
// calls.
type fakeWriter struct {
	stored  map[record.ID]record.Record
	calls   [][]record.Record
	errs    []error                           // for the next calls, nil for a good one
	outcome func(record.Record) store.Outcome // nil, or a zero Result, for the usual
}

func newFakeWriter() *fakeWriter { return &fakeWriter{stored: map[record.ID]record.Record{}} }

func (f *fakeWriter) Append(ctx context.Context, records []record.Record) ([]store.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.calls = append(f.calls, append([]record.Record(nil), records...))
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		if err != nil {
			return nil, err
		}
	}
	outcomes := make([]store.Outcome, len(records))
	for i, r := range records {
		outcomes[i] = f.append(r)
	}
	return outcomes, nil
}

func (f *fakeWriter) append(r record.Record) store.Outcome {
	if f.outcome != nil {
		if o := f.outcome(r); o.Result != 0 {
			return o
		}
	}
	if _, ok := f.stored[r.Base().ID]; ok {
		return store.Outcome{Result: store.Duplicate}
	}
	f.stored[r.Base().ID] = r
	return store.Outcome{Result: store.Stored}
}

func (f *fakeWriter) failNext(errs ...error) { f.errs = append(f.errs, errs...) }

func unavailable(after time.Duration) error {
	return &store.Error{Reason: store.Unavailable, Op: "append", Message: "the store is away", RetryAfter: after,
		Err: errors.New("dial https://elastic:secret@10.0.0.1:9200: refused")}
}

// named is an event about an object of a name.
func named(name string) *auditv1.Event {
	return builders.Event(func(e *auditv1.Event) { e.ObjectRef.Name = name })
}
