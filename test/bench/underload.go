package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"auditquery.dev/auditquery/test/faults"
	"auditquery.dev/auditquery/test/stage"
)

const (
	// storeDelay is what the store takes for every answer, besides its own time.
	storeDelay = 20 * time.Millisecond
	// greedyLists are in flight at a time.
	greedyLists = 200
	// turns is how often the second user is alone and then is not.
	turns = 5
	// turnLists are what it asks for in each of these.
	turnLists = 200
	// settleFor is how long a load goes on before anything is timed.
	settleFor = 2 * time.Second
)

// underLoad measures a server that one user asks for as much as it can, while its
// store takes a while for each answer.
func underLoad(ctx context.Context, b *bench) (figures []figure, err error) {
	if err := errors.Join(b.loadElasticsearch(ctx), b.startStage(ctx)); err != nil {
		return nil, err
	}
	proxy, err := faults.Start(b.cluster.URL())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, proxy.Close()) }()
	if err := proxy.Set(faults.Fault{Delay: storeDelay}); err != nil {
		return nil, err
	}
	server, err := b.addServer(ctx, serverBehindDelay, proxy.URL())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop(context.Background())) }()
	greedy, err := b.newGreedy(ctx, server)
	if err != nil {
		return nil, err
	}
	defer greedy.close()
	second, err := b.reader(ctx, "bench-second")
	if err != nil {
		return nil, err
	}
	l := lister{ctx: ctx, config: server.Config(second)}
	one, oneAsked, err := l.side("second user", recordsPage(), "items", transport{})
	if err != nil {
		return nil, err
	}
	defer oneAsked.caller.close()
	return b.takeTurns(ctx, server, greedy, one)
}

// takeTurns has the second user ask alone and under load in turn.
func (b *bench) takeTurns(ctx context.Context, server *stage.Server, greedy *greedy, one *side) ([]figure, error) {
	alone, loaded := &side{name: "alone"}, &side{name: "under load"}
	for turn := range turns {
		b.progress.step("measuring a second user alone and under load, %d of %d", turn+1, turns)
		if err := timeLists(ctx, alone, one); err != nil {
			return nil, err
		}
		stop := greedy.start(ctx)
		err := pause(ctx, settleFor)
		if err == nil {
			err = timeLists(ctx, loaded, one)
		}
		stop()
		if err != nil {
			return nil, err
		}
	}
	peak, err := peakBytes(server.Process().PID())
	if err != nil {
		return nil, err
	}
	done, failed := greedy.done.Load(), greedy.failed.Load()
	if done == 0 {
		return nil, errors.New("the greedy user got nothing")
	}
	b.note("under load: one user has %d lists of %d in flight, of REST and of records by turns, on the server's own address, HTTP/1.1, "+
		"Accept-Encoding: identity, the store takes %s longer for each answer; the second user lists %d records at a time, one list after the other; "+
		"client, server, store and what delays it share the machine", greedyLists, pageRows, storeDelay, pageRows)
	p99 := func(s *side) time.Duration { return percentile(s.times, 99) }
	figures := []figure{
		{
			Name: fmt.Sprintf("a second user's p99 under %d lists of another ÷ its p99 alone", greedyLists), Bound: 2,
			Value:   float64(p99(loaded)) / float64(p99(alone)),
			Medians: fmt.Sprintf("p99 %s, alone %s; medians %s; %s", milliseconds(p99(loaded)), milliseconds(p99(alone)), loaded, alone),
		},
		{
			Name: fmt.Sprintf("%d lists of 500 at a time: the largest RSS", greedyLists), Bound: 400, Unit: "MiB",
			Value: megabytes(peak), Medians: fmt.Sprintf("over %d lists", done+failed),
		},
		{
			Name: fmt.Sprintf("%d lists of 500 at a time: those that fail", greedyLists), Bound: 0, Share: true,
			Value: float64(failed) / float64(done+failed), Medians: fmt.Sprintf("%d of %d", failed, done+failed),
		},
	}
	if first := greedy.first.Load(); first != nil {
		b.note("the first list that failed: %s", *first)
	}
	return figures, nil
}

func timeLists(ctx context.Context, into, one *side) error {
	for i := range turnLists {
		if err := ctx.Err(); err != nil {
			return err
		}
		began := time.Now()
		if err := one.run(i); err != nil {
			return fmt.Errorf("the second user, %s: %w", into.name, err)
		}
		into.times = append(into.times, time.Since(began))
	}
	return nil
}

// greedy is a user who never has enough.
type greedy struct {
	lists        []*asked
	done, failed atomic.Int64
	first        atomic.Pointer[string]
}

func (b *bench) newGreedy(ctx context.Context, server *stage.Server) (*greedy, error) {
	config, err := b.reader(ctx, benchReader)
	if err != nil {
		return nil, err
	}
	l := lister{ctx: ctx, config: server.Config(config)}
	g := &greedy{}
	for _, kind := range []struct{ name, uri, member string }{{"REST", restPage(), "audits"}, {"records", recordsPage(), "items"}} {
		_, a, err := l.side(kind.name, kind.uri, kind.member, transport{connections: greedyLists})
		if err != nil {
			g.close()
			return nil, err
		}
		g.lists = append(g.lists, a)
	}
	return g, nil
}

func (g *greedy) close() {
	for _, a := range g.lists {
		a.caller.close()
	}
}

// start begins, and returns what ends it: each list is answered yet.
func (g *greedy) start(ctx context.Context) (stop func()) {
	var group errgroup.Group
	over := make(chan struct{})
	for i := range greedyLists {
		group.Go(func() error {
			for {
				select {
				case <-over:
					return nil
				default:
				}
				if err := g.lists[i%len(g.lists)].run(ctx); err != nil {
					text := err.Error()
					g.first.CompareAndSwap(nil, &text)
					g.failed.Add(1)
					continue
				}
				g.done.Add(1)
			}
		})
	}
	return func() {
		close(over)
		_ = group.Wait() // failures are counted
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
