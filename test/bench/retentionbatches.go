package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	controller "auditquery.dev/auditquery/controllers/retention"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// batchMonth is how many records the month has that is erased in batches: so many
	// that what an erasure begins with does not weigh.
	batchMonth = 500_000
	// batchRounds is how often each side erases from a copy of it.
	batchRounds = 5
)

// batches times the erasure of a part of a month in batches, beside the bulk requests
// alone that this sends. Each side has a copy of its own of the same index in each
// round, and one writer.
func (r *retained) batches(ctx context.Context) ([]figure, error) {
	b := r.bench
	month, err := r.makeMonth(ctx, "retention-batches", batchMonth)
	if err != nil {
		return nil, err
	}
	if err := month.store.Close(); err != nil {
		return nil, err
	}
	b.progress.step("measuring erasure in batches, %d rounds", batchRounds)
	e := &batchErasure{retained: r, month: month, ours: &side{name: "Erase"}, raw: &side{name: "raw _bulk"}}
	// The first round warms up.
	for round := range batchRounds + 1 {
		if round == 1 {
			e.ours.times, e.raw.times = nil, nil
		}
		if err := e.round(ctx, round); err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
		b.progress.at("rounds", round+1, batchRounds+1)
	}
	b.note("retention, batches: %d records of a month of %d, the oldest, but for those of a user on hold; %d a batch, without a pause; "+
		"raw _bulk sends the same deletes in the same order and knows the ids; one writer each, an equal copy of the index for each round",
		e.records, batchMonth, controller.DefaultBatchSize)
	return []figure{{
		Name: "Retention, rate of erasing in batches ÷ raw _bulk deletes of the same ids", Bound: 0.7, AtLeast: true,
		Value:   float64(e.raw.median()) / float64(e.ours.median()),
		Medians: e.rates(e.ours) + "; " + e.rates(e.raw),
	}}, nil
}

// batchErasure is what batches are measured with.
type batchErasure struct {
	*retained
	month     keptMonth
	ours, raw *side
	// bulks are the requests that delete, and records how many they delete.
	bulks   []sent
	records int
}

func (e *batchErasure) round(ctx context.Context, round int) (err error) {
	prefix, rawIndex := fmt.Sprintf("retention-erase-%d", round), fmt.Sprintf("retention-raw-%d", round)
	s, err := e.restoreStore(ctx, e.month, prefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(), e.bench.deleteIndices(prefix+"-*", rawIndex)) }()
	if err := e.restore(ctx, e.month, rawIndex); err != nil {
		return err
	}
	if e.bulks == nil {
		if err := e.record(ctx, prefix); err != nil {
			return fmt.Errorf("record what our store sends: %w", err)
		}
	}
	client := newRawClient(e.bench.cluster.URL())
	runs := []func() error{
		func() error {
			return timeOnce(e.ours, func() error { return e.eraseAll(ctx, s) })
		},
		func() error {
			return timeOnce(e.raw, func() error {
				for _, bulk := range e.bulks {
					bulk.uri = "/" + rawIndex + bulk.uri
					if _, err := client.send(ctx, bulk); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	for k := range runs {
		if err := runs[(round+k)%len(runs)](); err != nil {
			return err
		}
	}
	for _, index := range []string{ourIndex(prefix), rawIndex} {
		if _, err := e.bench.cluster.Do(ctx, http.MethodPost, "/"+index+"/_refresh", nil); err != nil {
			return err
		}
		if err := e.expect(ctx, index, e.month.records-e.records); err != nil {
			return err
		}
	}
	return nil
}

// timeOnce adds how long a run takes to a side.
func timeOnce(s *side, run func() error) error {
	began := time.Now()
	err := run()
	s.times = append(s.times, time.Since(began))
	return err
}

// record has our store erase through a recorder that deletes nothing, and keeps what
// it sends, without the name of the index.
func (e *batchErasure) record(ctx context.Context, prefix string) (err error) {
	recorder, err := newRecorder(e.bench.cluster.URL(), "/_bulk")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, recorder.close()) }()
	recorder.swallow = true
	shadow, err := e.bench.openElasticsearch(ctx, recorder.URL, prefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shadow.Close()) }()
	if e.records, err = erase(ctx, shadow); err != nil {
		return err
	}
	if e.records < e.month.records/2 {
		return fmt.Errorf("only %d records of %d are due", e.records, e.month.records)
	}
	e.bulks = recorder.drain()
	for i := range e.bulks {
		uri, ours := strings.CutPrefix(e.bulks[i].uri, "/"+ourIndex(prefix))
		if !ours {
			return fmt.Errorf("a bulk request goes to %s", e.bulks[i].uri)
		}
		e.bulks[i].uri = uri
	}
	return nil
}

// eraseAll erases what is due, and all of it.
func (e *batchErasure) eraseAll(ctx context.Context, from store.Deleter) error {
	erased, err := erase(ctx, from)
	if err == nil && erased != e.records {
		err = fmt.Errorf("%d records were erased, not %d", erased, e.records)
	}
	return err
}

// erase erases what is due, batch by batch.
func erase(ctx context.Context, from store.Deleter) (erased int, err error) {
	erasure, err := from.Erase(ctx, due())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, erasure.Close(ctx)) }()
	for {
		n, err := erasure.Next(ctx, controller.DefaultBatchSize)
		erased += n
		switch {
		case errors.Is(err, io.EOF):
			return erased, nil
		case err != nil:
			return erased, err
		}
	}
}

// rates is side.String for runs that erase all that is due.
func (e *batchErasure) rates(s *side) string {
	rate := func(percent int) float64 { return float64(e.records) / percentile(s.times, percent).Seconds() }
	return fmt.Sprintf("%s %.0f records/s (%.0f…%.0f)", s.name, rate(50), rate(75), rate(25))
}
