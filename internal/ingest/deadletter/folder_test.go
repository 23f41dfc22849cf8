package deadletter

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/builders"
)

func testLetter(reason string) Letter {
	return OfInput("kubernetes/prod", Malformed, reason, []byte(`{"auditID":5}`), builders.Time())
}

func openFolder(t *testing.T, modify ...func(*Options)) *Folder {
	t.Helper()
	options := Options{Dir: filepath.Join(t.TempDir(), "letters")}
	for _, m := range modify {
		m(&options)
	}
	f, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func small(o *Options) { o.FileBytes = 1000 }

func put(t *testing.T, f *Folder, letters ...Letter) {
	t.Helper()
	if err := f.Put(letters...); err != nil {
		t.Fatal(err)
	}
}

func all(t *testing.T, f *Folder) []Letter {
	t.Helper()
	var letters []Letter
	err := f.Each(t.Context(), func(l Letter) error {
		letters = append(letters, l)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return letters
}

func reasons(letters []Letter) []string {
	var texts []string
	for _, l := range letters {
		texts = append(texts, l.Reason)
	}
	return texts
}

func ignorePlace() cmp.Option {
	return cmp.Options{cmpopts.IgnoreUnexported(Letter{}), cmpopts.IgnoreFields(Letter{}, "ID"), cmpopts.EquateEmpty()}
}

func TestLettersAreKeptAsTheyWere(t *testing.T) {
	audit := builders.Audit()
	document, err := record.Encode(audit)
	if err != nil {
		t.Fatal(err)
	}
	prepared := record.Prepared{Kind: record.KindAudit, ID: audit.ID, Time: audit.Time, Document: document}
	now := builders.Time()
	refusal := store.Outcome{Result: store.Collision, Err: &store.Error{Reason: store.Conflict, Op: "append", Message: "another has this id"}}
	tests := map[string]Letter{
		"a malformed event":            testLetter("event 3: it has no time"),
		"a record":                     OfRecord("bulk/agent", prepared, refusal, now),
		"bytes":                        OfBytes("spool", Damaged, "flipped", []byte{0, 1, 255, '\n'}, now),
		"a document with HTML in it":   OfRecord("s", record.Prepared{Kind: record.KindAudit, Document: []byte(`{"a":"<b>&"}`)}, refusal, now),
		"a reason of several lines":    OfBytes("s", Damaged, "one\ntwo", []byte("x"), now),
		"a document that is not valid": {Source: "s", Cause: Rejected, Time: now, Document: []byte("{")},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			f := openFolder(t)
			put(t, f, want, testLetter("next"))
			got := all(t, f)
			if len(got) != 2 {
				t.Fatalf("%d letters", len(got))
			}
			if len(want.Document) == 1 {
				want.Document, want.Bytes = nil, want.Document
			}
			if diff := cmp.Diff(want, got[0], ignorePlace()); diff != "" {
				t.Error(diff)
			}
			if len(got[0].ID) != idLength || got[0].ID == got[1].ID {
				t.Errorf("ids %q and %q", got[0].ID, got[1].ID)
			}
		})
	}
}

func TestTheSameRecordHasTheSameID(t *testing.T) {
	f := openFolder(t)
	letter := func(at time.Time) Letter {
		return OfRecord("s", record.Prepared{Kind: record.KindAudit, Document: []byte(`{}`)}, store.Outcome{Result: store.Rejected}, at)
	}
	put(t, f, letter(builders.Time()), letter(builders.Time().Add(time.Hour)), testLetter("a"), testLetter("a"))
	other := testLetter("a")
	other.Time = other.Time.Add(time.Microsecond)
	put(t, f, other)
	got := all(t, f)
	if got[0].ID != got[1].ID || got[2].ID != got[3].ID || got[3].ID == got[4].ID || got[0].ID == got[2].ID {
		t.Errorf("%v", got)
	}
}

func TestAFullFolderTakesNoMoreAndKeepsWhatItHas(t *testing.T) {
	f := openFolder(t, small, func(o *Options) { o.MaxBytes = 3000 })
	var err error
	n := 0
	for ; n < 100 && err == nil; n++ {
		err = f.Put(testLetter(fmt.Sprint("letter ", n)))
	}
	if !errors.Is(err, ErrFull) || n < 5 {
		t.Fatalf("after %d letters: %v", n, err)
	}
	kept := all(t, f)
	usage, err := f.Usage()
	if err != nil || usage.Bytes > 3000 || usage.MaxBytes != 3000 || usage.Files < 3 || len(kept) != n-1 {
		t.Errorf("%+v, %d of %d letters, %v", usage, len(kept), n-1, err)
	}
	if _, err := f.Discard(kept[:1]...); err != nil {
		t.Fatal(err)
	}
	put(t, f, testLetter("letter 0"))
	if got := all(t, f); got[0].Reason != "letter 1" || got[len(got)-1].Reason != "letter 0" {
		t.Errorf("%v", reasons(got))
	}
}

func TestDiscard(t *testing.T) {
	tests := map[string]struct {
		gone func(n int) bool
		want int
	}{
		"none":                   {gone: func(int) bool { return false }},
		"one":                    {gone: func(n int) bool { return n == 7 }, want: 1},
		"every other":            {gone: func(n int) bool { return n%2 == 0 }, want: 10},
		"all":                    {gone: func(int) bool { return true }, want: 20},
		"a whole file and a bit": {gone: func(n int) bool { return n < 7 }, want: 7},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := openFolder(t, small)
			for n := range 20 {
				put(t, f, testLetter(fmt.Sprint(n)))
			}
			var gone []Letter
			var want []string
			for n, l := range all(t, f) {
				if test.gone(n) {
					gone = append(gone, l)
				} else {
					want = append(want, l.Reason)
				}
			}
			removed, err := f.Discard(gone...)
			if err != nil || removed != test.want {
				t.Errorf("removed %d, %v", removed, err)
			}
			put(t, f, testLetter("after"))
			if diff := cmp.Diff(append(want, "after"), reasons(all(t, f))); diff != "" {
				t.Error(diff)
			}
			if again, err := f.Discard(gone...); err != nil || again != 0 {
				t.Errorf("removed %d again, %v", again, err)
			}
		})
	}
}

// lastFile is the path of the file that grows.
func lastFile(t *testing.T, f *Folder) string {
	t.Helper()
	files, err := f.files()
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return f.pathOf(files[len(files)-1].number)
}

func TestWhatACrashOrTheDiskLeaves(t *testing.T) {
	tests := map[string]struct {
		harm func(content []byte) []byte
		want []string
		// wantDamaged is at which of them the disk has changed something.
		wantDamaged int
	}{
		"a line that was cut off": {
			harm: func(c []byte) []byte { return append(c, []byte(`5f3a0001 {"id":"abc`)...) },
			want: []string{"one", "two", "after"}, wantDamaged: -1,
		},
		"a long line that was cut off": {
			harm: func(c []byte) []byte { return append(c, bytes.Repeat([]byte("x"), 100_000)...) },
			want: []string{"one", "two", "after"}, wantDamaged: -1,
		},
		"nothing but a part of a line": {
			harm: func(c []byte) []byte { return c[:20] }, want: []string{"after"}, wantDamaged: -1,
		},
		"a flipped bit": {
			harm: func(c []byte) []byte { c[40] ^= 1; return c },
			want: []string{"damaged", "two", "after"}, wantDamaged: 0,
		},
		"a flipped bit in a checksum": {
			harm: func(c []byte) []byte { c[0] ^= 1; return c },
			want: []string{"damaged", "two", "after"}, wantDamaged: 0,
		},
		"an empty line": {
			harm: func(c []byte) []byte { return append(c, '\n') },
			want: []string{"one", "two", "damaged", "after"}, wantDamaged: 2,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := openFolder(t)
			put(t, f, testLetter("one"), testLetter("two"))
			path := lastFile(t, f)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, test.harm(content), 0o600); err != nil {
				t.Fatal(err)
			}
			put(t, f, testLetter("after"))
			got := all(t, f)
			texts := reasons(got)
			for n, l := range got {
				if l.Cause == Damaged {
					texts[n] = "damaged"
				}
			}
			if diff := cmp.Diff(test.want, texts); diff != "" {
				t.Fatal(diff)
			}
			if test.wantDamaged < 0 {
				return
			}
			if removed, err := f.Discard(got[test.wantDamaged]); removed != 1 || err != nil {
				t.Errorf("a damaged letter cannot be discarded: %d, %v", removed, err)
			}
			if left := all(t, f); len(left) != len(got)-1 {
				t.Errorf("left: %v", reasons(left))
			}
		})
	}
}

func TestAFileThatCannotBeMadeDurable(t *testing.T) {
	f := openFolder(t)
	put(t, f, testLetter("before"))
	broken := errors.New("I/O error")
	f.sync = func(*os.File) error { return broken }
	if err := f.Put(testLetter("lost")); !errors.Is(err, broken) {
		t.Fatalf("put: %v", err)
	}
	f.sync = (*os.File).Sync
	put(t, f, testLetter("after"))
	if diff := cmp.Diff([]string{"before", "after"}, reasons(all(t, f))); diff != "" {
		t.Error(diff)
	}
	if !strings.HasSuffix(lastFile(t, f), "2"+suffix) {
		t.Error("the file whose sync failed got another letter")
	}
}

func TestAFolderThatGoesAway(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing", "letters")
	if _, err := Open(Options{Dir: missing}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opened: %v", err)
	}
	if _, err := Open(Options{Dir: filepath.Dir(filepath.Dir(missing)) + "/other", Existing: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that should be there: %v", err)
	}
	f := openFolder(t)
	if err := os.RemoveAll(f.options.Dir); err != nil {
		t.Fatal(err)
	}
	if err := f.Put(testLetter("lost")); err == nil {
		t.Error("a letter was put where there is no folder")
	}
	if err := f.Each(t.Context(), func(Letter) error { return nil }); err == nil {
		t.Error("a folder that is gone looks empty")
	}
	if err := os.Mkdir(f.options.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, f, testLetter("after"))
	if got := all(t, f); len(got) != 1 {
		t.Errorf("kept %v", reasons(got))
	}
}

func TestOnlyTheOwnerReadsLetters(t *testing.T) {
	f := openFolder(t)
	put(t, f, testLetter("one"))
	for path, want := range map[string]os.FileMode{f.options.Dir: 0o700, lastFile(t, f): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// Two processes are played by two Folders, which lock each other out as these do.
func TestPuttingAndDiscardingAtTheSameTimeLosesNothing(t *testing.T) {
	f := openFolder(t, small)
	other, err := Open(f.options)
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 3, 40
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for n := range each {
				if err := f.Put(testLetter(fmt.Sprintf("keep %d.%d", w, n)), testLetter(fmt.Sprintf("drop %d.%d", w, n))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	dropped := 0
	drop := func() {
		for _, l := range all(t, other) {
			if strings.HasPrefix(l.Reason, "drop") {
				n, err := other.Discard(l)
				if err != nil {
					t.Error(err)
				}
				dropped += n
			}
		}
	}
	for range 5 {
		drop()
	}
	work.Wait()
	drop()
	if dropped != writers*each {
		t.Errorf("%d letters were discarded, not %d", dropped, writers*each)
	}
	kept := map[string]bool{}
	for _, l := range all(t, f) {
		kept[l.Reason] = true
	}
	if len(kept) != writers*each {
		t.Errorf("%d letters are kept, not %d", len(kept), writers*each)
	}
}
