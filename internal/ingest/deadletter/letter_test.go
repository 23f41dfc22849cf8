package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/ingest/entry"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/builders"
)

func TestWhichLettersGiveTheirRecordBack(t *testing.T) {
	audit := builders.Audit()
	prepared := record.Prepare(audit)
	now := builders.Time()
	whole := entry.Append(nil, &entry.Entry{Source: "kubernetes/prod", Record: prepared})
	rejected := store.Outcome{Result: store.Rejected}
	tests := map[string]struct {
		letter   Letter
		wantText string // of the error
	}{
		"a record":                              {letter: OfRecord("s", prepared, rejected, now)},
		"an entry that this version can read":   {letter: OfBytes("s", Unreadable, "r", whole, now)},
		"an entry that no version can read":     {letter: OfBytes("s", Unreadable, "r", []byte("x"), now), wantText: "too short"},
		"a malformed event":                     {letter: testLetter("r"), wantText: "only an excerpt"},
		"a damaged entry":                       {letter: OfBytes("s", Damaged, "r", whole, now), wantText: "damaged"},
		"a record whose kind nobody knows":      {letter: OfRecord("s", record.Prepared{Kind: "Cake", Document: []byte("{}")}, rejected, now), wantText: "not a kind"},
		"a document that is no record any more": {letter: OfRecord("s", record.Prepared{Kind: record.KindAudit, Document: []byte("[]")}, rejected, now), wantText: "decode"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := test.letter.Record()
			if test.wantText != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantText) {
					t.Errorf("%v, want %q", err, test.wantText)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(prepared, record.Prepare(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLettersAreBounded(t *testing.T) {
	l := OfInput(strings.Repeat("s", 1000), Malformed, strings.Repeat("ü", MaxReason), []byte(`{"a":"`+strings.Repeat("x", 1<<20)+`"}`), time.Now())
	if len(l.Reason) > MaxReason || len(l.Source) > MaxSource || len(l.Excerpt) > 64<<10 {
		t.Errorf("reason %d, source %d, excerpt %d bytes", len(l.Reason), len(l.Source), len(l.Excerpt))
	}
	if strings.Contains(l.Reason, "?") {
		t.Error("the reason is cut inside a rune")
	}
}

func TestReasonsHoldNoAddresses(t *testing.T) {
	secret := errors.New("dial https://elastic:secret@10.0.0.1:9200: refused")
	for name, err := range map[string]error{
		"the store's error":  fmt.Errorf("append: %w", &store.Error{Reason: store.Unavailable, Op: "append", Message: "away", Err: secret}),
		"an unknown error":   secret,
		"a deadline":         fmt.Errorf("%w: %w", context.DeadlineExceeded, secret),
		"no error at all":    nil,
		"a very long reason": &store.Error{Op: "append", Message: strings.Repeat("x", 5000)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Reason(err); got == "" || len(got) > MaxReason || strings.Contains(got, "secret") {
				t.Errorf("%q", got)
			}
		})
	}
}

func FuzzDecodeLine(f *testing.F) {
	line, err := encodeLine(testLetter("reason").finish())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line[:len(line)-1])
	f.Add([]byte("00000000 {}"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := decodeLine(data)
		if l.ID == "" || decodeLine(data).ID != l.ID {
			t.Errorf("%q has the id %q", data, l.ID)
		}
		_, _ = l.Record()
	})
}
