package ingest

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// So many refusals of one reason are logged one by one, and then one in a while:
// senders come again for as long as a spool is full.
const (
	loggedRefusals     = 10
	loggedRefusalsWait = 10 * time.Second
)

// refusalLog says which refusals of one reason are worth a line.
type refusalLog struct {
	lines  *rate.Limiter
	silent atomic.Int64
}

func newRefusalLog() *refusalLog {
	return &refusalLog{lines: rate.NewLimiter(rate.Every(loggedRefusalsWait), loggedRefusals)}
}

// speak tells whether the next refusal is to be logged, and how many were not since
// the last one that was.
func (l *refusalLog) speak() (silent int64, ok bool) {
	if !l.lines.Allow() {
		l.silent.Add(1)
		return 0, false
	}
	return l.silent.Swap(0), true
}
