package crash_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	eraser "auditquery.dev/auditquery/controllers/retention"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/e2e/retention/trail"
)

// orderEnv names the file of the order that makes this program an eraser.
const orderEnv = "AUDITQUERY_TEST_ERASE_ORDER"

// batchSize is small, so that there are many moments to be killed at.
const batchSize = 50

// order says what a child is to do.
type order struct {
	Place    trail.Place    `json:"place"`
	Declared trail.Declared `json:"declared"`
	Now      time.Time      `json:"now"`
	// Done is the file that it makes when it has finished.
	Done string `json:"done"`
}

// erase does what the order in a file says, and tells of each call of the store.
func erase(path string) int {
	if err := obey(context.Background(), path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func obey(ctx context.Context, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var o order
	if err := json.Unmarshal(content, &o); err != nil {
		return err
	}
	opened, err := o.Place.Open(ctx)
	if err != nil {
		return err
	}
	defer opened.Close()
	e, err := trail.NewEraser(announcing{opened}, trail.NewAPI(o.Declared), clocktesting.NewFakePassiveClock(o.Now),
		func(o *eraser.EraserOptions) { o.BatchSize = batchSize })
	if err != nil {
		return err
	}
	if _, err := trail.Finished(ctx, e); err != nil {
		return err
	}
	return os.WriteFile(o.Done, nil, 0o600)
}

// announcing writes a line before each call that changes the store.
type announcing struct{ trail.Store }

func announce(call string) { fmt.Println("call", call) }

func (a announcing) Append(ctx context.Context, records []record.Record) ([]store.Outcome, error) {
	announce("Append")
	return a.Store.Append(ctx, records)
}

func (a announcing) EraseStretch(ctx context.Context, kind record.Kind, name string, doomed query.Filter) (store.Erased, error) {
	announce("EraseStretch")
	return a.Store.EraseStretch(ctx, kind, name, doomed)
}

func (a announcing) FinishErasing(ctx context.Context) error {
	announce("FinishErasing")
	return a.Store.FinishErasing(ctx)
}

func (a announcing) WriteNote(ctx context.Context, name string, data []byte, version string) (string, error) {
	announce("WriteNote")
	return a.Store.WriteNote(ctx, name, data, version)
}

func (a announcing) Reclaim(ctx context.Context) error {
	announce("Reclaim")
	return a.Store.Reclaim(ctx)
}

func (a announcing) Erase(ctx context.Context, q query.Query) (store.Erasure, error) {
	announce("Erase")
	erasure, err := a.Store.Erase(ctx, q)
	return announcingErasure{erasure}, err
}

type announcingErasure struct{ store.Erasure }

func (e announcingErasure) Next(ctx context.Context, limit int) (int, error) {
	announce("Next")
	return e.Erasure.Next(ctx, limit)
}
