package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"auditquery.dev/auditquery/internal/store/elasticsearch"
)

// snapshotRepository is where snapshots are.
const snapshotRepository = "bench"

// keptMonth is a month's index of which there is a snapshot, and the store that it
// was made with.
type keptMonth struct {
	store   *elasticsearch.Store
	index   string
	records int
}

// snapshotDir makes the folder of snapshots, which Elasticsearch reaches also where
// it runs as another user than we.
func (b *bench) snapshotDir() (string, error) {
	if err := b.removeSnapshots(); err != nil {
		return "", err
	}
	var err error
	if b.snapshots, err = os.MkdirTemp("", "auditquery-bench-snapshots-"); err != nil {
		return "", err
	}
	return b.snapshots, os.Chmod(b.snapshots, 0o777)
}

// removeSnapshots is for when no Elasticsearch uses them any more.
func (b *bench) removeSnapshots() error {
	if b.snapshots == "" {
		return nil
	}
	err := os.RemoveAll(b.snapshots)
	b.snapshots = ""
	return err
}

func (r *retained) makeRepository(ctx context.Context) error {
	body, err := json.Marshal(map[string]any{"type": "fs", "settings": map[string]any{
		"location": r.bench.snapshots, "max_snapshot_bytes_per_sec": "0b", "max_restore_bytes_per_sec": "0b",
	}})
	if err != nil {
		return err
	}
	_, err = r.bench.cluster.Do(ctx, http.MethodPut, "/_snapshot/"+snapshotRepository, body)
	return err
}

// removeRepository leaves the files to be removed with their folder.
func (r *retained) removeRepository() error {
	_, err := r.bench.cluster.Do(context.Background(), http.MethodDelete, "/_snapshot/"+snapshotRepository, nil)
	return err
}

// makeMonth loads a month of records with our store under a prefix, merges it as an
// index is by the time that it expires, and keeps a snapshot.
func (r *retained) makeMonth(ctx context.Context, prefix string, records int) (keptMonth, error) {
	b := r.bench
	b.progress.step("loading a month of %d records to erase", records)
	s, err := b.openElasticsearch(ctx, b.cluster.URL(), prefix)
	if err != nil {
		return keptMonth{}, err
	}
	r.prefixes = append(r.prefixes, prefix)
	m := keptMonth{store: s, index: ourIndex(prefix), records: records}
	if err := b.appendGenerated(ctx, "loading", loadWriters, s, newGenerator(records, r.newStream())); err != nil {
		return m, errors.Join(err, s.Close())
	}
	if err := b.merge(ctx, m.index); err != nil {
		return m, errors.Join(err, s.Close())
	}
	_, err = b.cluster.Do(ctx, http.MethodPut, "/_snapshot/"+snapshotRepository+"/"+m.index+"?wait_for_completion=true",
		fmt.Appendf(nil, `{"indices":%q,"include_global_state":false}`, m.index))
	if err != nil {
		return m, errors.Join(err, s.Close())
	}
	return m, nil
}

// restoreStore restores a month under another prefix, and returns a store that
// has it for its own.
func (r *retained) restoreStore(ctx context.Context, m keptMonth, prefix string) (*elasticsearch.Store, error) {
	s, err := r.bench.openElasticsearch(ctx, r.bench.cluster.URL(), prefix)
	if err != nil {
		return nil, err
	}
	// A record has the store make the index and remember that it did; the restored
	// one takes its place.
	err = appendStored(ctx, s, newGenerator(smallMonth, r.newStream()).batch(1))
	if err == nil {
		_, err = r.bench.cluster.Do(ctx, http.MethodDelete, "/"+ourIndex(prefix), nil)
	}
	if err == nil {
		err = r.restore(ctx, m, ourIndex(prefix))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close(), r.bench.deleteIndices(prefix+"-*"))
	}
	return s, nil
}

// restore copies a month from its snapshot, file by file, and returns when the copy
// can be searched.
func (r *retained) restore(ctx context.Context, m keptMonth, index string) error {
	body, err := json.Marshal(map[string]any{
		"indices": m.index, "include_global_state": false, "rename_pattern": "^.*$", "rename_replacement": index,
	})
	if err != nil {
		return err
	}
	cluster := r.bench.cluster
	if _, err := cluster.Do(ctx, http.MethodPost, "/_snapshot/"+snapshotRepository+"/"+m.index+"/_restore?wait_for_completion=true", body); err != nil {
		return err
	}
	if _, err := cluster.Do(ctx, http.MethodPost, "/"+index+"/_refresh", nil); err != nil {
		return err
	}
	return r.expect(ctx, index, m.records)
}

// expect refuses an index that holds more or less than it should.
func (r *retained) expect(ctx context.Context, index string, want int) error {
	got, err := r.bench.countOf(ctx, index)
	if err == nil && got != want {
		err = fmt.Errorf("the index %s has %d records, not %d", index, got, want)
	}
	return err
}

func (r *retained) newStream() uint64 {
	const others = 3_000_000 // those of the other parts are below
	r.streams++
	return others + r.streams
}
