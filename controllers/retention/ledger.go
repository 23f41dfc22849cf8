package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"k8s.io/utils/clock"

	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// ledgerNote is the note in the store that holds what was ever seen of
	// policies and holds, so that none of it depends on the API server's memory.
	ledgerNote = "retention"
	// maxLedgerTries is how often an observation is begun anew because another
	// process wrote one.
	maxLedgerTries = 5
)

// ErrNotServed means that the API server does not know the kind at all, as after
// its CRD was deleted. There are no such objects then, and nobody can make one.
var ErrNotServed = errors.New("the API server does not serve the kind")

// errOvertaken: another process wrote the note after we had read it.
var errOvertaken = errors.New("another process has written in between")

// observation is what is known at an instant: what the API says, and what is
// remembered beyond it.
type observation struct {
	memory   retention.Memory
	policies []retention.Policy
	holds    []retention.Hold
	// noHolds: the kind LegalHold is not served, so nobody could hold anything.
	noHolds bool
}

// ledger is the memory that all processes share: a note in the store that is
// replaced only by who read its last version.
type ledger struct {
	notes    store.Notebook
	policies func(context.Context) ([]retention.Policy, error)
	holds    func(context.Context) ([]retention.Hold, error)
	clock    clock.PassiveClock

	// last is the note as it was decoded last, so that it is decoded once
	// for each version and not for each batch.
	mu   sync.Mutex
	last struct {
		version string
		memory  retention.Memory
	}
}

// observe reads policies and holds from the API, uncached, and adds what it sees to
// what is remembered.
//
// The note is read before the API is. So what an earlier writer of it saw was seen
// before what we see, and an old view never takes the place of a newer one: whoever
// wrote in between makes our write a conflict, and then all begins anew.
//
// It takes a batch timeout at most: nothing that takes longer is of use to a batch.
func (l *ledger) observe(ctx context.Context) (observation, error) {
	ctx, cancel := context.WithTimeout(ctx, retention.BatchTimeout)
	defer cancel()
	for range maxLedgerTries {
		seen, err := l.try(ctx)
		if !errors.Is(err, errOvertaken) {
			return seen, err
		}
	}
	return observation{}, fmt.Errorf("remember policies and holds: other processes have written in between %d times", maxLedgerTries)
}

func (l *ledger) try(ctx context.Context) (observation, error) {
	note, err := l.notes.ReadNote(ctx, ledgerNote)
	if err != nil {
		return observation{}, fmt.Errorf("read what is remembered of policies and holds: %w", err)
	}
	known, err := l.decode(note)
	if err != nil {
		return observation{}, fmt.Errorf("what is remembered of policies and holds cannot be read: %w", err)
	}
	seen, err := l.look(ctx)
	if err != nil {
		return observation{}, err
	}
	seen.memory = retention.Observe(known, seen.policies, seen.holds, l.clock.Now())
	if note.Version != "" && !seen.memory.NeedsSaving(known) {
		return seen, nil
	}
	return seen, l.save(ctx, note, seen.memory)
}

// decode reads a note. A Memory never changes, so it may be used again.
func (l *ledger) decode(note store.Note) (retention.Memory, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if note.Version != "" && note.Version == l.last.version {
		return l.last.memory, nil
	}
	var memory retention.Memory
	if len(note.Data) > 0 {
		if err := json.Unmarshal(note.Data, &memory); err != nil {
			return retention.Memory{}, err
		}
	}
	l.last.version, l.last.memory = note.Version, memory
	return memory, nil
}

// look asks the API. A kind that is not served has no objects; what is remembered of
// them then tells what that means.
func (l *ledger) look(ctx context.Context) (observation, error) {
	var seen observation
	var err error
	if seen.policies, err = l.policies(ctx); err != nil && !errors.Is(err, ErrNotServed) {
		return observation{}, listError("policies", err)
	}
	seen.holds, err = l.holds(ctx)
	seen.noHolds = errors.Is(err, ErrNotServed)
	if err != nil && !seen.noHolds {
		return observation{}, listError("holds", err)
	}
	return seen, nil
}

func (l *ledger) save(ctx context.Context, last store.Note, memory retention.Memory) error {
	data, err := json.Marshal(memory)
	if err != nil {
		return fmt.Errorf("encode what is remembered of policies and holds: %w", err)
	}
	if len(data) > store.MaxNoteBytes {
		return fmt.Errorf("%w: policies and holds need %d bytes to be remembered, of at most %d; there are too many, or they change too often",
			errTooMany, len(data), store.MaxNoteBytes)
	}
	_, err = l.notes.WriteNote(ctx, ledgerNote, data, last.Version)
	switch {
	case store.IsConflict(err):
		return errOvertaken
	case err != nil:
		return fmt.Errorf("remember policies and holds: %w", err)
	}
	return nil
}
