package ship

import (
	"errors"
	"math/rand/v2"
	"time"

	"auditquery.dev/auditquery/internal/store"
)

const (
	// firstWait and its doubles are what is waited after failures.
	firstWait = 250 * time.Millisecond
	// longestWait bounds it for records that the store failed to take, or that
	// found no place among the dead letters.
	longestWait = 30 * time.Second
	// longestAway bounds it for a store that takes nothing at all: asking costs
	// little, and the sooner it is known to be back the better.
	longestAway = 5 * time.Second
	// fewest is the part of the most records, as its divisor, below which the
	// limit does not fall because records fail: smaller groups help an
	// overloaded store no more, and an index may be what takes nothing.
	fewest = 32
	// slow is when a group was too large for the store.
	slow = 5 * time.Second
)

// pace is what is known of the store: whether it is there, and how much it takes
// at once. The dispatcher alone uses it.
type pace struct {
	most int
	// limit is how many records a group has at most, from 1 to most.
	limit int

	// successes counts groups of which the store took at least one record.
	successes uint64
	// failures counts groups that failed as a whole since the last success, and
	// were sent for the first time.
	failures int
	// since and until are when the store went away, and when it is asked again.
	since, until time.Time
}

// away says that the store took nothing when it was last asked.
func (p *pace) away() bool { return p.failures > 0 }

// succeeded notes a success; back is true when the store was away.
func (p *pace) succeeded() (back bool) {
	back = p.away()
	p.successes++
	p.failures, p.until = 0, time.Time{}
	return back
}

// failed notes that a group failed as a whole: one that was sent for the first
// time, or while the store was away. gone is true when the store was there before.
func (p *pace) failed(fresh bool, err error, now time.Time) (gone bool) {
	if gone = !p.away(); gone {
		p.since = now
	}
	switch {
	case store.IsTimeout(err):
		p.shrink(1)
	case gone:
		p.shrink(p.most / fewest)
	}
	if fresh {
		p.failures++
	}
	p.hold(err, now)
	return gone
}

// hold puts off the next question to a store that is away.
func (p *pace) hold(err error, now time.Time) {
	p.until = now.Add(max(backOff(p.failures, longestAway), after(err)))
}

// took adapts the limit after a group of which at least a part was stored. One that
// was not full says nothing about larger ones, and records that fail again say
// nothing about the store: it is overloaded when it does not take new ones.
func (p *pace) took(d time.Duration, full, overloaded bool) {
	switch {
	case d > slow:
		p.shrink(1)
	case overloaded:
		p.shrink(p.most / fewest)
	case full:
		p.limit = min(p.most, p.limit+max(1, p.most/16))
	}
}

func (p *pace) shrink(least int) { p.limit = max(1, min(p.limit, least), p.limit/2) }

// backOff is how long to wait after so many failures.
func backOff(failures int, longest time.Duration) time.Duration {
	wait := longest
	if shift := max(0, failures-1); shift < 10 {
		wait = min(longest, firstWait<<shift)
	}
	// Over its upper half, so that two servers do not come back together.
	return wait/2 + rand.N(wait/2+1)
}

// after is how long the store asks to be left alone.
func after(err error) time.Duration {
	var failure *store.Error
	if errors.As(err, &failure) {
		return min(failure.RetryAfter, longestWait)
	}
	return 0
}
