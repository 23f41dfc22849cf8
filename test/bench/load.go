package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/store/sqlite"
)

const (
	loadBatch   = 2000
	loadWriters = 2
)

// loadSQLite makes the file with all records, unless a former run left it.
func (b *bench) loadSQLite(ctx context.Context) (err error) {
	if b.sqlite != nil {
		return nil
	}
	path := b.sqlitePath()
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := b.makeSQLite(ctx, path+".new"); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
	}
	b.sqlite, err = sqlite.Open(ctx, sqlite.Options{Path: path})
	return err
}

func (b *bench) sqlitePath() string {
	return b.path(fmt.Sprintf("records-%d.db", b.settings.records))
}

func (b *bench) makeSQLite(ctx context.Context, path string) (err error) {
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	if err != nil {
		return err
	}
	// Only closing it puts the log into the file, which is then moved alone.
	defer func() { err = errors.Join(err, s.Close()) }()
	b.progress.step("loading %d records into SQLite", b.settings.records)
	return b.appendAll(ctx, "loading SQLite", 1, s)
}

// appendAll writes all records.
func (b *bench) appendAll(ctx context.Context, what string, writers int, to store.Writer) error {
	return b.appendGenerated(ctx, what, writers, to, newGenerator(b.settings.records, 0))
}

// appendGenerated writes all records of a generator.
func (b *bench) appendGenerated(parent context.Context, what string, writers int, to store.Writer, g *generator) error {
	began := time.Now()
	group, ctx := errgroup.WithContext(parent)
	group.SetLimit(writers)
	for ctx.Err() == nil {
		batch := g.batch(loadBatch)
		if len(batch) == 0 {
			break
		}
		group.Go(func() error { return appendStored(ctx, to, batch) })
		b.progress.at(what, g.made, g.all)
	}
	err := errors.Join(group.Wait(), context.Cause(parent))
	if err == nil {
		b.progress.step("%s took %.1f s", what, time.Since(began).Seconds())
	}
	return err
}

// appendStored appends records, all of which must be new.
func appendStored(ctx context.Context, to store.Writer, records []record.Record) error {
	outcomes, err := to.Append(ctx, records)
	if err != nil {
		return err
	}
	for i, o := range outcomes {
		if o.Result != store.Stored {
			return fmt.Errorf("record %s: %s: %w", records[i].Base().ID, o.Result, o.Err)
		}
	}
	return nil
}

// loadElasticsearch fills our index and the one that was made by hand, and
// brings both into the same state.
func (b *bench) loadElasticsearch(ctx context.Context) error {
	if b.elastic != nil {
		return nil
	}
	if err := b.startElasticsearch(ctx); err != nil {
		return err
	}
	s, err := b.openElasticsearch(ctx, b.cluster.URL(), indexPrefix)
	if err != nil {
		return err
	}
	b.elastic = s
	b.progress.step("loading %d records into Elasticsearch", b.settings.records)
	if err := b.appendAll(ctx, "loading Elasticsearch", loadWriters, s); err != nil {
		return err
	}
	if b.hand, err = newHandWritten(ctx, b.cluster); err != nil {
		return err
	}
	b.progress.step("loading the same into the index made by hand")
	if err := b.loadHandWritten(ctx); err != nil {
		return err
	}
	b.progress.step("merging segments")
	if err := b.settle(ctx); err != nil {
		return err
	}
	return b.checkCounts(ctx)
}

// loadHandWritten loads the same records in random order, which is kind to the
// other side: an index that is not sorted and was written in the order of time,
// as audit records come in, is searched from the oldest on, each of which is
// newer than all before, and takes more than ten times as long.
func (b *bench) loadHandWritten(ctx context.Context) error {
	all := make([][]byte, 0, b.settings.records)
	for g := newGenerator(b.settings.records, 0); len(all) < b.settings.records; {
		for _, r := range g.batch(loadBatch) {
			lines, err := encoded(r)
			if err != nil {
				return err
			}
			all = append(all, lines)
		}
	}
	random := rand.New(rand.NewPCG(seed, 1))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(loadWriters)
	done := 0
	for batch := range slices.Chunk(all, loadBatch) {
		group.Go(func() error { return b.hand.append(ctx, batch) })
		done += len(batch)
		b.progress.at("loading by hand", done, len(all))
	}
	return group.Wait()
}

// checkCounts refuses to measure indices that lack records.
func (b *bench) checkCounts(ctx context.Context) error {
	all, err := newestPage()
	if err != nil {
		return err
	}
	ours, err := b.elastic.Count(ctx, all, 0)
	if err != nil {
		return err
	}
	byHand, err := b.hand.count(ctx)
	if err != nil {
		return err
	}
	if want := int64(b.settings.records); ours.Records != want || byHand != want {
		return fmt.Errorf("there are %d records in our index and %d in the one made by hand, not %d", ours.Records, byHand, want)
	}
	return nil
}

// available tells how many records match, to know how many pages there are.
func available(ctx context.Context, r store.Reader, q query.Query) (int, error) {
	c, err := r.Count(ctx, q, 0)
	return int(c.Records), err
}
