package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// interleave runs every side once before any runs again, and begins each round
// with another one: whatever disturbs the machine, or is left behind by one side
// for the next to pay, falls on all of them alike. The first fifth of the rounds
// warms up and is not counted.
func (b *bench) interleave(ctx context.Context, what string, rounds int, sides ...*side) error {
	warm := rounds/5 + 1
	for round := range warm + rounds {
		for k := range sides {
			if err := ctx.Err(); err != nil {
				return err
			}
			s := sides[(round+k)%len(sides)]
			began := time.Now()
			err := s.run(round)
			took := time.Since(began)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if round >= warm {
				s.times = append(s.times, took)
			}
		}
		b.progress.at(what, round+1, warm+rounds)
	}
	return nil
}

// together times how long a side takes for several items at once.
func together[T any](s *side, items []T, run func(T) error) error {
	var group errgroup.Group
	began := time.Now()
	for _, item := range items {
		group.Go(func() error { return run(item) })
	}
	err := group.Wait()
	s.times = append(s.times, time.Since(began))
	return err
}
