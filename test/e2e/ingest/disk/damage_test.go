package disk_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/faults"
	"auditquery.dev/auditquery/test/receiver"
	"auditquery.dev/auditquery/test/sender"
)

// stopped is a receiver that has acknowledged events, has stored none of them and
// was killed: all of them are in segments of 1 MiB. The last of them is one record,
// which the last segment ends with.
func stopped(t *testing.T, prefix string, events int) *place {
	t.Helper()
	p := newPlace(t, prefix, faults.Fault{Kind: faults.Refuse}, receiver.Options{Args: []string{"--spool-segment-bytes=1Mi"}})
	for p.acknowledged.Len() <= events {
		count := batch
		if p.acknowledged.Len() == events {
			count = 1
		}
		if a := p.post(t, count); a.status != http.StatusOK {
			t.Fatal(a)
		}
	}
	p.kill(t)
	p.set(t, faults.Fault{})
	return p
}

// TestFlippedBits: what a flipped bit made unreadable is found, counted and put
// aside, and costs nothing else.
func TestFlippedBits(t *testing.T) {
	const (
		events   = 5000
		inRecord = 1007
		inHeader = 2513
	)
	p := stopped(t, "flipped", events)
	if files := segments(t, p.SpoolDir()); len(files) < 4 {
		t.Fatalf("the spool has %d segments", len(files))
	}
	record := p.find(t, inRecord)
	record.flip(t, record.document)
	header := p.find(t, inHeader)
	header.flip(t, header.entry-3)
	if record.file == header.file {
		t.Fatal("both are in one segment")
	}

	p.start(t)
	if a := p.post(t, batch); a.status != http.StatusOK {
		t.Error(a)
	}
	counted, report := p.drained(t)
	wantLost(t, p, report, inRecord, inHeader)
	if diff := cmp.Diff(map[string]int64{"damaged": 2}, positive(counted.DeadLetters)); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
	if left := segments(t, p.SpoolDir()); len(left) > 2 {
		t.Errorf("segments that are stored or put aside are still there: %v", left)
	}
	listed := command(t, "deadletter", "list", "--dead-letter-dir="+p.DeadLetterDir(), "--cause=damaged")
	if got := bytes.Count([]byte(listed), []byte("damaged")); got < 2 {
		t.Errorf("auditquery deadletter list shows:\n%s", listed)
	}

	t.Run("a second start counts nothing twice", func(t *testing.T) {
		if err := p.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.start(t)
		counted, report := p.drained(t)
		wantLost(t, p, report, inRecord, inHeader)
		if counted.Found != 0 || counted.DeadLettered != 0 || counted.Duplicate != 0 {
			t.Errorf("%+v", counted)
		}
	})
}

// TestALastSegmentThatEndsEarly cuts and lengthens the last segment, as a write does
// that did not come to its end.
func TestALastSegmentThatEndsEarly(t *testing.T) {
	const events = 2000
	for name, test := range map[string]struct {
		prefix string
		// spoil changes the last segment, whose last record begins at a place.
		spoil func(content []byte, last int64) []byte
		// lost says that the last event is gone.
		lost bool
	}{
		"its last byte is missing": {
			prefix: "cut-byte", lost: true, spoil: func(b []byte, _ int64) []byte { return b[:len(b)-1] },
		},
		"half of its last record is missing": {
			prefix: "cut-half", lost: true, spoil: func(b []byte, last int64) []byte { return b[:(last+int64(len(b)))/2] },
		},
		"all of its last record but some of the header is missing": {
			prefix: "cut-all", lost: true, spoil: func(b []byte, last int64) []byte { return b[:last-20] },
		},
		"zeros follow its last record": {
			prefix: "zeros", spoil: func(b []byte, _ int64) []byte { return append(b, make([]byte, 3000)...) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := stopped(t, test.prefix, events)
			last := p.find(t, events)
			content, err := os.ReadFile(last.file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(last.file, test.spoil(content, last.entry), 0o600); err != nil {
				t.Fatal(err)
			}
			p.start(t)
			if a := p.post(t, batch); a.status != http.StatusOK {
				t.Error(a)
			}
			counted, report := p.drained(t)
			letters := positive(counted.DeadLetters)
			if !test.lost {
				if err := report.Err(); err != nil || len(letters) > 0 {
					t.Errorf("%v; dead letters: %v", err, letters)
				}
				return
			}
			wantLost(t, p, report, events)
			// The spool may know that the record was there, or not.
			if diff := cmp.Diff(map[string]int64{"damaged": 1}, letters); diff != "" && len(letters) > 0 {
				t.Errorf("dead letters: %v", letters)
			}
		})
	}
}

// wantLost fails the test unless exactly these events are not in the store.
func wantLost(t *testing.T, p *place, report sender.Report, events ...int) {
	t.Helper()
	if report.Missing != len(events) || report.Altered+report.Repeated+report.Unknown != 0 {
		t.Errorf("want %d missing, and nothing else wrong: %+v", len(events), report)
	}
	// Without them nothing is missing: so it is these.
	var others sender.Numbers
	p.acknowledged.Each(func(n int) bool {
		if !slices.Contains(events, n) {
			others.Add(n, 1)
		}
		return true
	})
	if _, report := p.drainedOf(t, sender.Run{Source: p.source, Sent: &p.sent, Acknowledged: &others}); report.Err() != nil {
		t.Error(report.Err())
	}
}

// kept is where the spool keeps the record of an event.
type kept struct {
	file string
	// entry is where its bytes begin, behind their header, and document is in its
	// document.
	entry, document int64
}

// find looks for the record of an event in the spool.
func (p *place) find(t *testing.T, event int) kept {
	t.Helper()
	records, err := p.source.Records(event)
	if err != nil || len(records) != 1 {
		t.Fatalf("event %d gives %d records: %v", event, len(records), err)
	}
	base := records[0].Base()
	for _, file := range segments(t, p.SpoolDir()) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		id := bytes.Index(content, base.ID[:])
		if id < 0 {
			continue
		}
		document := bytes.Index(content[id:], record.AppendID(nil, base.ID))
		if document < 0 {
			t.Fatalf("the document of event %d is not where its id is", event)
		}
		const beforeID = 2 // the entry's format and kind
		return kept{file: file, entry: int64(id - beforeID), document: int64(id + document)}
	}
	t.Fatalf("event %d is not in the spool", event)
	return kept{}
}

// flip turns one bit of the file over.
func (k kept) flip(t *testing.T, offset int64) {
	t.Helper()
	content, err := os.ReadFile(k.file)
	if err != nil {
		t.Fatal(err)
	}
	content[offset] ^= 1 << 4
	if err := os.WriteFile(k.file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// segments are the large files of a spool, in the order of their names.
func segments(t *testing.T, dir string) []string {
	t.Helper()
	const least = 4 << 10
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Size() > least {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// positive leaves out what was counted and never seen.
func positive(counts map[string]int64) map[string]int64 {
	seen := map[string]int64{}
	for name, count := range counts {
		if count != 0 {
			seen[name] = count
		}
	}
	return seen
}
