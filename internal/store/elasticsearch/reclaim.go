package elasticsearch

import (
	"context"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/record"
)

const (
	// reclaimShare is the share of deleted records above which merging pays.
	reclaimShare = 0.1
	// mergeTimeout bounds the merging of one index, which goes on in
	// Elasticsearch when we do not wait any more.
	mergeTimeout = time.Hour
)

// Reclaim merges the indices that are over and have many deleted records, one
// at a time.
func (s *Store) Reclaim(ctx context.Context) error {
	if err := s.reclaim(ctx); err != nil && ctx.Err() == nil {
		return explain("reclaim space", err)
	}
	return nil
}

func (s *Store) reclaim(ctx context.Context) error {
	snapshot, err := s.catalogue.renew(ctx)
	if err != nil || len(snapshot.recorded) == 0 {
		return err
	}
	for _, kind := range record.Kinds() {
		stats, err := s.docsOf(ctx, s.catalogue.names.of(kind)+"*")
		if err != nil {
			return err
		}
		for _, index := range snapshot.recordedIn(s.catalogue.names, kind, span{}) {
			found, ok := snapshot.present[index]
			_, erasing := snapshot.beingErased(index)
			over := ok && found.problem == nil && !s.catalogue.clock().Before(found.covers.to)
			if !over || erasing || !stats[index].worthMerging() {
				continue
			}
			if err := s.merge(ctx, index); err != nil && !isKind(err, kindIndexNotFound) {
				return err
			}
		}
	}
	return nil
}

// indexDocs counts what an index holds, nested documents too.
type indexDocs struct {
	Primaries struct {
		Docs struct {
			Count   int64 `json:"count"`
			Deleted int64 `json:"deleted"`
		} `json:"docs"`
		Merges struct {
			Current int64 `json:"current"`
		} `json:"merges"`
	} `json:"primaries"`
	Shards map[string][]shardHistory `json:"shards"`
}

// shardHistory is how far back a shard keeps what was deleted, for replicas that
// come back: a merge leaves it where it is.
type shardHistory struct {
	Sequences struct {
		Max int64 `json:"max_seq_no"`
	} `json:"seq_no"`
	Retention struct {
		Leases []struct {
			Retaining int64 `json:"retaining_seq_no"`
		} `json:"leases"`
	} `json:"retention_leases"`
}

// worthMerging is false while it is being merged, and half a minute after the
// last of its records was deleted.
func (d indexDocs) worthMerging() bool {
	docs := d.Primaries.Docs
	all := docs.Count + docs.Deleted
	if d.Primaries.Merges.Current > 0 || all == 0 || float64(docs.Deleted) <= reclaimShare*float64(all) {
		return false
	}
	for _, copies := range d.Shards {
		for _, shard := range copies {
			for _, lease := range shard.Retention.Leases {
				if lease.Retaining <= shard.Sequences.Max {
					return false
				}
			}
		}
	}
	return true
}

func (s *Store) docsOf(ctx context.Context, expression string) (map[string]indexDocs, error) {
	var found struct {
		Indices map[string]indexDocs `json:"indices"`
	}
	const shards = "indices.*.shards.*."
	err := s.client.object(ctx, func() esapi.Request {
		return esapi.IndicesStatsRequest{Index: []string{expression}, Metric: []string{"docs", "merge"}, Level: "shards",
			FilterPath: []string{"indices.*.primaries.docs", "indices.*.primaries.merges.current",
				shards + "seq_no.max_seq_no", shards + "retention_leases.leases.retaining_seq_no"}}
	}, &found)
	return found.Indices, err
}

// merge rewrites the segments with many deleted records. The flush lets go of
// those that Elasticsearch keeps for the recovery of replicas.
func (s *Store) merge(ctx context.Context, index string) error {
	err := s.client.object(ctx, func() esapi.Request { return esapi.IndicesFlushRequest{Index: []string{index}} }, nil)
	if err != nil {
		return err
	}
	patient := *s.client
	patient.timeout, patient.maxRetries = mergeTimeout, 0
	only := true
	return patient.object(ctx, func() esapi.Request {
		return esapi.IndicesForcemergeRequest{Index: []string{index}, OnlyExpungeDeletes: &only}
	}, nil)
}
