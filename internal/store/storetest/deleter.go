package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// DeleterStore is what the suite of erasing asks of a backend.
type DeleterStore interface {
	Store
	store.Deleter
	store.Notebook
}

// DeleterBackend is a Backend whose store erases too.
type DeleterBackend struct {
	Store DeleterStore
	// Refresh is Backend's.
	Refresh func(context.Context) error
	// Reopen opens what the store holds in a process that begins, which it
	// goes on with; the one before is not used again.
	Reopen func(context.Context) (DeleterStore, error)
	// Stop makes the store unreachable, as Backend's; nil when it can't be.
	Stop func(context.Context) error
	// LoseNote destroys a note past the store; nil when it can't be.
	LoseNote func(ctx context.Context, name string) error
}

// DeleterFactory makes a DeleterBackend for one check, as a Factory does.
type DeleterFactory func(t *testing.T) DeleterBackend

// RunDeleter runs the checks of erasing and of notes, each on a backend of its
// own.
func RunDeleter(t *testing.T, f DeleterFactory) {
	settings := settingsFor(t)
	for _, c := range deleterChecks() {
		t.Run(c.name, func(t *testing.T) {
			b := f(t)
			if c.outage && b.Stop == nil {
				t.Skip("this backend's test can't stop its store")
			}
			if c.loss && b.LoseNote == nil {
				t.Skip("this backend's test can't destroy a note")
			}
			if err := c.run(&b, settings); err != nil {
				t.Errorf("%v\nrepeat with %s=%d", err, EnvSeed, settings.seed)
			}
		})
	}
}

// deleterCheck is one property of a store that erases.
type deleterCheck struct {
	name   string
	outage bool
	// loss marks checks that destroy a note.
	loss bool
	do   func(context.Context, *DeleterBackend, settings) error
}

func (c deleterCheck) run(b *DeleterBackend, s settings) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.do(ctx, b, s)
}

func deleterChecks() []deleterCheck {
	return []deleterCheck{
		{name: "stretches say what there is", do: stretchesTell},
		{name: "a stretch of many orgs", do: stretchOfManyOrgs},
		{name: "random parts are erased and nothing else", do: eraseRandomParts},
		{name: "batches are bounded and begin with the oldest", do: eraseOldestFirst},
		{name: "what is held stays", do: eraseBesideHolds},
		{name: "readers page while records are erased", do: pagingDuringErasing},
		{name: "what was erased can be stored again", do: storeErasedAgain},
		{name: "a whole stretch", do: eraseWholeStretch},
		{name: "a stretch with one survivor", do: eraseWithSurvivors},
		{name: "records arrive while stretches are erased", do: appendingDuringErasing},
		{name: "erasures that are refused", do: refusedErasures},
		{name: "interrupted erasures", do: interruptedErasures},
		{name: "notes", do: notes},
		{name: "writers of the same note", do: notesTogether},
		{name: "a note that is lost", loss: true, do: lostNotes},
		{name: "the store of erasures stops", outage: true, do: eraseInOutage},
	}
}

// plain is the backend for the checks of package that only read and write.
func (b *DeleterBackend) plain() *Backend { return &Backend{Store: b.Store, Refresh: b.Refresh} }

func (b *DeleterBackend) refresh(ctx context.Context) error { return b.plain().refresh(ctx) }

// fillForErasing stores records and returns the reference.
func (b *DeleterBackend) fill(ctx context.Context, records []record.Record) (*naive, error) {
	want := newNaive()
	if err := want.add(records...); err != nil {
		return nil, err
	}
	return want, appendAll(ctx, b.plain(), records)
}

// erase forgets what q matches and returns how many that was.
func (n *naive) erase(q query.Query) int {
	doomed := n.matching(q)
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := map[record.ID]bool{}
	for _, e := range doomed {
		ids[e.record.Base().ID] = true
		delete(n.positions, e.record.Base().ID)
	}
	n.records[q.Kind] = slices.DeleteFunc(n.records[q.Kind], func(e entry) bool { return ids[e.record.Base().ID] })
	return len(doomed)
}

// eraseAll erases q in batches of limit and returns how many records went.
func eraseAll(ctx context.Context, s store.Deleter, q query.Query, limit int) (int, error) {
	erasure, err := s.Erase(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("erase: %w", err)
	}
	total := 0
	for {
		erased, err := erasure.Next(ctx, limit)
		if erased < 0 || erased > limit {
			err = errors.Join(err, fmt.Errorf("a batch of at most %d records erased %d", limit, erased))
		}
		total += max(erased, 0)
		if errors.Is(err, io.EOF) {
			if erased != 0 {
				return total, fmt.Errorf("the end erased %d records", erased)
			}
			return total, erasure.Close(ctx)
		}
		if err != nil {
			return total, errors.Join(fmt.Errorf("after %d records: %w", total, err), erasure.Close(ctx))
		}
	}
}

// sameHoldings compares all that a store holds, of both kinds, with the reference.
func (b *DeleterBackend) sameHoldings(ctx context.Context, want *naive) error {
	if err := b.refresh(ctx); err != nil {
		return err
	}
	for _, kind := range record.Kinds() {
		q := query.Query{Kind: kind, Scope: query.All(), Limit: query.MaxLimit}
		if err := sameWalk(ctx, b.Store, want, q); err != nil {
			return describe(q, err)
		}
		if err := sameCounts(ctx, b.Store, want, q); err != nil {
			return describe(q, err)
		}
	}
	return b.sameStretches(ctx, want)
}

// eraseInOutage: while the store is down everything says so.
func eraseInOutage(ctx context.Context, b *DeleterBackend, _ settings) error {
	if _, err := b.fill(ctx, audits(0, 10)); err != nil {
		return err
	}
	if err := b.Stop(ctx); err != nil {
		return err
	}
	for _, c := range deleterCalls() {
		within, cancel := context.WithTimeout(ctx, outageDeadline)
		err := c.do(within, b.Store)
		cancel()
		if err := outageError(c.name+" while the store is down", err); err != nil {
			return err
		}
	}
	return nil
}
