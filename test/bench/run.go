package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"time"
)

// part is a group of figures that need the same things.
type part struct {
	name string
	run  func(context.Context, *bench) ([]figure, error)
	// loaded is true when it reads what every store was loaded with.
	loaded bool
}

func parts() []part {
	return []part{
		{"elasticsearch", pageOfElasticsearch, true},
		{"append", appendToElasticsearch, false},
		{"ingest", ingest, false},
		{"sqlite", pageOfSQLite, true},
		{"pages", deepPages, true},
		{"lists", listsOfElasticsearch, true},
		{"aggregated", throughKubeAPIServer, true},
		{"load", underLoad, true},
		{"retention", erasing, false},
		// Before the many namespaces of the next part: to know them takes memory.
		{"idle", idle, false},
		{"tenants", tenantsOfElasticsearch, true},
		{"controller", standingQueries, false},
	}
}

func partNames() []string {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

// measure runs the parts that were asked for, and stops all that they started.
func measure(ctx context.Context, s settings, log io.Writer) (r *report, err error) {
	b := &bench{settings: s, progress: newProgress(log)}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.makeDir(); err != nil {
		return nil, err
	}
	mean, err := meanBytes()
	if err != nil {
		return nil, err
	}
	b.note("a record has %d bytes of JSON on average", mean)
	r = &report{settings: s, began: time.Now(), machine: describeMachine(b.dir)}
	for _, p := range parts() {
		if !slices.Contains(s.parts(), p.name) {
			continue
		}
		figures, err := b.profiled(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", p.name, err)
		}
		r.figures = append(r.figures, figures...)
	}
	b.progress.clear()
	r.finish(ctx, b)
	return r, nil
}

// profiled runs a part and writes a profile of it if one was asked for.
func (b *bench) profiled(ctx context.Context, p part) ([]figure, error) {
	if b.settings.profile == "" {
		return p.run(ctx, b)
	}
	// What is loaded for a part belongs to no figure; load it before.
	if p.loaded {
		if err := b.load(ctx); err != nil {
			return nil, err
		}
	}
	file, err := os.Create(b.settings.profile + "." + p.name + ".pprof")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	figures, err := p.run(ctx, b)
	pprof.StopCPUProfile()
	return figures, errors.Join(err, file.Close())
}
