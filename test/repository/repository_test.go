package repository_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditquery.dev/auditquery/test/repository"
)

func TestRoot(t *testing.T) {
	dir := t.TempDir()
	nested := filepath.Join(dir, "hack", "tool", "deep")
	if err := os.MkdirAll(nested, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "hack", "tool", "go.mod"), "module auditquery.dev/auditquery/hack/tool\n")
	t.Chdir(nested)
	if got, err := repository.Root(); err == nil || !strings.Contains(err.Error(), "no go.mod") {
		t.Errorf("without our go.mod: %q, %v", got, err)
	}
	write(t, filepath.Join(dir, "go.mod"), "// a comment\nmodule auditquery.dev/auditquery\n\ngo 1.26\n")
	got, err := repository.Root()
	if err != nil || !sameFile(t, got, dir) {
		t.Errorf("got %q, %v, want %q", got, err, dir)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	first, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.Stat(b)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(first, second)
}
