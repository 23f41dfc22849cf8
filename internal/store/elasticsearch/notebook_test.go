package elasticsearch

import (
	"net/http"
	"strings"
	"testing"

	"auditquery.dev/auditquery/internal/store"
)

// TestANoteIsMarkedBeforeAnybodyReliesOnIt: who wrote it may have died before it
// entered it into the state.
func TestANoteIsMarkedBeforeAnybodyReliesOnIt(t *testing.T) {
	p := newPlace(t)
	var dead bool
	writer := p.openHanded(func(network http.RoundTripper, r *http.Request, _ string) (*http.Response, error) {
		if dead {
			return nil, errDead
		}
		res, err := network.RoundTrip(r)
		dead = strings.Contains(r.URL.Path, "/"+notePrefix) && r.Method != http.MethodGet
		return res, err
	})
	if _, err := writer.WriteNote(t.Context(), "retention", []byte("text"), ""); !store.IsUnavailable(err) {
		t.Fatalf("a note that is not marked was written: %v, want Unavailable", err)
	}
	s := p.open()
	if note, err := s.ReadNote(t.Context(), "retention"); err != nil || string(note.Data) != "text" {
		t.Fatalf("read %q: %v", note.Data, err)
	}
	lose := func() { p.do(http.MethodDelete, "/"+p.prefix+"-state/_doc/"+notePrefix+"retention", "") }
	lose()
	for _, s := range []*Store{s, p.open()} {
		_, err := s.ReadNote(t.Context(), "retention")
		mustRefuse(t, err, store.Conflict, "retention is lost")
	}
	// An operator accepts the loss, as the error says.
	err := p.open().catalogue.change(t.Context(), func(now *state) (bool, error) {
		now.Notes = nil
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if note, err := s.ReadNote(t.Context(), "retention"); err != nil || note.Version != "" {
		t.Fatalf("read %+v: %v, want none", note, err)
	}
	if _, err := s.WriteNote(t.Context(), "retention", nil, ""); err != nil {
		t.Fatal(err)
	}
	lose()
	_, err = s.ReadNote(t.Context(), "retention")
	mustRefuse(t, err, store.Conflict, "retention is lost")
}
