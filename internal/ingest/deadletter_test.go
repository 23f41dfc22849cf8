package ingest

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/test/builders"
)

func testLetter(reason string) Letter {
	return eventLetter("kubernetes/prod", CauseMalformed, reason, []byte(`{"auditID":5}`), builders.Time())
}

func openLetters(t *testing.T, path string, maxBytes int64) *DeadLetters {
	t.Helper()
	d, err := OpenDeadLetters(DeadLetterOptions{Path: path, MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func readLetters(t *testing.T, path string) []Letter {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var letters []Letter
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var l Letter
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		letters = append(letters, l)
	}
	return letters
}

func TestLettersAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.jsonl")
	d := openLetters(t, path, 0)
	want := []Letter{testLetter("first"), testLetter("second")}
	if err := d.Put(want...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, readLetters(t, path)); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %o", info.Mode().Perm())
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(testLetter("late")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestALineThatACrashCutOffSpoilsNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.jsonl")
	if err := os.WriteFile(path, []byte(`{"time":"2026-`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := openLetters(t, path, 0).Put(testLetter("next")); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], `"next"`) {
		t.Errorf("the file: %s", content)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %o", info.Mode().Perm())
	}
}

func TestLettersAreRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.jsonl")
	const maxBytes = 1000
	d := openLetters(t, path, maxBytes)
	for i := range 100 {
		if err := d.Put(testLetter(strings.Repeat("x", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{path, path + ".1", path + ".2", path + ".3"}, files); diff != "" {
		t.Error(diff)
	}
	var reasons []int
	for _, name := range []string{path + ".3", path + ".2", path + ".1", path} {
		if info, _ := os.Stat(name); info.Size() > maxBytes {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
		for _, l := range readLetters(t, name) {
			reasons = append(reasons, len(l.Reason))
		}
	}
	for i, length := range reasons {
		if length != 100-len(reasons)+1+i {
			t.Fatalf("the letters are not the newest in order: %v", reasons)
		}
	}
}

func TestAFolderThatCannotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "dead.jsonl")
	if _, err := OpenDeadLetters(DeadLetterOptions{Path: path}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opened: %v", err)
	}
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := openLetters(t, path, 300)
	if err := d.Put(testLetter("before")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(testLetter(strings.Repeat("x", 200))); err == nil {
		t.Error("a letter was put where there is no folder")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(testLetter("after")); err != nil {
		t.Errorf("when the folder is back: %v", err)
	}
	if got := readLetters(t, path); len(got) != 1 || got[0].Reason != "after" {
		t.Errorf("kept %v", got)
	}
}

func TestLettersAreBounded(t *testing.T) {
	l := eventLetter("s", CauseMalformed, strings.Repeat("ü", MaxReason), []byte(`{"a":"`+strings.Repeat("x", 1<<20)+`"}`), time.Now())
	if len(l.Reason) > MaxReason || len(l.Excerpt) > 64<<10 {
		t.Errorf("reason %d, excerpt %d bytes", len(l.Reason), len(l.Excerpt))
	}
	if strings.Contains(l.Reason, "\uFFFD") {
		t.Error("the reason is cut inside a rune")
	}
}
