// Package budget bounds the memory that requests hold together.
//
// A request is charged for what it holds, never for being there: the first Free
// bytes of each cost nothing, so that a sender who sends a byte a second keeps
// nobody out, and so that every request can go on in small parts when the budget
// is used up. The bound on all of it is thus the budget and Free for each request.
package budget

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

const (
	// Free is how many bytes a request may hold without a charge.
	Free = 32 << 10
	// step is the unit of charges: a batch that grows by one record rarely
	// changes what is charged.
	step = 64 << 10
)

// Budget is an amount of memory. It is safe for concurrent use.
type Budget struct {
	size   int64
	places *semaphore.Weighted
	held   atomic.Int64
}

// New returns a budget of so many bytes.
func New(bytes int64) *Budget { return &Budget{size: bytes, places: semaphore.NewWeighted(bytes)} }

// Held is how many bytes are charged now.
func (b *Budget) Held() int64 { return b.held.Load() }

// Open returns an account that holds nothing. It must be closed.
func (b *Budget) Open() *Account { return &Account{budget: b} }

// Account is what one request holds. It belongs to one goroutine.
type Account struct {
	budget  *Budget
	charged int64
}

// Set makes the account hold so many bytes in all, more or fewer than before. It
// does not wait: false means that there is not as much now, and that the account
// holds what it held. Holding fewer always succeeds.
func (a *Account) Set(bytes int64) bool {
	want := a.charge(bytes)
	if more := want - a.charged; more > 0 {
		if !a.budget.places.TryAcquire(more) {
			return false
		}
		a.budget.held.Add(more)
	} else {
		a.give(-more)
	}
	a.charged = want
	return true
}

// Wait is Set, but waits until ctx is done, whose error it returns. What asks for
// more than the whole budget waits in vain: its caller bounds it.
func (a *Account) Wait(ctx context.Context, bytes int64) error {
	if a.Set(bytes) {
		return nil
	}
	want := a.charge(bytes)
	more := want - a.charged
	if err := a.budget.places.Acquire(ctx, more); err != nil {
		return err
	}
	a.budget.held.Add(more)
	a.charged = want
	return nil
}

// Close gives everything back.
func (a *Account) Close() {
	a.give(a.charged)
	a.charged = 0
}

func (a *Account) give(bytes int64) {
	if bytes > 0 {
		a.budget.held.Add(-bytes)
		a.budget.places.Release(bytes)
	}
}

// charge is what holding so many bytes costs, at most the whole budget.
func (a *Account) charge(bytes int64) int64 {
	if bytes <= Free {
		return 0
	}
	return min((bytes-Free+step-1)/step*step, a.budget.size)
}
