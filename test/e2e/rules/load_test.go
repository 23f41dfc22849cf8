package rules_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"auditquery.dev/auditquery/test/await"
)

// load asks in all ways for as long as it is not stopped.
type load struct {
	answers atomic.Int64
	end     context.CancelFunc
	askers  sync.WaitGroup

	mutex    sync.Mutex
	failures []string
}

// startLoad has two askers a way. Each answer that judge refuses is a failure.
func startLoad(t *testing.T, ways map[string]way, judge func(way, answer) error) *load {
	t.Helper()
	l := &load{}
	ctx, end := context.WithCancel(t.Context())
	l.end = end
	for _, name := range slices.Sorted(maps.Keys(ways)) {
		for range 2 {
			l.askers.Go(func() { l.ask(ctx, name, ways[name], judge) })
		}
	}
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *load) ask(ctx context.Context, name string, y way, judge func(way, answer) error) {
	for ctx.Err() == nil {
		// What was asked is waited for: to be stopped is no failure.
		a := y.ask(context.WithoutCancel(ctx))
		if err := judge(y, a); err != nil {
			l.mutex.Lock()
			l.failures = append(l.failures, fmt.Sprintf("%s: %v", name, err))
			l.mutex.Unlock()
		}
		l.answers.Add(1)
	}
}

// goOn returns after some more answers, so that what just changed has met them.
func (l *load) goOn(t *testing.T) {
	t.Helper()
	const some = 200
	until := l.answers.Load() + some
	await.True(t, "there are more answers", func() bool { return l.answers.Load() >= until })
}

func (l *load) stop() {
	l.end()
	l.askers.Wait()
}

// wantNoFailure stops the load, of which not one request may have failed.
func (l *load) wantNoFailure(t *testing.T) {
	t.Helper()
	l.stop()
	const most = 10
	for _, failure := range l.failures[:min(len(l.failures), most)] {
		t.Error(failure)
	}
	if len(l.failures) > 0 {
		t.Errorf("%d of %d requests failed", len(l.failures), l.answers.Load())
	}
	t.Logf("%d requests", l.answers.Load())
}
