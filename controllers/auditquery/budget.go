package auditquery

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// DefaultStatusBytesPerSecond is how much status a controller writes on average.
const DefaultStatusBytesPerSecond = 200_000

// burstBytes is what may be written at once after a quiet time: a few statuses of
// the greatest size. No single write is larger.
const burstBytes = 4 * MaxStatusBytes

// budget bounds the bytes of status written per second, over all objects. A run
// that has started always writes what it found; that may put the budget into
// debt, and no run starts until the debt is paid off.
type budget struct{ bucket *rate.Limiter }

func newBudget(bytesPerSecond int) budget {
	return budget{bucket: rate.NewLimiter(rate.Limit(bytesPerSecond), burstBytes)}
}

// delay is how long after now no run may start; 0 when one may.
func (b budget) delay(now time.Time) time.Duration {
	debt := -b.bucket.TokensAt(now)
	if debt <= 0 {
		return 0
	}
	seconds := debt / float64(b.bucket.Limit())
	return time.Duration(math.Ceil(seconds*1000)) * time.Millisecond
}

// spend takes the bytes of one write.
func (b budget) spend(now time.Time, bytes int) {
	b.bucket.ReserveN(now, min(bytes, burstBytes))
}
