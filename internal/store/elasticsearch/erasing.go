package elasticsearch

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/store"
)

// erasing is an erasure of a whole index, entered into the state.
type erasing struct {
	Index string `json:"index"`
	UUID  string `json:"uuid"`
	// Owner is a random text, so that who was undone can't take the erasure of
	// another for its own.
	Owner string `json:"owner"`
	Phase phase  `json:"phase"`
}

// phase is how far an erasure is.
type phase string

const (
	// preparing: the index is blocked and looked at.
	preparing phase = "preparing"
	// decided: it is not among the indices any more, and may be gone.
	decided phase = "decided"
)

func newOwner() string {
	// A name of an alias holds no upper case.
	return fmt.Sprintf("%x", []byte(rand.Text()))
}

func (s state) erasing(index string) (erasing, bool) {
	at := slices.IndexFunc(s.Erasing, func(e erasing) bool { return e.Index == index })
	if at < 0 {
		return erasing{}, false
	}
	return s.Erasing[at], true
}

// drop takes an entry out.
func (s *state) drop(e erasing) {
	s.Erasing = slices.DeleteFunc(s.Erasing, func(other erasing) bool { return other.Owner == e.Owner })
}

// errBeingErased is for writers: their records can be taken a moment later.
func errBeingErased(index string) error {
	return &store.Error{Reason: store.Unavailable, Op: "look at the indices", RetryAfter: retryAfter,
		Message: fmt.Sprintf("the index %s is being erased, or was a moment ago; send the records again", clip(index))}
}

// FinishErasing undoes what a process that died had begun. An index that was
// decided on but is there still comes back too: what was decided may not hold
// any more. Undoing is safe while that process lives: it can't go on.
func (s *Store) FinishErasing(ctx context.Context) error {
	// What the process sent may be under way still.
	if err := s.waitForErasing(ctx); err != nil {
		return explain("finish erasing", err)
	}
	current, err := s.catalogue.readState(ctx)
	for _, e := range current.Erasing {
		if err == nil {
			err = s.undo(ctx, e)
		}
	}
	return explain("finish erasing", err)
}

// undo ends an erasure. Where the index is still there it is among the indices
// afterwards, and can be written to.
func (s *Store) undo(ctx context.Context, e erasing) error {
	const tries = 5
	for range tries {
		// Without the token nobody can delete the index any more.
		if err := s.takeToken(ctx, e); err != nil {
			return err
		}
		uuid, err := s.catalogue.uuidOf(ctx, e.Index)
		if err != nil {
			return err
		}
		now, err := s.catalogue.readState(ctx)
		if err != nil {
			return err
		}
		if other, ok := now.erasing(e.Index); ok && other.Owner != e.Owner {
			// The block is another's now. Where nobody has an entry it may
			// be ours, set after we were undone.
			_, err = s.catalogue.renew(ctx)
			return err
		}
		exists := uuid == e.UUID
		if exists {
			if err := s.unblock(ctx, e.Index); err != nil {
				return err
			}
		}
		done := false
		err = s.catalogue.change(ctx, func(now *state) (bool, error) {
			current, ok := now.erasing(e.Index)
			if done = !ok || current.Owner != e.Owner; done {
				return false, nil
			}
			if current.Phase != e.Phase {
				e = current // it was decided meanwhile: there may be a token again
				return false, nil
			}
			now.drop(e)
			if exists && !now.has(e.Index) {
				now.add(e.Index)
			}
			done = true
			return true, nil
		})
		if err != nil {
			return err
		}
		if done {
			_, err = s.catalogue.renew(ctx)
			return err
		}
	}
	return fmt.Errorf("an erasure changed %d times while it was to be undone", tries)
}

// token is the alias of the state's index without which an index can't be
// deleted: both happen at once, so that a process that was stopped for a while
// can't delete an index of the same name that came later.
func (s *Store) token(e erasing) string { return s.catalogue.names.prefix + "-erasing-" + e.Owner }

func (s *Store) putToken(ctx context.Context, e erasing) error {
	return s.changeAliases(ctx, aliasAction{Add: &aliasBody{Index: s.catalogue.names.state(), Alias: s.token(e), Hidden: true}})
}

// takeToken removes the token if it is there.
func (s *Store) takeToken(ctx context.Context, e erasing) error {
	err := s.changeAliases(ctx, s.tokenGoes(e))
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}

func (s *Store) tokenGoes(e erasing) aliasAction {
	return aliasAction{Remove: &aliasBody{Index: s.catalogue.names.state(), Alias: s.token(e), MustExist: true}}
}

// deleteIndex deletes an index and the token, or neither.
func (s *Store) deleteIndex(ctx context.Context, e erasing) error {
	return s.changeAliases(ctx, aliasAction{RemoveIndex: &aliasBody{Index: e.Index}}, s.tokenGoes(e))
}

type aliasAction struct {
	Add         *aliasBody `json:"add,omitempty"`
	Remove      *aliasBody `json:"remove,omitempty"`
	RemoveIndex *aliasBody `json:"remove_index,omitempty"`
}

type aliasBody struct {
	Index     string `json:"index"`
	Alias     string `json:"alias,omitempty"`
	Hidden    bool   `json:"is_hidden,omitempty"`
	MustExist bool   `json:"must_exist,omitempty"`
}

// changeAliases does all of the actions or none.
func (s *Store) changeAliases(ctx context.Context, actions ...aliasAction) error {
	body, err := json.Marshal(map[string][]aliasAction{"actions": actions})
	if err != nil {
		return err
	}
	var answered struct {
		Acknowledged bool `json:"acknowledged"`
		Errors       bool `json:"errors"`
	}
	reply, err := s.erase(ctx, call{limit: smallAnswer, build: func() esapi.Request {
		wait := s.client.patience(ctx)
		return esapi.IndicesUpdateAliasesRequest{Body: bytes.NewReader(body), Header: s.mark(nil), MasterTimeout: wait, Timeout: wait}
	}})
	if err != nil {
		return err
	}
	if err := unmarshal(reply.body, &answered); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	if !answered.Acknowledged || answered.Errors {
		// What is late may come into effect on a node still.
		s.unsure.count.Add(1)
		return errNotAcknowledged
	}
	return nil
}

// uuidOf returns the uuid of an index as it is now, empty if there is none.
func (c *catalogue) uuidOf(ctx context.Context, index string) (string, error) {
	settings, err := c.settingsOf(ctx, index)
	if isStatus(err, http.StatusNotFound) {
		return "", nil
	}
	return settings.UUID, err
}

// blocks are the settings that tell whether an index can be erased.
type blocks struct {
	UUID                string `json:"index.uuid"`
	Write               string `json:"index.blocks.write"`
	ReadOnly            string `json:"index.blocks.read_only"`
	ReadOnlyAllowDelete string `json:"index.blocks.read_only_allow_delete"`
}

func (b blocks) any() bool {
	const set = "true"
	return b.Write == set || b.ReadOnly == set || b.ReadOnlyAllowDelete == set
}

func (c *catalogue) settingsOf(ctx context.Context, index string) (blocks, error) {
	flat := true
	var found map[string]struct {
		Settings blocks `json:"settings"`
	}
	err := c.client.object(ctx, func() esapi.Request {
		return esapi.IndicesGetSettingsRequest{Index: []string{index}, Name: []string{"index.uuid", "index.blocks.*"}, FlatSettings: &flat}
	}, &found)
	if err != nil {
		return blocks{}, err
	}
	settings, ok := found[index]
	if !ok || settings.Settings.UUID == "" {
		return blocks{}, fmt.Errorf("%w: the settings of an index lack it", errMalformed)
	}
	return settings.Settings, nil
}

func (s *Store) unblock(ctx context.Context, index string) error {
	return s.client.object(ctx, func() esapi.Request {
		wait := s.client.patience(ctx)
		return esapi.IndicesPutSettingsRequest{Index: []string{index}, MasterTimeout: wait, Timeout: wait,
			Body: bytes.NewReader([]byte(`{"index.blocks.write":null}`))}
	}, nil)
}
