package ingest

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/builders"
)

// sorted is what became of a body's items.
type sorted struct {
	Items []any
}

func (s *sorted) take(item record.DecodedRecord) error {
	switch {
	case item.Err != nil:
		s.Items = append(s.Items, "bad")
	case item.Event != nil:
		s.Items = append(s.Items, *item.Event)
	default:
		s.Items = append(s.Items, item.Record)
	}
	return nil
}

// FuzzRecords compares with package record, whose decoder knows JSON as a whole:
// what that takes gives the same items here.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("[" + own("a") + "," + own("b") + "]"))
	f.Add([]byte(own("a") + "\n" + own("b") + "\noops\n"))
	f.Add(append(append([]byte("["), builders.EventList(named("a"))...), []byte(`,{"kind":"AuthAudit","time":"2026-11-02T10:30:00Z"}, 5]`)...))
	f.Add([]byte(" [ ] "))
	f.Fuzz(func(t *testing.T, input []byte) {
		var want, got sorted
		if err := record.DecodeRecords(bytes.NewReader(input), record.DecodeLimits{}, want.take); err != nil {
			return
		}
		err := readRecords(bytes.NewReader(input), got.take)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-record +here):\n%s", err, diff)
		}
	})
}
