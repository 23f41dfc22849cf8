package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// settled is how long after its end an index can be erased as a whole. The
	// clocks of writers may differ by less: they confirm what they write into
	// an index that is over, see destination.
	settled = time.Hour
	// undoTimeout bounds the undoing of an erasure whose caller went away.
	undoTimeout = 5 * time.Second
)

// EraseStretch deletes an index, see the package's comment.
func (s *Store) EraseStretch(ctx context.Context, kind record.Kind, name string, doomed query.Filter) (store.Erased, error) {
	const op = "erase a stretch of"
	ctx, cancel := withMargin(ctx)
	defer cancel()
	erased, err := s.eraseStretch(ctx, kind, name, doomed)
	switch {
	case errors.Is(err, store.ErrSurvivors):
		return store.Erased{}, store.ErrSurvivors
	case err != nil:
		return erased, explainQuery(op, kind, err)
	}
	return erased, nil
}

func (s *Store) eraseStretch(ctx context.Context, kind record.Kind, name string, doomed query.Filter) (store.Erased, error) {
	q, err := s.erasable("erase a stretch", query.Query{Kind: kind, Scope: query.All(), Filter: doomed})
	if err != nil {
		return store.Erased{}, err
	}
	if err := s.settle(ctx); err != nil {
		return store.Erased{}, err
	}
	index, err := s.stretchNamed(ctx, kind, name)
	if err != nil {
		return store.Erased{}, err
	}
	q.From, q.To = index.covers.from, index.covers.to
	dies, err := s.conditions(q)
	if err != nil {
		return store.Erased{}, err
	}
	e := &wholeErasure{Store: s, shards: index.shards, survives: allOf{noneOf: []clause{dies}},
		entry: erasing{Index: name, UUID: index.uuid, Owner: newOwner(), Phase: preparing}}
	if err := e.checkBlocks(ctx); err != nil {
		return store.Erased{}, err
	}
	return e.run(ctx)
}

// erasable is store.Erasable, with the schema of the query's kind.
func (s *Store) erasable(op string, q query.Query) (query.Query, error) {
	schema, ok := s.schemas[q.Kind]
	if !ok {
		return q, noSuchKind(op, q.Kind)
	}
	return store.Erasable(op, q, schema)
}

func noSuchKind(op string, kind record.Kind) error {
	return &store.Error{Reason: store.Invalid, Op: op, Message: fmt.Sprintf("%q is not a kind of record", clip(string(kind)))}
}

// stretchNamed finds an index that can be erased, after undoing what another
// process may have begun with it.
func (s *Store) stretchNamed(ctx context.Context, kind record.Kind, name string) (present, error) {
	snapshot, err := s.catalogue.renew(ctx)
	if err != nil {
		return present{}, err
	}
	if entry, ok := snapshot.beingErased(name); ok {
		if err := s.undo(ctx, entry); err != nil {
			return present{}, err
		}
		if snapshot, err = s.catalogue.renew(ctx); err != nil {
			return present{}, err
		}
	}
	ofKind, _, err := s.catalogue.names.parse(name)
	if err != nil || ofKind != kind || !snapshot.has(name) {
		return present{}, &store.Error{Reason: store.NotFound, Op: "erase a stretch", Message: "there is no stretch " + clip(name)}
	}
	if err := snapshot.ours(name); err != nil {
		return present{}, err
	}
	index := snapshot.present[name]
	if s.catalogue.clock().Before(index.covers.to.Add(settled)) {
		return present{}, &store.Error{Reason: store.Invalid, Op: "erase a stretch",
			Message: fmt.Sprintf("the stretch %s is not over for an hour yet; erase its records instead", clip(name))}
	}
	return index, nil
}

// wholeErasure is the erasure of one index.
type wholeErasure struct {
	*Store
	entry    erasing
	shards   int
	survives clause
}

func (e *wholeErasure) run(ctx context.Context) (store.Erased, error) {
	erased, err := e.steps(ctx)
	if err == nil {
		return erased, nil
	}
	// The caller's time may be over, but writers wait for the index.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if failed := e.undo(ctx, e.entry); failed != nil {
		return erased, failed
	}
	return erased, err
}

// steps returns what was erased also where only the end failed.
func (e *wholeErasure) steps(ctx context.Context) (store.Erased, error) {
	if err := e.begin(ctx); err != nil {
		return store.Erased{}, err
	}
	if err := e.block(ctx); err != nil {
		return store.Erased{}, err
	}
	erased, err := e.look(ctx)
	if err != nil {
		return store.Erased{}, err
	}
	if err := e.decide(ctx); err != nil {
		return store.Erased{}, err
	}
	if err := e.delete(ctx); err != nil {
		return store.Erased{}, err
	}
	return erased, e.end(ctx)
}

// delete deletes the index, unless the erasure was undone meanwhile.
func (e *wholeErasure) delete(ctx context.Context) error {
	err := e.deleteIndex(ctx, e.entry)
	if !isStatus(err, http.StatusNotFound) {
		return err
	}
	uuid, err := e.catalogue.uuidOf(ctx, e.entry.Index)
	if err != nil || uuid != e.entry.UUID {
		return err // it is gone: an earlier try had no answer
	}
	return errUndone(e.entry.Index)
}

// checkBlocks refuses an index that somebody made read-only: it is not ours to
// remove such a block.
func (e *wholeErasure) checkBlocks(ctx context.Context) error {
	found, err := e.catalogue.settingsOf(ctx, e.entry.Index)
	if err != nil {
		return err
	}
	if found.UUID != e.entry.UUID {
		return errUndone(e.entry.Index)
	}
	if found.any() {
		return &store.Error{Reason: store.Unavailable, Op: "erase a stretch", RetryAfter: retryAfter,
			Message: fmt.Sprintf("the index %s is read-only; remove its setting index.blocks, after freeing space if its disk is full",
				clip(e.entry.Index))}
	}
	return nil
}

// begin enters the erasure into the state: from now on no writer trusts what it
// writes to the index.
func (e *wholeErasure) begin(ctx context.Context) error {
	return e.catalogue.change(ctx, func(s *state) (bool, error) {
		other, ok := s.erasing(e.entry.Index)
		switch {
		case ok && other.Owner == e.entry.Owner:
			return false, nil // the answer to an earlier try was lost
		case ok || !s.has(e.entry.Index):
			return false, errUndone(e.entry.Index)
		}
		s.Erasing = append(s.Erasing, e.entry)
		return true, nil
	})
}

// block makes Elasticsearch refuse writes, after those that are under way.
func (e *wholeErasure) block(ctx context.Context) error {
	var answered struct {
		Acknowledged       bool `json:"acknowledged"`
		ShardsAcknowledged bool `json:"shards_acknowledged"`
	}
	err := e.client.object(ctx, func() esapi.Request {
		wait := e.client.patience(ctx)
		return esapi.IndicesAddBlockRequest{Index: []string{e.entry.Index}, Block: "write", MasterTimeout: wait, Timeout: wait}
	}, &answered)
	if err != nil {
		return err
	}
	if !answered.Acknowledged || !answered.ShardsAcknowledged {
		return errNotAcknowledged
	}
	return e.sameIndex(ctx)
}

// sameIndex takes the block back if it was set on an index that came later.
func (e *wholeErasure) sameIndex(ctx context.Context) error {
	uuid, err := e.catalogue.uuidOf(ctx, e.entry.Index)
	if err != nil || uuid == e.entry.UUID {
		return err
	}
	if uuid != "" {
		if err := e.unblock(ctx, e.entry.Index); err != nil {
			return err
		}
	}
	return errUndone(e.entry.Index)
}

// look counts what there is, all of which must be doomed.
func (e *wholeErasure) look(ctx context.Context) (store.Erased, error) {
	if err := e.refresh(ctx, []string{e.entry.Index}); err != nil {
		return store.Erased{}, err
	}
	survivors, err := e.count(ctx, e.survives, 1)
	if err != nil {
		return store.Erased{}, err
	}
	if survivors.Records > 0 || !survivors.Exact {
		return store.Erased{}, store.ErrSurvivors
	}
	all, err := e.count(ctx, everything{}, 0)
	if err != nil {
		return store.Erased{}, err
	}
	bytes, err := e.bytesOf(ctx, e.entry.Index)
	return store.Erased{Records: all.Records, Bytes: bytes[e.entry.Index]}, err
}

func (e *wholeErasure) count(ctx context.Context, conditions clause, atMost int) (store.Count, error) {
	a, err := e.ask(ctx, search{target: target{expression: []string{e.entry.Index}, shards: e.shards},
		body: appendSearch(nil, conditions, nil, 0, totals(atMost))})
	return store.Count{Records: a.total, Exact: a.totalExact}, err
}

// decide takes the index out of those that must be there, unless the erasure was
// undone meanwhile. The token comes first: who undoes what is decided takes it.
func (e *wholeErasure) decide(ctx context.Context) error {
	if err := e.putToken(ctx, e.entry); err != nil {
		return err
	}
	err := e.catalogue.change(ctx, func(s *state) (bool, error) {
		for i, entry := range s.Erasing {
			if entry.Owner != e.entry.Owner {
				continue
			}
			if entry.Phase == decided {
				return false, nil // the answer to an earlier try was lost
			}
			s.Erasing[i].Phase = decided
			s.Indices = without(s.Indices, e.entry.Index)
			s.Erasures++
			return true, nil
		}
		return false, errUndone(e.entry.Index)
	})
	if err == nil {
		e.entry.Phase = decided
	}
	return err
}

// end takes the erasure out of the state: from now on the index can be made anew.
func (e *wholeErasure) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	err := e.catalogue.change(ctx, func(s *state) (bool, error) {
		entries := len(s.Erasing)
		s.drop(e.entry)
		return len(s.Erasing) < entries, nil
	})
	if err == nil {
		_, err = e.catalogue.renew(ctx)
	}
	return err
}

// errUndone means that the index is not as it was when the erasure began.
func errUndone(index string) error {
	return &store.Error{Reason: store.Unavailable, Op: "erase a stretch", RetryAfter: retryAfter,
		Message: fmt.Sprintf("the erasure of the index %s was undone by another process, or another is under way; nothing was erased", clip(index))}
}

func without(indices []string, index string) []string {
	kept := make([]string, 0, len(indices))
	for _, other := range indices {
		if other != index {
			kept = append(kept, other)
		}
	}
	return kept
}

// refresh makes everything that was acknowledged visible to searches.
func (s *Store) refresh(ctx context.Context, indices []string) error {
	var answered struct {
		Shards *shardCounts `json:"_shards"`
	}
	err := s.client.object(ctx, func() esapi.Request { return esapi.IndicesRefreshRequest{Index: indices} }, &answered)
	switch {
	case err != nil:
		return err
	case answered.Shards == nil:
		return fmt.Errorf("%w: it lacks _shards", errMalformed)
	case answered.Shards.Failed > 0:
		return &partialError{failed: answered.Shards.Failed, total: answered.Shards.Total}
	}
	return nil
}
