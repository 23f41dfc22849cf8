package record_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
)

// ownLines are records of ours: those of a file of samples, and odd ones.
func ownLines(t *testing.T) map[string]string {
	t.Helper()
	lines := map[string]string{
		"an address with a zone":    `{"kind":"Audit","time":"2026-11-24T10:00:00Z","source_ip":"fe80::1%eth0"}`,
		"an address that is none":   `{"kind":"Audit","time":"2026-11-24T10:00:00Z","source_ip":"here"}`,
		"a text that is too long":   `{"kind":"Audit","time":"2026-11-24T10:00:00Z","user_id":"` + strings.Repeat("x", 9000) + `"}`,
		"a time in the future":      `{"kind":"Audit","time":"2036-11-24T10:00:00Z","user_id":"alice"}`,
		"a time before 1970":        `{"kind":"Audit","time":"1936-11-24T10:00:00Z","user_id":"alice"}`,
		"an empty attribute":        `{"kind":"Audit","time":"2026-11-24T10:00:00Z","audit_attributes":[{},{"attribute_id":"a"}]}`,
		"a long attribute":          `{"kind":"Audit","time":"2026-11-24T10:00:00Z","audit_attributes":[{"attribute_id":"` + strings.Repeat("y", 9000) + `"}]}`,
		"spaces in details":         `{"kind":"AuthAudit","time":"2026-11-24T10:00:00Z","details":{ "a" : 1 }}`,
		"an unusual escape":         `{"kind":"Audit","time":"2026-11-24T10:00:00Z","details":{"a":"\u0041"}}`,
		"details that are empty":    `{"kind":"Audit","time":"2026-11-24T10:00:00Z","details":{}}`,
		"details that are too deep": `{"kind":"Audit","time":"2026-11-24T10:00:00Z","details":{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}}`,
		"an id and a time of ingest": `{"kind":"Audit","id":"00112233445566778899aabbccddeeff","time":"2026-11-24T10:00:00Z",` +
			`"ingest_time":"2026-11-24T10:00:01Z","user_id":"alice"}`,
	}
	samples, err := os.ReadFile("../../test/testdata/applications.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(samples) {
		lines["sample "+string(line[:min(len(line), 60)])] = string(bytes.TrimSpace(line))
	}
	return lines
}

func TestContentIsPreparedAsStepByStep(t *testing.T) {
	now := time.Date(2026, 11, 24, 11, 0, 0, 0, time.UTC)
	var lent record.Prepared // as a caller lends it, with what was in it before
	for name, line := range ownLines(t) {
		t.Run(name, func(t *testing.T) {
			for _, before := range []int{0, 3} {
				slow, fast := mustDecodeOwn(t, line), mustDecodeOwn(t, line)
				canonical, err := record.Canonical(slow)
				if err != nil {
					t.Fatal(err)
				}
				first := record.ContentID(slow.Kind(), canonical, 0)
				slow.Base().ID = record.ContentID(slow.Kind(), canonical, before)
				record.Normalize(slow, now)
				want := record.Prepare(slow)
				got, err := record.PrepareContent(lent, fast, now, func(id record.ID) int {
					if id != first {
						t.Errorf("asked for %s, want %s", id, first)
					}
					return before
				})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want.Document), string(got.Document)); diff != "" {
					t.Errorf("document (-want +got):\n%s", diff)
				}
				if got.ID != want.ID || got.Time != want.Time || got.Kind != want.Kind || !cmp.Equal(want.Words, got.Words) {
					t.Errorf("got %v %v %v %q, want %v %v %v %q", got.ID, got.Time, got.Kind, got.Words, want.ID, want.Time, want.Kind, want.Words)
				}
				if diff := cmp.Diff(slow, fast); diff != "" {
					t.Errorf("record (-want +got):\n%s", diff)
				}
				lent = got
			}
		})
	}
}

func mustDecodeOwn(t *testing.T, line string) record.Record {
	t.Helper()
	r, err := record.DecodeOwn([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
