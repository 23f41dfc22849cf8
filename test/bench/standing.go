package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	queryInterval = time.Minute
	// startedWithin is how late a run may start.
	startedWithin = 5 * time.Second
)

// standingQueries measures many AuditQueries that run each minute: a real
// control plane, the real server as a process of its own, and a cluster in
// which things go on meanwhile.
func standingQueries(ctx context.Context, b *bench) (figures []figure, err error) {
	// A JVM of 2 GB beside it is no part of what is measured.
	if err := errors.Join(b.stopStage(), b.stopElasticsearch()); err != nil {
		return nil, err
	}
	if err := b.loadSQLite(ctx); err != nil {
		return nil, err
	}
	if err := b.closeSQLite(); err != nil {
		return nil, err
	}
	o := &operator{bench: b, dir: b.path("operator")}
	defer func() { err = errors.Join(err, o.stop()) }()
	if err := o.start(ctx); err != nil {
		return nil, err
	}
	b.progress.step("making %d AuditQueries", b.settings.queries)
	if err := o.makeQueries(ctx, b.settings.queries); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	busy := o.beBusy(ctx)
	seen, err := o.observe(ctx)
	cancel()
	if err := errors.Join(err, <-busy); err != nil {
		return nil, err
	}
	return b.standingFigures(seen)
}

// observation is the server over a stretch of time.
type observation struct {
	wall, cpu time.Duration
	// before and after are the server's metrics.
	before, after samples
	residentBytes int64
}

// observe waits until every query has settled on its times and then measures.
func (o *operator) observe(ctx context.Context) (observation, error) {
	b := o.bench
	b.progress.step("waiting until every query has run")
	if err := o.awaitRuns(ctx, float64(b.settings.queries)); err != nil {
		return observation{}, err
	}
	b.progress.step("warming up for %s", queryInterval)
	if err := o.wait(ctx, "warming up", queryInterval); err != nil {
		return observation{}, err
	}
	b.progress.step("measuring for %s", b.settings.duration)
	var seen observation
	var err error
	if seen.before, err = o.scrape(ctx); err != nil {
		return seen, err
	}
	began := time.Now()
	cpuBefore, err := cpuTime(o.server.PID())
	if err != nil {
		return seen, err
	}
	if err := o.wait(ctx, "measuring", b.settings.duration); err != nil {
		return seen, err
	}
	cpuAfter, err := cpuTime(o.server.PID())
	if err != nil {
		return seen, err
	}
	seen.wall, seen.cpu = time.Since(began), cpuAfter-cpuBefore
	if seen.after, err = o.scrape(ctx); err != nil {
		return seen, err
	}
	seen.residentBytes, err = residentBytes(o.server.PID())
	return seen, err
}

// wait ends early when the server does.
func (o *operator) wait(ctx context.Context, what string, d time.Duration) error {
	began := time.Now()
	timer := time.NewTimer(d)
	defer timer.Stop()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-o.server.Exited():
			return o.server.Err()
		case <-ticker.C:
			o.bench.progress.at(what, int(time.Since(began).Seconds()), int(d.Seconds()))
		case <-timer.C:
			return nil
		}
	}
}

// standingFigures counts runs that did not happen as late ones.
func (b *bench) standingFigures(seen observation) ([]figure, error) {
	gained := func(name string, labels ...string) float64 {
		return seen.after.sum(name, labels...) - seen.before.sum(name, labels...)
	}
	all, succeeded := gained("auditquery_runs_total"), gained("auditquery_runs_total", `result="succeeded"`)
	if all != succeeded || all == 0 {
		return nil, fmt.Errorf("of %.0f runs only %.0f succeeded", all, succeeded)
	}
	within := func(le string) float64 { return gained("auditquery_run_lag_seconds_bucket", `le="`+le+`"`) }
	started := gained("auditquery_run_lag_seconds_count")
	due := max(started, float64(b.settings.queries)*seen.wall.Seconds()/queryInterval.Seconds())
	stored := gained("auditquery_ingest_records_total")
	b.note("%d AuditQueries each %s: %.0f were due in %.0f s, %.0f started, %.0f within 1 s; "+
		"the server held %d records and took in %.0f more meanwhile", b.settings.queries, queryInterval, due, seen.wall.Seconds(),
		started, within("1"), b.settings.records, stored)
	return []figure{
		{
			Name: fmt.Sprintf("%d AuditQueries each minute on SQLite: runs that start within %s", b.settings.queries, startedWithin),
			// Scraping takes a moment, in which a run or two fall due.
			Value: min(within("5")/due, 1), Bound: 0.99, AtLeast: true, Share: true,
			Medians: fmt.Sprintf("%.0f of %.0f", within("5"), due),
		},
		{
			Name:  fmt.Sprintf("%d AuditQueries each minute on SQLite: CPU time ÷ wall time", b.settings.queries),
			Value: seen.cpu.Seconds() / seen.wall.Seconds(), Bound: 0.5,
			Medians: fmt.Sprintf("%.1f s of CPU in %.1f s, %d MB resident", seen.cpu.Seconds(), seen.wall.Seconds(), seen.residentBytes>>20),
		},
	}, nil
}

// stopElasticsearch ends what the other parts needed.
func (b *bench) stopElasticsearch() error {
	var failures []error
	if b.elastic != nil {
		failures = append(failures, b.elastic.Close())
		b.elastic = nil
	}
	if b.cluster != nil {
		failures = append(failures, b.cluster.Stop())
		b.cluster = nil
	}
	return errors.Join(failures...)
}
