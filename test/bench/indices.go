package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"auditquery.dev/auditquery/test/elastic"
)

// segments is what both indices are merged to: what a month's index has when
// its month is over and it has been quiet for a while.
const segments = 3

// ourIndex is where the store keeps the month under a prefix.
func ourIndex(prefix string) string { return prefix + "-audit-" + monthStart().Format("2006.01") }

// settle brings both large indices into the same state: merged to a few
// segments, nothing waiting to be seen.
func (b *bench) settle(ctx context.Context) error {
	for _, index := range []string{ourIndex(indexPrefix), handIndex} {
		if err := b.merge(ctx, index); err != nil {
			return err
		}
		count, bytes, err := b.describeIndex(ctx, index)
		if err != nil {
			return err
		}
		b.note("index %s: 1 shard, %d segments, %d MB", index, count, bytes>>20)
	}
	return nil
}

// merge starts a merge and waits for it, which takes longer than one request may.
func (b *bench) merge(ctx context.Context, index string) error {
	answer, err := b.cluster.Do(ctx, http.MethodPost,
		fmt.Sprintf("/%s/_forcemerge?max_num_segments=%d&wait_for_completion=false", index, segments), nil)
	if err != nil {
		return err
	}
	var started struct {
		Task string `json:"task"`
	}
	if err := json.Unmarshal(answer, &started); err != nil {
		return err
	}
	for {
		answer, err := b.cluster.Do(ctx, http.MethodGet, "/_tasks/"+started.Task+"?wait_for_completion=true&timeout=20s", nil)
		var task struct {
			Completed bool `json:"completed"`
		}
		// A wait that ends before the task does is answered with an error.
		var status *elastic.StatusError
		if errors.As(err, &status) && strings.Contains(strings.ToLower(status.Body), "timed out") {
			continue
		}
		if err != nil {
			return err
		}
		if err := json.Unmarshal(answer, &task); err != nil {
			return err
		}
		if task.Completed {
			break
		}
	}
	_, err = b.cluster.Do(ctx, http.MethodPost, "/"+index+"/_refresh", nil)
	return err
}

func (b *bench) describeIndex(ctx context.Context, index string) (count int, bytes int64, err error) {
	answer, err := b.cluster.Do(ctx, http.MethodGet, "/"+index+"/_stats/segments,store", nil)
	if err != nil {
		return 0, 0, err
	}
	var stats struct {
		All struct {
			Primaries struct {
				Segments struct {
					Count int `json:"count"`
				} `json:"segments"`
				Store struct {
					Bytes int64 `json:"size_in_bytes"`
				} `json:"store"`
			} `json:"primaries"`
		} `json:"_all"`
	}
	err = json.Unmarshal(answer, &stats)
	return stats.All.Primaries.Segments.Count, stats.All.Primaries.Store.Bytes, err
}
