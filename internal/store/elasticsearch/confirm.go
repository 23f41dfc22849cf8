package elasticsearch

import (
	"context"

	"auditquery.dev/auditquery/internal/store"
)

// confirm makes sure that what was written to an index is not lost with it.
//
// An erasure is entered into the state before it counts what it must keep. So a
// record that was written before the state was read, and the state had no such
// entry then, is counted by every erasure that comes. That the index is still
// the one that was written to is known by the number of erasures being the same.
// What can't be confirmed has failed: sent again, it is stored once.
func (s *Store) confirm(ctx context.Context, g *group, outcomes []store.Outcome) {
	if !g.late && !g.metNoIndex(outcomes) {
		return
	}
	current, err := s.catalogue.readState(ctx)
	_, erasing := current.erasing(g.index)
	switch {
	case err != nil:
		err = explain("append "+string(g.kind), err)
	case erasing || !current.has(g.index) || current.Erasures != g.erasures:
		err = explain("append "+string(g.kind), errBeingErased(g.index))
		// The next try is not to meet the same snapshot; if this fails, it will.
		_, _ = s.catalogue.renew(ctx)
	default:
		return
	}
	for _, at := range g.places {
		if outcomes[at].Result != store.Rejected {
			outcomes[at] = store.Outcome{Result: store.Failed, Err: err}
		}
	}
}

// metNoIndex tells whether the index of a group was gone.
func (g *group) metNoIndex(outcomes []store.Outcome) bool {
	for _, at := range g.places {
		if isKind(outcomes[at].Err, kindIndexNotFound) {
			return true
		}
	}
	return false
}
