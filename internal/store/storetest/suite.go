// Package storetest is the conformance suite of the stores: what a backend must
// do so that an answer does not depend on which of them gave it.
//
// A backend's test makes a Factory and calls Run. Every check compares the
// store with a naive reference (naive.go) that is written from the comments of
// package query and knows nothing of any backend. Checks return errors instead
// of failing a test themselves, so that the suite's own test can show that a
// store with a defect does not pass.
package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/store"
)

// Environment variables that repeat or lengthen a run.
const (
	// EnvSeed is the seed of everything random: an unsigned number.
	EnvSeed = "AUDITQUERY_STORETEST_SEED"
	// EnvQueries is how many random queries each random check asks.
	EnvQueries = "AUDITQUERY_STORETEST_QUERIES"
)

const (
	defaultQueries = 300
	shortQueries   = 60
	// patience bounds one check: stores answer in milliseconds, a restart of
	// Elasticsearch takes a quarter of a minute.
	patience = 5 * time.Minute
)

// Store is what the suite asks of a backend.
type Store interface {
	store.Reader
	store.BatchReader
	store.Writer
	store.PreparedWriter
}

// Backend is a fresh, empty store and what a check may do to it.
type Backend struct {
	Store Store
	// Refresh makes everything appended so far visible to searches. Nil when
	// it is visible at once.
	Refresh func(context.Context) error
	// Stop makes the store unreachable, as an outage would: calls under way
	// may fail, later ones must, with Unavailable or Timeout. Nil when the
	// store can't be stopped; the checks of outages are then skipped.
	Stop func(context.Context) error
	// Start ends what Stop began and returns the store to go on with, which
	// holds all that was stored before. It may be the same one.
	Start func(context.Context) (Store, error)
}

// Factory makes a Backend for one check and cleans up with t.Cleanup. It is
// called once for each check: what a Backend holds must be its own.
type Factory func(t *testing.T) Backend

// Run runs every check, each on a Backend of its own.
func Run(t *testing.T, f Factory) {
	settings := settingsFor(t)
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			b := f(t)
			if c.outage && (b.Stop == nil || b.Start == nil) {
				t.Skip("this backend's test can't stop its store")
			}
			if err := c.run(&b, settings); err != nil {
				t.Errorf("%v\nrepeat with %s=%d", err, EnvSeed, settings.seed)
			}
		})
	}
}

// RunPair gives two backends the same random records and demands identical
// answers to the same random queries.
func RunPair(t *testing.T, first, second Factory) {
	settings := settingsFor(t)
	a, b := first(t), second(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := pair(ctx, &a, &b, settings); err != nil {
		t.Errorf("%v\nrepeat with %s=%d", err, EnvSeed, settings.seed)
	}
}

// settings are what a whole run shares.
type settings struct {
	seed    uint64
	queries int
}

// random returns a source of its own for each purpose, so that a check gives
// the same records alone as in the whole suite.
func (s settings) random(purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(s.seed, purpose))
}

func settingsFor(t *testing.T) settings {
	t.Helper()
	s := settings{seed: rand.Uint64(), queries: defaultQueries}
	if testing.Short() {
		s.queries = shortQueries
	}
	if text := os.Getenv(EnvSeed); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %q is not an unsigned number", EnvSeed, text)
		}
		s.seed = seed
	}
	if text := os.Getenv(EnvQueries); text != "" {
		queries, err := strconv.Atoi(text)
		if err != nil || queries < 1 {
			t.Fatalf("%s: %q is not a number of queries", EnvQueries, text)
		}
		s.queries = queries
	}
	t.Logf("%s=%d %s=%d", EnvSeed, s.seed, EnvQueries, s.queries)
	return s
}

// check is one property of a store.
type check struct {
	name string
	// outage marks checks that stop the store.
	outage bool
	do     func(context.Context, *Backend, settings) error
}

func (c check) run(b *Backend, s settings) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.do(ctx, b, s)
}

// refresh makes appended records visible.
func (b *Backend) refresh(ctx context.Context) error {
	if b.Refresh == nil {
		return nil
	}
	if err := b.Refresh(ctx); err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	return nil
}
