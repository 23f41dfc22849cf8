package importer

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/builders"
)

// importRig imports into a fakeWriter, by a clock that stands still.
type importRig struct {
	writer  *fakeWriter
	rejects bytes.Buffer
	waits   []time.Duration
	options Options
}

func newImportRig() *importRig {
	r := &importRig{writer: newFakeWriter()}
	r.options = Options{
		Events:  record.KubernetesOptions{OwnCluster: "prod"},
		Rejects: &r.rejects,
		Now:     func() time.Time { return builders.Time().Add(time.Hour) },
		Sleep: func(ctx context.Context, d time.Duration) error {
			r.waits = append(r.waits, d)
			return ctx.Err()
		},
	}
	return r
}

func (r *importRig) run(t *testing.T, texts ...string) (Summary, error) {
	t.Helper()
	var sources []Source
	for i, text := range texts {
		sources = append(sources, Source{Name: fmt.Sprintf("file%d", i+1), Reader: strings.NewReader(text), Size: int64(len(text))})
	}
	return Import(t.Context(), sources, r.writer, r.options)
}

func own(name string) string {
	return fmt.Sprintf(`{"kind":"Audit","time":"2026-11-02T10:00:00Z","user_id":"alice","action":"delete","target_resource_name":%q}`, name)
}

func eventLine(t *testing.T, name string) string {
	t.Helper()
	line, err := json.Marshal(named(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

func packed(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// importCase is some files and what becomes of them.
type importCase struct {
	files []string
	want  Summary
}

func importCases(t *testing.T) map[string]importCase {
	t.Helper()
	login := `{"time":"2026-11-02T10:00:00Z","login_org_id":"o","event":"Success"}`
	return map[string]importCase{
		"nothing":     {files: []string{""}},
		"empty lines": {files: []string{"\n\r\n\n"}, want: Summary{Lines: 3}},
		"one of each kind of line": {
			files: []string{strings.Join([]string{own("a"), login, eventLine(t, "b"), string(builders.EventList(named("c"), named("d")))}, "\n")},
			want:  Summary{Lines: 4, Stored: 5},
		},
		"lines that end as on Windows":      {files: []string{own("a") + "\r\n" + own("b") + "\r\n"}, want: Summary{Lines: 2, Stored: 2}},
		"a byte order mark":                 {files: []string{"\uFEFF" + own("a")}, want: Summary{Lines: 1, Stored: 1}},
		"gzip":                              {files: []string{packed(t, own("a")+"\n"+own("b"))}, want: Summary{Lines: 2, Stored: 2}},
		"two gzip files after one another":  {files: []string{packed(t, own("a")+"\n") + packed(t, own("b"))}, want: Summary{Lines: 2, Stored: 2}},
		"equal lines are different records": {files: []string{own("a") + "\n" + own("a") + "\n" + own("a")}, want: Summary{Lines: 3, Stored: 3}},
		"the same lines in two files":       {files: []string{own("a") + "\n" + own("a"), own("a") + "\n" + own("b")}, want: Summary{Lines: 4, Stored: 3, Duplicate: 1}},
		"an event twice is one record":      {files: []string{eventLine(t, "a") + "\n" + eventLine(t, "a")}, want: Summary{Lines: 2, Stored: 1, Duplicate: 1}},
		"events without records": {
			files: []string{strings.Replace(eventLine(t, "a"), "ResponseComplete", "RequestReceived", 1)},
			want:  Summary{Lines: 1, Skipped: 1},
		},
		"bad lines among good ones": {
			files: []string{strings.Join([]string{own("a"), "oops", "{}", `{"kind":"Audit"`, own("b"), `{"kind":"Audit","time":"2026-11-02T10:00:00Z","colour":"red"}`}, "\n")},
			want: Summary{Lines: 6, Stored: 2, Refused: 4, FirstRefused: []RefusedLine{
				{Source: "file1", Line: 2}, {Source: "file1", Line: 3}, {Source: "file1", Line: 4}, {Source: "file1", Line: 6},
			}},
		},
		"one bad event in a list": {
			files: []string{own("a"), string(builders.EventList(named("b"), json.RawMessage(`{}`), named("c")))},
			want:  Summary{Lines: 2, Stored: 3, Refused: 1, FirstRefused: []RefusedLine{{Source: "file2", Line: 1}}},
		},
		"a line that is too long": {
			files: []string{own("a") + "\n" + own(strings.Repeat("x", MaxLineBytes)) + "\n" + own("b")},
			want:  Summary{Lines: 3, Stored: 2, Refused: 1, FirstRefused: []RefusedLine{{Source: "file1", Line: 2}}},
		},
	}
}

func TestImport(t *testing.T) {
	for name, test := range importCases(t) {
		t.Run(name, func(t *testing.T) {
			r := newImportRig()
			got, err := r.run(t, test.files...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(RefusedLine{}, "Reason")); diff != "" {
				t.Error(diff)
			}
			if int64(len(r.writer.stored)) != got.Stored {
				t.Errorf("%d records are stored", len(r.writer.stored))
			}
			if n := bytes.Count(r.rejects.Bytes(), []byte("\n")); int64(n) != got.Refused {
				t.Errorf("%d lines among the rejects", n)
			}
			again, err := r.run(t, test.files...)
			if err != nil {
				t.Fatal(err)
			}
			if again.Stored != 0 || again.Duplicate != got.Stored+got.Duplicate {
				t.Errorf("the second time: %+v", again)
			}
		})
	}
}

func TestImportedRecordsSayWhereTheyCameFrom(t *testing.T) {
	r := newImportRig()
	r.options.Events.Cluster = "far"
	if _, err := r.run(t, own("a")+"\n"+eventLine(t, "b")); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, stored := range r.writer.stored {
		a := stored.(*record.Audit)
		got[a.TargetResourceName] = []string{a.SourceType, a.Cluster, a.OrgID, a.IngestTime.String()}
	}
	want := map[string][]string{
		"a": {record.SourceImport, "", "", "2026-11-02T11:30:00.123456Z"},
		"b": {record.SourceKubernetes, "far", "far/shop", "2026-11-02T11:30:00.123456Z"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAFileIsImportedInBatches(t *testing.T) {
	r := newImportRig()
	var lines strings.Builder
	for i := range 2345 {
		fmt.Fprintln(&lines, own(fmt.Sprint(i)))
	}
	var last Progress
	r.options.Progress = func(p Progress) { last = p }
	got, err := r.run(t, lines.String())
	if err != nil || got.Stored != 2345 || len(r.writer.calls) != 3 || len(r.writer.calls[0]) != 1000 {
		t.Errorf("%+v in %d calls, %v", got, len(r.writer.calls), err)
	}
	if last.Lines != 2345 || last.Read != last.Size || last.Source != "file1" {
		t.Errorf("progress: %+v", last)
	}
}

func TestAnImportWaitsForItsStore(t *testing.T) {
	r := newImportRig()
	waiting := 0
	r.options.Progress = func(p Progress) {
		if p.Waiting {
			waiting++
		}
	}
	r.writer.failNext(unavailable(0), unavailable(3*time.Second), &store.Error{Reason: store.Timeout, Op: "append"})
	got, err := r.run(t, own("a"))
	if err != nil || got.Stored != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if len(r.waits) != 3 || waiting != 3 || r.waits[1] < 1500*time.Millisecond {
		t.Errorf("waited %v, said so %d times", r.waits, waiting)
	}
}

func TestOnlyWhatFailedIsSentAgain(t *testing.T) {
	r := newImportRig()
	failures := 2
	r.writer.outcome = func(rec record.Record) store.Outcome {
		if rec.(*record.Audit).TargetResourceName == "b" && failures > 0 {
			failures--
			return store.Outcome{Result: store.Failed, Err: unavailable(0)}
		}
		return store.Outcome{}
	}
	got, err := r.run(t, own("a")+"\n"+own("b")+"\n"+own("c"))
	if err != nil || got.Stored != 3 || got.Duplicate != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	var sizes []int
	for _, call := range r.writer.calls {
		sizes = append(sizes, len(call))
	}
	if diff := cmp.Diff([]int{3, 1, 1}, sizes); diff != "" {
		t.Error(diff)
	}
}

func TestAnImportEndsWithAReason(t *testing.T) {
	away := make([]error, 1000)
	for i := range away {
		away[i] = unavailable(0)
	}
	broken := packed(t, own("a")+"\n"+own("b")+"\n")
	tests := map[string]struct {
		errs       []error
		file       string
		prepare    func(*importRig)
		wantText   string
		wantStored int64
	}{
		"the store stays away": {
			errs: away, file: own("a"), wantText: "import file1: stopped before line 1: the store took no records for 2m",
		},
		"the store refuses for another reason": {
			errs: []error{nil, &store.Error{Reason: store.Conflict, Op: "append", Message: "the index is not ours"}},
			file: strings.Repeat(own("a")+"\n", 1001), wantText: "stopped before line 1001: append: conflict: the index is not ours",
			wantStored: 1000,
		},
		"the rejects cannot be written": {
			file: "oops", wantText: "write a refused line: disk full",
			prepare: func(r *importRig) { r.options.Rejects = brokenPipe{} },
		},
		"the file is cut off in the middle of gzip": {
			file: broken[:len(broken)-9], wantText: "line 3 cannot be read: unexpected EOF", wantStored: 2,
		},
		"the file only begins like gzip": {file: "\x1f\x8bxxxxxxxxxxxxxxx", wantText: "begins like gzip"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newImportRig()
			if test.prepare != nil {
				test.prepare(r)
			}
			r.writer.failNext(test.errs...)
			got, err := r.run(t, test.file)
			if err == nil || !strings.Contains(err.Error(), test.wantText) {
				t.Errorf("ended with %v, want %q", err, test.wantText)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the store's address leaks: %v", err)
			}
			if got.Stored != test.wantStored {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestAnImportThatIsStopped(t *testing.T) {
	r := newImportRig()
	ctx, cancel := context.WithCancel(t.Context())
	r.writer.failNext(unavailable(0))
	r.options.Sleep = func(ctx context.Context, _ time.Duration) error {
		cancel()
		return ctx.Err()
	}
	_, err := Import(ctx, []Source{{Name: "f", Reader: strings.NewReader(own("a"))}}, r.writer, r.options)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "import the same file again") {
		t.Errorf("ended with %v", err)
	}
}

func TestSummaryNamesTheFirstRefused(t *testing.T) {
	r := newImportRig()
	got, err := r.run(t, strings.Repeat("oops\n", 25)+own("a"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := got.Write(&text); err != nil {
		t.Fatal(err)
	}
	if got.Refused != 25 || len(got.FirstRefused) != 20 || strings.Count(text.String(), "file1, line ") != 20 ||
		!strings.Contains(text.String(), "and 5 more") {
		t.Errorf("%s", text.String())
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("disk full") }
