package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// call is one method of a store, reduced to its error.
type call struct {
	name string
	do   func(context.Context, Store) error
}

// calls reads and writes records of which the store holds audit(0).
func calls() []call {
	return []call{
		{"List", func(ctx context.Context, s Store) error {
			_, err := s.List(ctx, everyAudit(10))
			return err
		}},
		{"Get", func(ctx context.Context, s Store) error {
			_, err := s.Get(ctx, record.KindAudit, audit(0).ID, query.All())
			return err
		}},
		{"Count", func(ctx context.Context, s Store) error {
			_, err := s.Count(ctx, everyAudit(10), 0)
			return err
		}},
		{"Search", func(ctx context.Context, s Store) error {
			answers := s.Search(ctx, []store.Question{{Query: everyAudit(10)}, {Query: everyAudit(20), CountAtMost: 5}})
			if len(answers) != 2 {
				return fmt.Errorf("2 questions have %d answers", len(answers))
			}
			if (answers[0].Err == nil) != (answers[1].Err == nil) {
				return fmt.Errorf("of two questions one failed: %w", errors.Join(answers[0].Err, answers[1].Err))
			}
			return answers[0].Err
		}},
		{"Append", appendAgain(asRecords)},
		{"AppendPrepared", appendAgain(asPrepared)},
	}
}

func appendAgain(appending way) func(context.Context, Store) error {
	return func(ctx context.Context, s Store) error {
		outcomes, err := appending(ctx, s, audits(0, 1))
		if err != nil {
			return err
		}
		if len(outcomes) != 1 {
			return fmt.Errorf("1 record has %d outcomes", len(outcomes))
		}
		if result := outcomes[0].Result; result != store.Failed && result != store.Duplicate {
			return fmt.Errorf("append was %s (%v)", result, outcomes[0].Err)
		}
		return outcomes[0].Err
	}
}

// interrupted: a caller that went away or ran out of time gets an error with a
// reason, and the store goes on as if nothing had been.
func interrupted(ctx context.Context, b *Backend, _ settings) error {
	if err := appendAll(ctx, b, audits(0, 100)); err != nil {
		return err
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	expired, cancel := context.WithDeadline(ctx, time.Unix(0, 0))
	defer cancel()
	for _, c := range calls() {
		err := c.do(cancelled, b.Store)
		if told := store.IsTimeout(err) || store.IsUnavailable(err); !told || !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%s with a cancelled context: %v, want Timeout or Unavailable because of context.Canceled", c.name, err)
		}
		if err := c.do(expired, b.Store); !store.IsTimeout(err) || !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%s after its deadline: %v, want Timeout because of context.DeadlineExceeded", c.name, err)
		}
		if err := c.do(ctx, b.Store); err != nil {
			return fmt.Errorf("%s after an interrupted one: %w", c.name, err)
		}
	}
	return nil
}

// refused: questions that validation would have stopped are Invalid, and what
// is not there is NotFound: never an empty answer, never another reason.
func refused(ctx context.Context, b *Backend, _ settings) error {
	empty := func(when string) error {
		page, err := b.Store.List(ctx, everyAudit(10))
		if err != nil || len(page.Documents) != 0 || page.Next != nil {
			return fmt.Errorf("%s: page %v, error %v, want an empty page", when, page, err)
		}
		count, err := b.Store.Count(ctx, everyAudit(10), 0)
		if err != nil || count != (store.Count{Exact: true}) {
			return fmt.Errorf("%s: count %v, error %v, want exactly 0", when, count, err)
		}
		_, err = b.Store.Get(ctx, record.KindAudit, audit(0).ID, query.All())
		if !store.IsNotFound(err) {
			return fmt.Errorf("%s: get: %v, want NotFound", when, err)
		}
		return nil
	}
	if err := empty("a store in which nothing was ever stored"); err != nil {
		return err
	}
	if err := appendAll(ctx, b, audits(0, 10)); err != nil {
		return err
	}
	unknown := everyAudit(10)
	unknown.Filter = unknownField()
	foreign := everyAudit(10)
	foreign.Kind = "Nope"
	for name, q := range map[string]query.Query{"an unknown field": unknown, "an unknown kind": foreign} {
		if page, err := b.Store.List(ctx, q); !store.IsInvalid(err) {
			return fmt.Errorf("list of %s: %d documents, error %v, want Invalid", name, len(page.Documents), err)
		}
		if count, err := b.Store.Count(ctx, q, 0); !store.IsInvalid(err) {
			return fmt.Errorf("count of %s: %v, error %v, want Invalid", name, count, err)
		}
	}
	hidden := query.Scope{Name: "namespace/other", Restrict: query.Equal{Field: "org_id", Value: "other"}}
	if _, err := b.Store.Get(ctx, record.KindAudit, audit(0).ID, hidden); !store.IsNotFound(err) {
		return fmt.Errorf("get of a record that the scope hides: %v, want NotFound", err)
	}
	if _, err := b.Store.Get(ctx, record.KindAuthAudit, audit(0).ID, query.All()); !store.IsNotFound(err) {
		return fmt.Errorf("get of a record of the other kind: %v, want NotFound", err)
	}
	return nil
}
