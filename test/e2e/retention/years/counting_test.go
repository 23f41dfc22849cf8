package years_test

import (
	"context"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/e2e/retention/trail"
)

// counting counts in which ways a store erases.
type counting struct {
	trail.Store
	stretches, parts, batches int
}

func (c *counting) EraseStretch(ctx context.Context, kind record.Kind, name string, doomed query.Filter) (store.Erased, error) {
	erased, err := c.Store.EraseStretch(ctx, kind, name, doomed)
	if err == nil {
		c.stretches++
	}
	return erased, err
}

func (c *counting) Erase(ctx context.Context, q query.Query) (store.Erasure, error) {
	erasure, err := c.Store.Erase(ctx, q)
	c.parts++
	return countingErasure{Erasure: erasure, of: c}, err
}

type countingErasure struct {
	store.Erasure
	of *counting
}

func (e countingErasure) Next(ctx context.Context, limit int) (int, error) {
	e.of.batches++
	return e.Erasure.Next(ctx, limit)
}
