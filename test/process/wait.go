package process

import (
	"context"
	"fmt"
	"time"
)

// pollInterval is short beside what any of these servers needs to start.
const pollInterval = 100 * time.Millisecond

// WaitUntil polls ready until it returns nil. It gives up when the child ends
// or ctx does, and then says what ready said last and how the log ends.
func (p *Process) WaitUntil(ctx context.Context, what string, ready func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		last := ready(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("wait until %s: %w", what, p.Err())
		case <-ctx.Done():
			return p.Failure(fmt.Errorf("wait until %s: %w; last: %w", what, ctx.Err(), last))
		case <-ticker.C:
		}
	}
}
