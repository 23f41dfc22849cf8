package elasticsearch

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// maxStockPage is how many orgs one answer lists.
const maxStockPage = 1_000

// Stretches lists our indices of a kind, with what each org has in them.
func (s *Store) Stretches(ctx context.Context, kind record.Kind) ([]store.Stretch, error) {
	stretches, err := s.stretches(ctx, kind)
	return stretches, explain("list the stretches of "+clip(string(kind)), err)
}

func (s *Store) stretches(ctx context.Context, kind record.Kind) ([]store.Stretch, error) {
	if _, ok := s.schemas[kind]; !ok {
		return nil, noSuchKind("list stretches", kind)
	}
	known, err := s.catalogue.renew(ctx)
	if err != nil {
		return nil, err
	}
	if err := known.stateLost(s.catalogue.names); err != nil {
		return nil, err
	}
	names := known.recordedIn(s.catalogue.names, kind, span{})
	if len(names) == 0 {
		return nil, nil
	}
	sizes, err := s.bytesOf(ctx, s.catalogue.names.of(kind)+"*")
	if err != nil {
		return nil, err
	}
	stretches := make([]store.Stretch, 0, len(names))
	for _, name := range names {
		if err := known.ours(name); err != nil {
			return nil, err
		}
		index := known.present[name]
		stretch := store.Stretch{Kind: kind, Name: name, From: index.covers.from, To: index.covers.to, Bytes: sizes[name]}
		stretch.Orgs, err = s.stocks(ctx, name, index.shards)
		if vanished(err) {
			var now *snapshot
			if now, err = s.catalogue.renew(ctx); err == nil && !now.has(name) {
				continue // it was erased after the first snapshot
			}
			if err == nil {
				stretch.Orgs, err = s.stocks(ctx, name, index.shards)
			}
		}
		if err != nil {
			return nil, err
		}
		stretches = append(stretches, stretch)
	}
	slices.SortStableFunc(stretches, func(a, b store.Stretch) int { return a.From.Compare(b.From) })
	return stretches, nil
}

// ours returns why an index that the state names is not as we left it.
func (s *snapshot) ours(name string) error {
	index, ok := s.present[name]
	switch {
	case !ok:
		return conflict("%s", missingIndex(name))
	case index.problem != nil:
		return conflict("the index %s is not as we made it: %s", clip(name), index.problem)
	}
	return nil
}

// bytesOf returns what indices take on disk, without their replicas.
func (s *Store) bytesOf(ctx context.Context, expression string) (map[string]int64, error) {
	var found struct {
		Indices map[string]struct {
			Primaries struct {
				Store struct {
					Size int64 `json:"size_in_bytes"`
				} `json:"store"`
			} `json:"primaries"`
		} `json:"indices"`
	}
	err := s.client.object(ctx, func() esapi.Request {
		return esapi.IndicesStatsRequest{Index: []string{expression}, Metric: []string{"store"},
			FilterPath: []string{"indices.*.primaries.store.size_in_bytes"}}
	}, &found)
	sizes := make(map[string]int64, len(found.Indices))
	for name, index := range found.Indices {
		sizes[name] = index.Primaries.Store.Size
	}
	return sizes, err
}

type stockAnswer struct {
	TimedOut     *bool        `json:"timed_out"`
	Shards       *shardCounts `json:"_shards"`
	Aggregations *struct {
		Orgs struct {
			AfterKey *struct {
				Org *string `json:"org"`
			} `json:"after_key"`
			Buckets []struct {
				Key struct {
					Org *string `json:"org"`
				} `json:"key"`
				Count  int64       `json:"doc_count"`
				Oldest aggregation `json:"oldest"`
				Newest aggregation `json:"newest"`
			} `json:"buckets"`
		} `json:"orgs"`
	} `json:"aggregations"`
}

// aggregation is a time in milliseconds, which is all that Elasticsearch gives
// of times in nanoseconds, rounded down.
type aggregation struct {
	Value float64 `json:"value"`
}

func (a aggregation) time() time.Time { return time.UnixMilli(int64(a.Value)).UTC() }

// stocks counts the records of each org in an index, a page of orgs at a time.
func (s *Store) stocks(ctx context.Context, index string, shards int) ([]store.Stock, error) {
	var stocks []store.Stock
	after := ""
	for {
		answered, err := s.stockPage(ctx, index, shards, after)
		if err != nil {
			return nil, err
		}
		page := answered.Aggregations.Orgs
		for _, bucket := range page.Buckets {
			stock := store.Stock{Records: bucket.Count, Oldest: bucket.Oldest.time(),
				Newest: bucket.Newest.time().Add(time.Millisecond - time.Microsecond)}
			if bucket.Key.Org != nil {
				stock.OrgID = *bucket.Key.Org
			}
			stocks = append(stocks, stock)
		}
		if len(page.Buckets) < maxStockPage || page.AfterKey == nil {
			return stocks, nil
		}
		after = "null"
		if page.AfterKey.Org != nil {
			after = string(appendText(nil, *page.AfterKey.Org))
		}
	}
}

func (s *Store) stockPage(ctx context.Context, index string, shards int, after string) (stockAnswer, error) {
	body := appendStockSearch(nil, after)
	no := false
	answered, err := s.client.do(ctx, call{limit: maxBatchBytes, build: func() esapi.Request {
		return esapi.SearchRequest{Index: []string{index}, Body: bytes.NewReader(body),
			ExpandWildcards: expandWildcards, AllowPartialSearchResults: &no}
	}})
	if err != nil {
		return stockAnswer{}, err
	}
	var a stockAnswer
	if err := unmarshal(answered.body, &a); err != nil {
		return a, fmt.Errorf("%w: %w", errMalformed, err)
	}
	switch {
	case a.TimedOut == nil || a.Shards == nil || a.Aggregations == nil:
		return a, fmt.Errorf("%w: it lacks timed_out, _shards or aggregations", errMalformed)
	case *a.TimedOut:
		return a, errTimedOut
	case a.Shards.Failed != 0 || a.Shards.Successful != a.Shards.Total:
		return a, &partialError{failed: a.Shards.Total - a.Shards.Successful, total: a.Shards.Total}
	case a.Shards.Total < shards:
		return a, errFewerShards
	}
	return a, nil
}

func appendStockSearch(b []byte, after string) []byte {
	b = append(b, `{"size":0,"track_total_hits":false,"aggs":{"orgs":{"composite":{"size":`...)
	b = strconv.AppendInt(b, maxStockPage, 10)
	b = append(b, `,"sources":[{"org":{"terms":{"field":"org_id.`+subfieldOrder+`","missing_bucket":true}}}]`...)
	if after != "" {
		b = append(append(append(b, `,"after":{"org":`...), after...), '}')
	}
	return append(b, `},"aggs":{"oldest":{"min":{"field":"time"}},"newest":{"max":{"field":"time"}}}}}}`...)
}
