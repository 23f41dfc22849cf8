package sqlite

import (
	"bytes"
	"path/filepath"
	"testing"

	"auditquery.dev/auditquery/internal/store"
)

func TestNotes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	s := open(t, Options{Path: path})
	write := func(s *Store, data, version string) string {
		t.Helper()
		written, err := s.WriteNote(t.Context(), "retention", []byte(data), version)
		if err != nil {
			t.Fatal(err)
		}
		return written
	}
	first := write(s, "one", "")
	second := write(s, "two", first)
	third := write(s, "two", second) // the same data is a version of its own
	refused := map[string]struct{ name, version string }{
		"what is there already":          {"retention", ""},
		"the version before":             {"retention", second},
		"the first version":              {"retention", first},
		"no version of ours":             {"retention", "x"},
		"the beginning of a version":     {"retention", third[:30]},
		"a version of what is not there": {"other", third},
	}
	for name, test := range refused {
		if _, err := s.WriteNote(t.Context(), test.name, []byte("three"), test.version); !store.IsConflict(err) {
			t.Errorf("%s: %v, want Conflict", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{Path: path})
	note, err := s.ReadNote(t.Context(), "retention")
	if err != nil || string(note.Data) != "two" || note.Version != third {
		t.Errorf("%q of version %q (%v), want two of %q", note.Data, note.Version, err, third)
	}
	if other, err := s.ReadNote(t.Context(), "other"); err != nil || other.Version != "" || other.Data != nil {
		t.Errorf("what was never written is %v (%v)", other, err)
	}
	large := bytes.Repeat([]byte{0xff, 0}, store.MaxNoteBytes/2)
	if _, err := s.WriteNote(t.Context(), "retention", large, third); err != nil {
		t.Fatal(err)
	}
	if note, err := s.ReadNote(t.Context(), "retention"); err != nil || !bytes.Equal(note.Data, large) {
		t.Errorf("%d bytes (%v), want %d", len(note.Data), err, len(large))
	}
}

func TestForeignNoteIsNoNote(t *testing.T) {
	s := open(t, Options{})
	execute(t, s.write.db, "INSERT INTO meta (name, value) VALUES ('note/retention', x'00')")
	if _, err := s.ReadNote(t.Context(), "retention"); !store.IsConflict(err) {
		t.Errorf("%v, want Conflict", err)
	}
}
