package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store/elasticsearch"
	"auditquery.dev/auditquery/internal/store/sqlite"
	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/stage"
)

// pageRows is how many records a page holds unless a figure says otherwise.
const pageRows = 500

// indexPrefix begins the names of the indices that hold all records.
const indexPrefix = "bench"

// bench holds what parts share. Each thing is made when a part first needs it.
type bench struct {
	settings  settings
	progress  *progress
	dir       string
	temporary bool

	cluster *elastic.Cluster
	elastic *elasticsearch.Store
	sqlite  *sqlite.Store
	hand    *handWritten
	// stage is a cluster with servers of ours; reading says how accounts reach it.
	stage   *stage.Stage
	reading map[string]*rest.Config
	// copied is true when the stage has custom resources.
	copied bool
	// kubernetes and elasticsearch are their versions, once there were any.
	kubernetes    string
	elasticsearch string
	// snapshots is where Elasticsearch may write copies of indices.
	snapshots string
	// notes are what was found about the machine's and the stores' state.
	notes []string
}

func (b *bench) makeDir() error {
	if b.settings.dir != "" {
		b.dir = b.settings.dir
		return os.MkdirAll(b.dir, 0o700)
	}
	var err error
	b.temporary = true
	b.dir, err = os.MkdirTemp("", "auditquery-bench-")
	return err
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(b.notes, text) {
		b.notes = append(b.notes, text)
	}
}

// close stops everything and removes what was temporary.
func (b *bench) close() error {
	b.progress.clear()
	failures := []error{b.stopStage()}
	if b.elastic != nil {
		failures = append(failures, b.elastic.Close())
	}
	failures = append(failures, b.closeSQLite())
	if b.cluster != nil {
		failures = append(failures, b.cluster.Stop())
	}
	failures = append(failures, b.removeSnapshots())
	if b.temporary && b.dir != "" {
		failures = append(failures, os.RemoveAll(b.dir))
	}
	return errors.Join(failures...)
}

func (b *bench) closeSQLite() error {
	if b.sqlite == nil {
		return nil
	}
	s := b.sqlite
	b.sqlite = nil
	return s.Close()
}

// startElasticsearch starts one node with nothing in it.
func (b *bench) startElasticsearch(ctx context.Context) error {
	if b.cluster != nil {
		return nil
	}
	b.progress.step("starting Elasticsearch, one node, heap of %s", elasticHeap)
	snapshots, err := b.snapshotDir()
	if err != nil {
		return err
	}
	b.cluster, err = elastic.Start(ctx, elastic.Options{
		Heap: elasticHeap,
		Settings: map[string]any{
			// Whatever disk this machine has left is enough.
			"cluster.routing.allocation.disk.threshold_enabled": false,
			"path.repo": snapshots, "indices.recovery.max_bytes_per_sec": "0b",
		},
	})
	if err == nil {
		b.elasticsearch = b.elasticsearchVersion(ctx)
	}
	return err
}

const elasticHeap = "2g"

// openElasticsearch opens a store on the node, under a prefix of its own.
func (b *bench) openElasticsearch(ctx context.Context, url, prefix string) (*elasticsearch.Store, error) {
	return elasticsearch.Open(ctx, elasticsearch.Options{
		Connection: elasticsearch.Connection{URLs: []string{url}}, IndexPrefix: prefix,
	})
}

// load fills every store that the pages are read from.
func (b *bench) load(ctx context.Context) error {
	if err := b.loadElasticsearch(ctx); err != nil {
		return err
	}
	return b.loadSQLite(ctx)
}

// question is a page of audits, checked as every caller of a store does.
func question(q query.Query) (query.Query, error) {
	q.Kind, q.Scope = record.KindAudit, query.All()
	if q.Limit == 0 {
		q.Limit = pageRows
	}
	return query.Validate(q, record.NewSchema(record.KindAudit))
}

// newestPage is the newest page of the month.
func newestPage() (query.Query, error) {
	return question(query.Query{From: monthStart(), To: monthEnd()})
}
