package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/ingest/importer"
)

// result is what a command did.
type result struct {
	code     int
	out, err string
}

func runCommand(t *testing.T, in string, args ...string) result {
	t.Helper()
	var out, errOut strings.Builder
	code := execute(t.Context(), streams{in: strings.NewReader(in), out: &out, err: &errOut}, args)
	return result{code: code, out: out.String(), err: errOut.String()}
}

func sampleFile() string { return filepath.Join("..", "..", "test", "testdata", "applications.jsonl") }

func TestImportOfTheSample(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	sample, err := os.ReadFile(sampleFile())
	if err != nil {
		t.Fatal(err)
	}
	first := runCommand(t, "", "import", "--sqlite-path="+path, sampleFile())
	if first.code != exitOK || !strings.Contains(first.out, " 300     300          0        0        0 ") || first.err != "" {
		t.Errorf("the first time: %+v", first)
	}
	second := runCommand(t, string(sample), "import", "--sqlite-path="+path, "-")
	if second.code != exitOK || !strings.Contains(second.out, " 300       0        300        0        0 ") {
		t.Errorf("the second time: %+v", second)
	}
}

func TestImportWithRefusedLines(t *testing.T) {
	dir := t.TempDir()
	path, rejects := filepath.Join(dir, "records.db"), filepath.Join(dir, "rejects.jsonl")
	args := []string{"import", "--sqlite-path=" + path, "--rejects=" + rejects, "-"}
	const good = `{"kind":"Audit","time":"2026-11-02T10:00:00Z","user_id":"alice"}`

	if got := runCommand(t, good, args...); got.code != exitOK {
		t.Fatalf("without bad lines: %+v", got)
	}
	if _, err := os.Stat(rejects); !os.IsNotExist(err) {
		t.Errorf("an empty file of rejects is left: %v", err)
	}
	got := runCommand(t, good+"\noops\n{}\n", args...)
	if got.code != exitFailed || !strings.Contains(got.out, "standard input, line 2: ") ||
		!strings.Contains(got.err, "2 lines or events were refused, everything else is stored; all of them are in "+rejects) {
		t.Errorf("with bad lines: %+v", got)
	}
	content, err := os.ReadFile(rejects)
	if err != nil || strings.Count(string(content), "\n") != 2 {
		t.Errorf("the rejects: %s, %v", content, err)
	}
	got = runCommand(t, good, args...)
	if got.code != exitFailed || !strings.Contains(got.err, "nothing was imported") {
		t.Errorf("with rejects of an earlier run: %+v", got)
	}
}

func TestCommandLinesThatCannotWork(t *testing.T) {
	dir := t.TempDir()
	db := "--sqlite-path=" + filepath.Join(dir, "records.db")
	tests := map[string]struct {
		args     []string
		wantCode int
		wantText string
	}{
		"no file to import":      {args: []string{"import", db}, wantCode: exitUsage, wantText: "at least one file"},
		"a file that is missing": {args: []string{"import", db, filepath.Join(dir, "none")}, wantCode: exitFailed, wantText: "nothing was imported"},
		"a folder":               {args: []string{"import", db, dir}, wantCode: exitFailed, wantText: "is a folder"},
		"standard input twice":   {args: []string{"import", db, "-", "-"}, wantCode: exitUsage, wantText: "named twice"},
		"a store that cannot be opened": {
			args:     []string{"import", "--sqlite-path=" + filepath.Join(dir, "no", "records.db"), sampleFile()},
			wantCode: exitFailed, wantText: "open the embedded store",
		},
		"a cluster that is no name": {args: []string{"import", db, "--cluster=A/B", "-"}, wantCode: exitUsage, wantText: "--cluster is"},
		"a flag that is none":       {args: []string{"import", "--colour"}, wantCode: exitUsage, wantText: "--colour"},
		"a role that is none":       {args: []string{"conquer"}, wantCode: exitUsage, wantText: "conquer"},
		"the version":               {args: []string{"version"}, wantCode: exitOK, wantText: "dev"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := runCommand(t, "", test.args...)
			if got.code != test.wantCode || !strings.Contains(got.out+got.err, test.wantText) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestProgressText(t *testing.T) {
	tests := map[string]struct {
		progress importer.Progress
		want     string
	}{
		"a file":               {progress: importer.Progress{Source: "a.jsonl", Lines: 5000, Read: 30, Size: 120, Took: 2 * time.Second}, want: "a.jsonl: 5000 lines, 2500/s, 25 %"},
		"of unknown size":      {progress: importer.Progress{Source: "standard input", Lines: 10, Took: time.Second}, want: "standard input: 10 lines, 10/s"},
		"at once":              {progress: importer.Progress{Source: "a"}, want: "a: 0 lines"},
		"a file that grew":     {progress: importer.Progress{Source: "a", Read: 300, Size: 100}, want: "a: 0 lines, 100 %"},
		"a store that is away": {progress: importer.Progress{Source: "a", Waiting: true}, want: "a: 0 lines; the store is away, trying again"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := progressText(test.progress); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
