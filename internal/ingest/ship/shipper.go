package ship

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"auditquery.dev/auditquery/internal/ingest/spool"
)

// Letters are logged one by one as long as there are few.
const (
	loggedLetters     = 10
	loggedLettersWait = 10 * time.Second
)

// Shipper takes records from the spool to the store.
type Shipper struct {
	options   Options
	metrics   *metrics
	letterLog *rate.Limiter
	probe     *probe // nil when nobody asks for the lag

	// wanted asks the fetcher for a group of at most so many records, fetched
	// is its answer.
	wanted  chan int
	fetched chan *group
	// work and done are groups on their way to workers and back. Neither
	// blocks: there are never more of them than workers.
	work chan *group
	done chan delivery
}

// New checks the options and registers the metrics.
func New(options Options) (*Shipper, error) {
	options, err := options.complete()
	if err != nil {
		return nil, err
	}
	s := &Shipper{
		options: options, metrics: newMetrics(),
		letterLog: rate.NewLimiter(rate.Every(loggedLettersWait), loggedLetters),
		wanted:    make(chan int, 1), fetched: make(chan *group, 1),
		work: make(chan *group, options.Workers), done: make(chan delivery, options.Workers),
	}
	if options.Searchable != nil {
		s.probe = newProbe(options)
	}
	if options.Registerer != nil {
		if err := s.metrics.register(options.Registerer); err != nil {
			return nil, fmt.Errorf("register the shipper's metrics: %w", err)
		}
	}
	return s, nil
}

// Run ships until ctx is done, then lets the groups that are being sent end, for
// as long as Options.Stop, and returns nil. What was not confirmed by then is in
// the spool and is shipped by the next process. The error says that the spool was
// closed before. Run is called once.
func (s *Shipper) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := context.AfterFunc(ctx, func() { stopAfter(sending, stop, s.options.Stop) })
	defer ended()

	var running sync.WaitGroup
	for range s.options.Workers {
		running.Go(func() {
			for g := range s.work {
				s.done <- s.deliver(sending, g)
			}
		})
	}
	closed := make(chan error, 1)
	running.Go(func() { closed <- s.fetch(ctx) })
	if s.probe != nil {
		running.Go(func() { s.probe.run(ctx) })
	}
	err := newDispatcher(s).run(ctx, closed)
	cancel()
	stop()
	close(s.work)
	running.Wait()
	return err
}

// stopAfter ends what is being sent when it takes too long.
func stopAfter(sending context.Context, stop func(), d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		stop()
	case <-sending.Done():
	}
}

// fetch takes groups from the spool as they are wanted. It ends with ctx's error,
// or because the spool was closed.
func (s *Shipper) fetch(ctx context.Context) error {
	for {
		select {
		case limit := <-s.wanted:
			g, err := s.fetchGroup(ctx, limit)
			if err != nil {
				return err
			}
			s.fetched <- g
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fetchGroup tries until the spool can be read.
func (s *Shipper) fetchGroup(ctx context.Context, limit int) (*group, error) {
	for failures := 1; ; failures++ {
		taken, err := s.take(ctx, limit)
		switch {
		case err == nil:
			if failures > 1 {
				s.options.Log.Info("the spool can be read again")
			}
			return newGroup(taken), nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, spool.ErrClosed):
			return nil, fmt.Errorf("take records from the spool: %w", err)
		}
		if failures == 1 {
			s.options.Log.Error(err, "the spool cannot be read; trying again")
		}
		s.metrics.spoolFailures.Inc()
		if err := pause(ctx, backOff(failures, longestWait)); err != nil {
			return nil, err
		}
	}
}

// bytesFor is how many bytes a group of at most so many records has.
func (o Options) bytesFor(limit int) int {
	return max(o.MaxBytes/o.MaxRecords*limit, min(o.MaxBytes, 64<<10))
}

// take returns a full group, or what there is after a short while.
func (s *Shipper) take(ctx context.Context, limit int) ([]spool.Taken, error) {
	maxBytes := s.options.bytesFor(limit)
	taken, err := s.options.Spool.Take(ctx, limit, maxBytes)
	if err != nil || s.options.Linger <= 0 {
		return taken, err
	}
	lingering, cancel := context.WithTimeout(ctx, s.options.Linger)
	defer cancel()
	// Of the rest one entry could be larger than the room for it.
	for bytesOf(taken) < maxBytes*3/4 && len(taken) < limit {
		more, err := s.options.Spool.Take(lingering, limit-len(taken), maxBytes-bytesOf(taken))
		if err != nil {
			break // if it is not that the time is over, the next Take fails too
		}
		taken = append(taken, more...)
	}
	return taken, nil
}

func bytesOf(taken []spool.Taken) int {
	total := 0
	for _, t := range taken {
		total += len(t.Data)
	}
	return total
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
