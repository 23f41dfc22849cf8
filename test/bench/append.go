package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// appendBatch is how many records an ingest writes at once.
	appendBatch = 2000
	// chunkRecords are written by one side before it is the other's turn: a
	// batch for each writer.
	chunkRecords = loadWriters * appendBatch
	// roundRecords are written before both sides get new indices.
	roundRecords = 12 * chunkRecords
)

// appendToElasticsearch measures what our store adds to the bulk requests that
// it sends. Both sides write into a new index each round.
func appendToElasticsearch(ctx context.Context, b *bench) ([]figure, error) {
	if err := b.startElasticsearch(ctx); err != nil {
		return nil, err
	}
	b.progress.step("measuring appends, %d rounds of %d records a side", b.settings.rounds, roundRecords)
	ours, raw := &side{name: "Append"}, &side{name: "raw _bulk"}
	// The first round warms up.
	for round := range b.settings.rounds + 1 {
		if round == 1 {
			ours.times, raw.times = nil, nil
		}
		if err := b.appendRound(ctx, round, ours, raw); err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
		b.progress.at("rounds", round+1, b.settings.rounds+1)
	}
	b.note("appending: %d writers, %d records a batch; the sides take turns with each %d records, and begin new indices with each %d",
		loadWriters, appendBatch, chunkRecords, roundRecords)
	return []figure{{
		Name: "Elasticsearch, rate of appending ÷ raw _bulk", Bound: 0.9, AtLeast: true,
		Value:   float64(raw.median()) / float64(ours.median()),
		Medians: rates(ours) + "; " + rates(raw),
	}}, nil
}

// rates is side.String for chunks.
func rates(s *side) string {
	rate := func(percent int) float64 { return chunkRecords / percentile(s.times, percent).Seconds() }
	return fmt.Sprintf("%s %.0f records/s (%.0f…%.0f)", s.name, rate(50), rate(75), rate(25))
}

// appendRound writes new records with our store, and the bytes that it sends
// for them by plain HTTP. Which goes first alternates.
func (b *bench) appendRound(ctx context.Context, round int, ours, raw *side) (err error) {
	prefix, rawIndex := fmt.Sprintf("append-%d", round), fmt.Sprintf("raw-%d", round)
	recorded := fmt.Sprintf("record-%d", round)
	defer func() { err = errors.Join(err, b.deleteIndices(prefix+"-*", recorded+"-*", rawIndex)) }()
	recorder, err := newRecorder(b.cluster.URL(), "/_bulk")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, recorder.close()) }()
	recorder.swallow = true
	shadow, err := b.openElasticsearch(ctx, recorder.URL, recorded)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shadow.Close()) }()
	s, err := b.openElasticsearch(ctx, b.cluster.URL(), prefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	// The first record has the store make its index, which is not timed: the
	// raw side's is made before as well. It is one of another stream.
	if err := appendStored(ctx, s, newGenerator(roundRecords, uint64(1_000_000+round)).batch(1)); err != nil {
		return err
	}
	if err := b.copyIndex(ctx, ourIndex(prefix), rawIndex); err != nil {
		return err
	}
	client := newRawClient(b.cluster.URL())
	g := newGenerator(roundRecords, uint64(round+1))
	for chunk := range roundRecords / chunkRecords {
		var batches [][]record.Record
		for range loadWriters {
			batches = append(batches, g.batch(appendBatch))
		}
		bulks, err := recordBulks(ctx, recorder, shadow, batches, ourIndex(recorded), rawIndex)
		if err != nil {
			return err
		}
		runs := []func() error{
			func() error {
				return together(ours, batches, func(batch []record.Record) error { return appendStored(ctx, s, batch) })
			},
			func() error {
				return together(raw, bulks, func(bulk sent) error {
					_, err := client.send(ctx, bulk)
					return err
				})
			},
		}
		for k := range runs {
			if err := runs[(round+chunk+k)%len(runs)](); err != nil {
				return err
			}
		}
	}
	return b.checkRound(ctx, ourIndex(prefix), rawIndex)
}

// recordBulks returns what our store sends for batches, one request each, to be
// sent to another index. Elasticsearch sees none of it.
func recordBulks(ctx context.Context, r *recorder, shadow store.Writer, batches [][]record.Record, from, to string) ([]sent, error) {
	for _, batch := range batches {
		if err := appendStored(ctx, shadow, batch); err != nil {
			return nil, err
		}
	}
	bulks := r.drain()
	if len(bulks) != len(batches) {
		return nil, fmt.Errorf("our store sends %d bulk requests for %d batches", len(bulks), len(batches))
	}
	for i := range bulks {
		bulks[i].uri = strings.Replace(bulks[i].uri, from, to, 1)
	}
	return bulks, nil
}

// copyIndex makes an empty index with the settings and mappings of another.
func (b *bench) copyIndex(ctx context.Context, from, to string) error {
	answer, err := b.cluster.Do(ctx, http.MethodGet, "/"+from, nil)
	if err != nil {
		return err
	}
	var described map[string]struct {
		Mappings json.RawMessage `json:"mappings"`
		Settings struct {
			Index map[string]json.RawMessage `json:"index"`
		} `json:"settings"`
	}
	if err := json.Unmarshal(answer, &described); err != nil {
		return err
	}
	made := described[from]
	// These belong to the one index.
	for _, name := range []string{"creation_date", "uuid", "version", "provided_name", "routing"} {
		delete(made.Settings.Index, name)
	}
	body, err := json.Marshal(map[string]any{"mappings": made.Mappings, "settings": map[string]any{"index": made.Settings.Index}})
	if err != nil {
		return err
	}
	_, err = b.cluster.Do(ctx, http.MethodPut, "/"+to, body)
	return err
}

// checkRound refuses a round in which a side stored less than it was given.
func (b *bench) checkRound(ctx context.Context, ours, raw string) error {
	for index, want := range map[string]int{ours: roundRecords + 1, raw: roundRecords} {
		if _, err := b.cluster.Do(ctx, http.MethodPost, "/"+index+"/_refresh", nil); err != nil {
			return err
		}
		got, err := b.countOf(ctx, index)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("the index %s has %d records, not %d", index, got, want)
		}
	}
	return nil
}

// countOf is how many records of an index can be found.
func (b *bench) countOf(ctx context.Context, index string) (int, error) {
	answer, err := b.cluster.Do(ctx, http.MethodGet, "/"+index+"/_count", nil)
	if err != nil {
		return 0, err
	}
	var counted struct {
		Count int `json:"count"`
	}
	return counted.Count, json.Unmarshal(answer, &counted)
}

// deleteIndices deletes what a round made. The context of a run that ends may be
// over by then.
func (b *bench) deleteIndices(patterns ...string) error {
	answer, err := b.cluster.Do(context.Background(), http.MethodGet, "/_cat/indices/"+strings.Join(patterns, ",")+"?format=json&h=index&ignore_unavailable=true", nil)
	if err != nil {
		return err
	}
	var indices []struct {
		Index string `json:"index"`
	}
	if err := json.Unmarshal(answer, &indices); err != nil {
		return err
	}
	var failures []error
	for _, index := range indices {
		_, err := b.cluster.Do(context.Background(), http.MethodDelete, "/"+index.Index, nil)
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}
