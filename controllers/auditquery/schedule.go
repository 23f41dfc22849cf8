package auditquery

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// minInterval is the shortest time between two runs, whatever a spec says.
	minInterval = 10 * time.Second
	// maxSpread is how far apart runs are spread that would fall together.
	maxSpread = 5 * time.Minute
	// restartSpread is the time over which overdue runs are made up for after
	// the controller was away.
	restartSpread = time.Minute

	firstPause = time.Second
	maxPause   = time.Minute
	// maxStorePause bounds what a store may ask for.
	maxStorePause = 5 * time.Minute
)

// nextRun returns when a query runs again after a run that started at started.
//
// Each object has its own grid of instants: one interval apart, anchored at its
// creation plus an offset made from its uid. So a thousand queries that were
// applied at once spread evenly, runs do not drift, and a controller that has
// just started needs nothing but the object to know the next instant. A run that
// took longer than an interval skips instants; it does not make up for them. The
// first instant after a change of the spec is at least half an interval (at most
// maxSpread) away.
func nextRun(uid types.UID, created time.Time, interval time.Duration, started time.Time) time.Time {
	anchor := created.Add(offset(uid, "grid", min(interval, maxSpread)))
	earliest := started.Add(min(interval/2, maxSpread))
	if !earliest.After(anchor) {
		return anchor
	}
	steps := (earliest.Sub(anchor) + interval - 1) / interval
	return anchor.Add(steps * interval)
}

// afterRestart returns when a query is due of which only its status is known. An
// instant in the past may have been missed, or run without a write since the rows
// were the same; either way it is run soon, but not together with all others.
func afterRestart(uid types.UID, interval time.Duration, next *time.Time, now time.Time) time.Time {
	if next != nil && next.After(now) && next.Before(now.Add(2*interval+maxSpread)) {
		return *next
	}
	return now.Add(offset(uid, "restart", min(interval, restartSpread)))
}

// pause returns how long to wait after a number of failures in a row: it doubles
// up to maxPause, is jittered by up to a half, and is never shorter than floor,
// of which at most maxStorePause is honoured, and a quarter more as jitter.
func pause(uid types.UID, failures int, floor time.Duration) time.Duration {
	full := maxPause
	if shift := max(failures-1, 0); shift < 6 {
		full = min(firstPause<<shift, maxPause)
	}
	jittered := full/2 + offset(uid, strconv.Itoa(failures), full/2)
	floor = min(floor, maxStorePause)
	return max(jittered, floor+offset(uid, "floor", floor/4))
}

// offset spreads objects over [0, span): the same for one object at every time
// and on every replica.
func offset(uid types.UID, purpose string, span time.Duration) time.Duration {
	if span <= 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(purpose + "/" + string(uid)))
	return time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(span))
}
