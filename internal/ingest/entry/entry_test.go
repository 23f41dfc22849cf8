package entry_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/ingest/entry"
	"auditquery.dev/auditquery/internal/record"
)

// valid is an entry, with what modify makes of it.
func valid(modify ...func(*entry.Entry)) entry.Entry {
	e := entry.Entry{
		Source:   "kubernetes/prod",
		Received: record.At(time.Date(2026, 11, 24, 10, 0, 1, 0, time.UTC)),
		Record: record.Prepared{
			Kind: record.KindAudit, ID: record.ID{1, 2, 3}, Time: record.At(time.Date(2026, 11, 24, 10, 0, 0, 5000, time.UTC)),
			Document: []byte(`{"id":"01"}`), Words: []string{"alice", "deleted", "web"},
		},
	}
	for _, m := range modify {
		m(&e)
	}
	return e
}

func TestAnEntryComesBackAsItWas(t *testing.T) {
	for name, e := range map[string]entry.Entry{
		"an audit":    valid(),
		"a login":     valid(func(e *entry.Entry) { e.Record.Kind = record.KindAuthAudit }),
		"no words":    valid(func(e *entry.Entry) { e.Record.Words = []string{} }),
		"an odd word": valid(func(e *entry.Entry) { e.Record.Words = []string{"", "é", strings.Repeat("x", 300)} }),
		"many words":  valid(func(e *entry.Entry) { e.Record.Words = strings.Split(strings.Repeat("w ", record.MaxWords-1)+"w", " ") }),
		"no source":   valid(func(e *entry.Entry) { e.Source = "" }),
		"a long body": valid(func(e *entry.Entry) { e.Record.Document = bytes.Repeat([]byte("d"), 1<<20) }),
		"before 1970": valid(func(e *entry.Entry) { e.Record.Time = -1 }),
		"at 1970":     valid(func(e *entry.Entry) { e.Record.Time, e.Received = 0, 0 }),
	} {
		t.Run(name, func(t *testing.T) {
			data := entry.Append([]byte("before"), &e)
			got, err := entry.Parse(data[len("before"):])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNoEntryIsRefused(t *testing.T) {
	e := valid()
	whole := entry.Append(nil, &e)
	changed := func(at int, to byte) []byte {
		data := bytes.Clone(whole)
		data[at] = to
		return data
	}
	const sourceAt = 34
	tests := map[string][]byte{
		"another format":           changed(0, 2),
		"another kind":             changed(1, 3),
		"something behind it":      append(bytes.Clone(whole), 0),
		"a length beyond its end":  changed(sourceAt, 0x7f),
		"more words than a record": changed(sourceAt+1+len(e.Source), 0x7f),
	}
	for n := range whole {
		tests["cut off after "+time.Duration(n).String()] = whole[:n]
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := entry.Parse(data); err == nil {
				t.Errorf("it was taken for %+v", got)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	e := valid()
	f.Add(entry.Append(nil, &e))
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := entry.Parse(data)
		if err != nil {
			return
		}
		again, err := entry.Parse(entry.Append(nil, &e))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, again); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
