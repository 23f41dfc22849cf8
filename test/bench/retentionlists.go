package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	controller "auditquery.dev/auditquery/controllers/retention"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/test/stage"
)

const (
	// serverBesideErasure serves the month that is erased.
	serverBesideErasure = "beside-erasure"
	// listedTurns is how often lists are timed alone and beside the erasure.
	listedTurns = 5
	// erasureSettles is how long an erasure goes on before lists are timed beside it,
	// and lists are left alone after it: what is due must last for all turns.
	erasureSettles = time.Second
	// benchPolicy is the policy by which the month is erased.
	benchPolicy = "bench"
)

// listsMeanwhile times the newest page of a month while the controller's eraser, as
// it runs by default, erases the oldest records of that month in batches; and while
// it does not.
func (r *retained) listsMeanwhile(ctx context.Context) (figures []figure, err error) {
	b := r.bench
	if err := b.startStage(ctx); err != nil {
		return nil, err
	}
	server, err := b.stage.AddServer(stage.ServerOptions{
		Name: serverBesideErasure, Role: stage.RoleAPIServer, ElasticsearchURL: b.cluster.URL(),
		Args: append(b.profilingArgs(), "--elasticsearch-index-prefix="+largePrefix),
	})
	if err != nil {
		return nil, err
	}
	if err := server.Start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()
	config, err := b.reader(ctx, benchReader)
	if err != nil {
		return nil, err
	}
	l := lister{ctx: ctx, config: server.Config(config)}
	list, asked, err := l.side("records", recordsPage(), "items", transport{})
	if err != nil {
		return nil, err
	}
	defer asked.caller.close()
	run, err := r.newErasureRun(ctx)
	if err != nil {
		return nil, err
	}
	alone, beside := &side{name: "alone"}, &side{name: "beside"}
	if err := r.takeTurns(ctx, run, list, alone, beside); err != nil {
		return nil, err
	}
	if len(beside.times) < turnLists {
		b.note("retention, lists meanwhile: not measured, since with -records=%d the erasure is over too soon", b.settings.records)
		return nil, nil
	}
	b.note("retention, lists meanwhile: the controller's eraser with its defaults (batches of %d, then a pause of %.0f %% of the batch's time) "+
		"erased %d records in %.1f s, %.0f records/s; %d lists of %d, one after the other, of the newest records of the same index, "+
		"on the server's own address, HTTP/1.1, Accept-Encoding: identity",
		controller.DefaultBatchSize, 100*controller.DefaultThrottle, run.erased, run.took.Seconds(), float64(run.erased)/run.took.Seconds(),
		len(beside.times), pageRows)
	p99 := func(s *side) time.Duration { return percentile(s.times, 99) }
	return []figure{{
		Name: "Retention, p99 of lists of 500 while batches are erased ÷ without", Bound: 2,
		Value:   float64(p99(beside)) / float64(p99(alone)),
		Medians: fmt.Sprintf("p99 %s, alone %s; medians %s; %s", milliseconds(p99(beside)), milliseconds(p99(alone)), beside, alone),
	}}, nil
}

// takeTurns times lists alone and beside the erasure by turns, of which another is
// first each time: what has been erased by then must not count for one side.
func (r *retained) takeTurns(ctx context.Context, run *erasureRun, list, alone, beside *side) error {
	if err := timeLists(ctx, &side{name: "warming up"}, list); err != nil {
		return err
	}
	for turn := range listedTurns {
		r.bench.progress.step("measuring lists alone and beside an erasure, %d of %d", turn+1, listedTurns)
		runs := []func() error{
			func() error {
				if err := pause(ctx, erasureSettles); err != nil {
					return err
				}
				return timeLists(ctx, alone, list)
			},
			func() error { return run.beside(ctx, beside, list) },
		}
		for k := range runs {
			if err := runs[(turn+k)%len(runs)](); err != nil {
				return err
			}
		}
	}
	return nil
}

// erasureRun is an erasure that can be stopped, and goes on where it was.
type erasureRun struct {
	eraser *controller.Eraser
	erased int64
	took   time.Duration
}

// newErasureRun makes the eraser, and has its policy observed long before anything
// is due by it.
func (r *retained) newErasureRun(ctx context.Context) (*erasureRun, error) {
	clock := clocktesting.NewFakePassiveClock(monthStart())
	policies := []retention.Policy{{Name: benchPolicy, UID: benchPolicy, Rule: retention.Rule{
		Kinds: []record.Kind{record.KindAudit}, Keep: months(1), Mode: retention.Enforce, ChangeDelay: time.Hour,
	}}}
	holds := []retention.Hold{{Name: benchPolicy, UID: benchPolicy, Spec: heldUser()}}
	eraser, err := controller.NewEraser(controller.EraserOptions{
		Store:    r.large,
		Policies: func(context.Context) ([]retention.Policy, error) { return policies, nil },
		Holds:    func(context.Context) ([]retention.Hold, error) { return holds, nil },
		Lease:    soleLease{}, Username: benchReader, ClusterName: benchCluster, Clock: clock,
	})
	if err != nil {
		return nil, err
	}
	report, err := eraser.Run(ctx)
	if err != nil {
		return nil, err
	}
	if len(report.Policies) > 0 || len(report.Blocked) > 0 {
		return nil, fmt.Errorf("something is due too early, or blocked: %v", report.Blocked)
	}
	clock.SetTime(dueUntil().AddDate(0, 1, 0))
	return &erasureRun{eraser: eraser}, nil
}

// beside times lists while records are erased, at most turnLists of them. What is
// listed after the end of the erasure is not counted.
func (e *erasureRun) beside(ctx context.Context, into, list *side) error {
	erasing, cancel := context.WithCancel(ctx)
	defer cancel()
	var report controller.Report
	ended := make(chan error, 1)
	began := time.Now()
	go func() {
		var err error
		report, err = e.eraser.Run(erasing)
		e.took += time.Since(began)
		ended <- err
	}()
	err := pause(ctx, erasureSettles)
	for i := 0; i < turnLists && err == nil; i++ {
		began := time.Now()
		if err = list.run(i); len(ended) > 0 {
			break
		}
		into.times = append(into.times, time.Since(began))
	}
	over := len(ended) > 0
	cancel()
	failed := <-ended
	e.erased += report.Policies[benchPolicy].Erased[record.KindAudit].Records
	// An erasure that was told to end did not fail.
	if !over && errors.Is(failed, context.Canceled) {
		failed = nil
	}
	return errors.Join(err, failed)
}

// soleLease is held by who asks: there is nobody else.
type soleLease struct{}

// Acquire implements controller.Lease.
func (soleLease) Acquire(context.Context) (time.Time, error) {
	return time.Now().Add(controller.LeaseDuration), nil
}

// Renew implements controller.Lease.
func (l soleLease) Renew(ctx context.Context) (time.Time, error) { return l.Acquire(ctx) }

// Release implements controller.Lease.
func (soleLease) Release(context.Context) error { return nil }
