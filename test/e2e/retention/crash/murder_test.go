package crash_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"auditquery.dev/auditquery/test/e2e/retention/trail"
	"auditquery.dev/auditquery/test/process"
)

// mostCalls is how far a life gets at most: about as far as a run of a month.
const mostCalls = 60

// murderer ends a child at a moment that it draws, unless it is over before. It
// returns what has to be done when the child has ended.
type murderer func(t *testing.T, random *rand.Rand, child *process.Process) (over func())

// afterCalls kills a little after a number of calls of the store: in the middle of
// one, as a rule.
func afterCalls(t *testing.T, random *rand.Rand, child *process.Process) (over func()) {
	const poll, most = 200 * time.Microsecond, 4 * time.Millisecond
	calls, delay := 1+random.IntN(mostCalls), time.Duration(random.Int64N(int64(most)))
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(poll)
		defer ticker.Stop()
		for {
			said, err := os.ReadFile(child.LogPath())
			if err != nil {
				t.Error(err)
				return
			}
			if bytes.Count(said, []byte("\ncall "))+1 > calls {
				trail.LetPass(t.Context(), delay)
				end(t, child)
				return
			}
			select {
			case <-child.Exited():
				return
			case <-ticker.C:
			}
		}
	})
	return watching.Wait
}

// atRequest kills before or after Elasticsearch has a request.
func atRequest(g *trail.Trigger) murderer {
	const each = 6 // requests of a call
	return func(t *testing.T, random *rand.Rand, child *process.Process) (over func()) {
		moments := []trail.Moment{trail.Dropped, trail.Sent, trail.Answered}
		g.Set(nil, random.IntN(mostCalls*each), moments[random.IntN(len(moments))], func() { end(t, child) })
		return g.Clear
	}
}

func end(t *testing.T, child *process.Process) {
	if err := child.Kill(); err != nil {
		t.Error(err)
	}
}
