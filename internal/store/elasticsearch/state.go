package elasticsearch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	json "github.com/go-json-experiment/json"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// stateDocument is the id of the only document of the state index.
const stateDocument = "indices"

// state is our own memory of which indices hold records, see the package's
// comment. Generation grows with every change, so that a state that was deleted
// or restored from an older snapshot is noticed.
type state struct {
	Layout     int      `json:"layout"`
	Generation int64    `json:"generation"`
	Indices    []string `json:"indices"`
	// Erasing are the indices that an erasure was begun of.
	Erasing []erasing `json:"erasing,omitempty"`
	// Erasures grows each time that an index is taken out of Indices.
	Erasures int64 `json:"erasures,omitempty"`
	// Notes are the names of the notes that somebody may rely on.
	Notes []string `json:"notes,omitempty"`
}

func (s state) has(index string) bool { return slices.Contains(s.Indices, index) }

// storedState is a state and what is needed to replace exactly it.
type storedState struct {
	state
	found    bool
	sequence int
	term     int
}

type stateAnswer struct {
	Found       bool  `json:"found"`
	SeqNo       int   `json:"_seq_no"`
	PrimaryTerm int   `json:"_primary_term"`
	Source      state `json:"_source"`
}

// readState reads the state as it is now: a get by id waits for no refresh.
func (c *catalogue) readState(ctx context.Context) (storedState, error) {
	var answered stateAnswer
	err := c.client.object(ctx, func() esapi.Request {
		return esapi.GetRequest{Index: c.names.state(), DocumentID: stateDocument}
	}, &answered)
	if isStatus(err, http.StatusNotFound) {
		return storedState{}, nil
	}
	if err != nil {
		return storedState{}, err
	}
	if answered.Source.Layout != layoutVersion {
		return storedState{}, conflict("the index %s has the layout %d, this version knows %d",
			c.names.state(), answered.Source.Layout, layoutVersion)
	}
	return storedState{state: answered.Source, found: answered.Found,
		sequence: answered.SeqNo, term: answered.PrimaryTerm}, nil
}

// record adds an index to the state; first makes a state where there is none.
func (c *catalogue) record(ctx context.Context, index string) error {
	return c.change(ctx, func(s *state) (bool, error) {
		if _, ok := s.erasing(index); ok {
			return false, errBeingErased(index)
		}
		if s.has(index) {
			return false, nil
		}
		s.add(index)
		return true, nil
	})
}

func (s *state) add(index string) {
	s.Indices = append(s.Indices, index)
	slices.Sort(s.Indices)
}

// change lets next change the state of now, which it owns, and writes it; again
// if another process was faster. next returns false where nothing is to be done.
func (c *catalogue) change(ctx context.Context, next func(*state) (bool, error)) error {
	const tries = 10
	for range tries {
		current, err := c.readState(ctx)
		if err != nil {
			return err
		}
		if !current.found {
			return conflict("the index %s lost its document %q while it was changed", c.names.state(), stateDocument)
		}
		changed := current.state
		if ok, err := next(&changed); err != nil || !ok {
			return err
		}
		changed.Generation++
		sequence, term := current.sequence, current.term
		err = c.writeState(ctx, changed, esapi.IndexRequest{IfSeqNo: &sequence, IfPrimaryTerm: &term})
		if !isKind(err, kindConflict) {
			return err
		}
	}
	return fmt.Errorf("the state was changed by others %d times while it was to be changed", tries)
}

// begin makes an empty state.
func (c *catalogue) begin(ctx context.Context) error {
	body, err := encodeBody(stateIndexOf())
	if err != nil {
		return err
	}
	if _, err := c.create(ctx, c.names.state(), body); err != nil {
		return err
	}
	err = c.writeState(ctx, state{Layout: layoutVersion, Generation: 1, Indices: []string{}},
		esapi.IndexRequest{OpType: "create"})
	if isKind(err, kindConflict) {
		return nil
	}
	return err
}

func (c *catalogue) writeState(ctx context.Context, s state, request esapi.IndexRequest) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return c.client.object(ctx, func() esapi.Request {
		r := request
		r.Index, r.DocumentID, r.Body = c.names.state(), stateDocument, bytes.NewReader(body)
		return r
	}, nil)
}

// create makes an index and tells whether it was not there.
func (c *catalogue) create(ctx context.Context, index string, body []byte) (bool, error) {
	err := c.client.object(ctx, func() esapi.Request {
		return esapi.IndicesCreateRequest{Index: index, Body: bytes.NewReader(body)}
	}, nil)
	if isKind(err, kindIndexExists) {
		return false, nil
	}
	return err == nil, err
}

func isStatus(err error, status int) bool {
	var f *failure
	return errors.As(err, &f) && f.status == status
}

func unmarshal(data []byte, into any) error { return json.Unmarshal(data, into) }
