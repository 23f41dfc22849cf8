package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/store"
)

// notePrefix begins the ids of notes, which are beside the state's document.
const notePrefix = "note-"

// noteBody is a note as it is stored: in base64, whatever it holds.
type noteBody struct {
	Data []byte `json:"data"`
}

type noteAnswer struct {
	Found       bool      `json:"found"`
	SeqNo       *int      `json:"_seq_no"`
	PrimaryTerm *int      `json:"_primary_term"`
	Source      *noteBody `json:"_source"`
}

// ReadNote returns a note as it is now: a get by id waits for no refresh.
func (s *Store) ReadNote(ctx context.Context, name string) (store.Note, error) {
	op := "read the note " + clip(name)
	if err := store.CheckNote(op, name, nil); err != nil {
		return store.Note{}, err
	}
	note, err := s.readNote(ctx, name)
	if errors.Is(err, errNoNote) {
		note, err = s.missingNote(ctx, name)
	}
	if err == nil && note.Version != "" {
		// Whoever wrote it may have died before it was marked.
		err = s.markNote(ctx, name)
	}
	if err != nil {
		return store.Note{}, explain(op, err)
	}
	return note, nil
}

// errNoNote: there is no such document.
var errNoNote = errors.New("there is no such note")

// missingNote tells a note that was never written from one that is lost. It reads
// the note again behind the mark: it may have been written since.
func (s *Store) missingNote(ctx context.Context, name string) (store.Note, error) {
	if err := s.checkState(ctx); err != nil {
		return store.Note{}, err
	}
	current, err := s.catalogue.readState(ctx)
	if err != nil || !slices.Contains(current.Notes, name) {
		return store.Note{}, err
	}
	note, err := s.readNote(ctx, name)
	if errors.Is(err, errNoNote) {
		return store.Note{}, s.lostNote(name)
	}
	return note, err
}

func (s *Store) lostNote(name string) error {
	return conflict("the note %s is lost; restore the index %s from a snapshot, or accept the loss by taking its name out of "+
		"the member notes of the document %q there", name, s.catalogue.names.state(), stateDocument)
}

// markNote enters a note into the state before anybody relies on it, so that its
// loss is noticed. A mark is never taken back; so each is looked for once.
func (s *Store) markNote(ctx context.Context, name string) error {
	if _, ok := s.marked.Load(name); ok {
		return nil
	}
	err := s.catalogue.change(ctx, func(now *state) (bool, error) {
		if slices.Contains(now.Notes, name) {
			return false, nil
		}
		now.Notes = append(now.Notes, name)
		return true, nil
	})
	if err == nil {
		s.marked.Store(name, nil)
	}
	return err
}

func (s *Store) readNote(ctx context.Context, name string) (store.Note, error) {
	answered, err := s.client.do(ctx, call{limit: smallAnswer, build: func() esapi.Request {
		return esapi.GetRequest{Index: s.catalogue.names.state(), DocumentID: notePrefix + name}
	}})
	if isStatus(err, http.StatusNotFound) {
		s.marked.Delete(name) // somebody may take the mark away too
		return store.Note{}, errNoNote
	}
	if err != nil {
		return store.Note{}, err
	}
	var a noteAnswer
	if err := json.Unmarshal(answered.body, &a); err != nil {
		return store.Note{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if !a.Found || a.Source == nil || a.SeqNo == nil || a.PrimaryTerm == nil {
		return store.Note{}, fmt.Errorf("%w: it lacks a member of a note", errMalformed)
	}
	return store.Note{Data: a.Source.Data, Version: versionOf(*a.SeqNo, *a.PrimaryTerm)}, nil
}

// checkState returns an error if notes are gone together with the state.
func (s *Store) checkState(ctx context.Context) error {
	snapshot, err := s.catalogue.renew(ctx)
	if err != nil {
		return err
	}
	return snapshot.stateLost(s.catalogue.names)
}

func versionOf(sequence, term int) string { return fmt.Sprintf("%d.%d", sequence, term) }

// WriteNote replaces a version of a note.
func (s *Store) WriteNote(ctx context.Context, name string, data []byte, version string) (string, error) {
	op := "write the note " + clip(name)
	if err := store.CheckNote(op, name, data); err != nil {
		return "", err
	}
	request := esapi.IndexRequest{OpType: "create"}
	if version != "" {
		var sequence, term int
		if _, err := fmt.Sscanf(version, "%d.%d", &sequence, &term); err != nil || versionOf(sequence, term) != version {
			return "", otherVersion(op, err)
		}
		request = esapi.IndexRequest{IfSeqNo: &sequence, IfPrimaryTerm: &term}
	}
	next, err := s.writeNote(ctx, name, data, request)
	if isKind(err, kindConflict) {
		return "", otherVersion(op, err)
	}
	if err == nil {
		err = s.markNote(ctx, name)
	}
	if err != nil {
		return "", explain(op, err)
	}
	return next, nil
}

func otherVersion(op string, err error) error {
	return &store.Error{Reason: store.Conflict, Op: op, Message: "it was changed since it was read", Err: err}
}

func (s *Store) writeNote(ctx context.Context, name string, data []byte, request esapi.IndexRequest) (string, error) {
	if err := s.ensureState(ctx); err != nil {
		return "", err
	}
	if request.OpType == "create" {
		// What is lost is not made anew, as if nothing had been in it.
		if _, err := s.missingNote(ctx, name); err != nil {
			return "", err
		}
	}
	if data == nil {
		data = []byte{}
	}
	body, err := json.Marshal(noteBody{Data: data})
	if err != nil {
		return "", err
	}
	var answered struct {
		SeqNo       *int `json:"_seq_no"`
		PrimaryTerm *int `json:"_primary_term"`
	}
	err = s.client.object(ctx, func() esapi.Request {
		r := request
		r.Index, r.DocumentID, r.Body = s.catalogue.names.state(), notePrefix+name, bytes.NewReader(body)
		return r
	}, &answered)
	if err != nil {
		return "", err
	}
	if answered.SeqNo == nil || answered.PrimaryTerm == nil {
		return "", fmt.Errorf("%w: it lacks _seq_no or _primary_term", errMalformed)
	}
	return versionOf(*answered.SeqNo, *answered.PrimaryTerm), nil
}

// ensureState makes the state where nothing was ever stored: Elasticsearch would
// make an index by itself, with other settings.
func (s *Store) ensureState(ctx context.Context) error {
	current, err := s.catalogue.readState(ctx)
	if err != nil || current.found {
		return err
	}
	if err := s.checkState(ctx); err != nil {
		return err
	}
	return s.catalogue.begin(ctx)
}
