package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// intakeChunk is what one side takes in before it is the other's turn. What
	// each turn begins and ends with, a first batch that nothing is shipped beside
	// and a last one that nothing is taken in beside, must not weigh.
	intakeChunk = 96_000
	// intakeChunks of each side are taken in before all get new indices.
	intakeChunks = 1
	// firstYear has the months of the first rounds: each way in takes one a round.
	firstYear = 1990
	// mostRounds is what fits into the spool of the server that has no store.
	mostRounds = 40
)

// ingest measures what lies between a sender and the store: records that are
// taken in by HTTP until they can be found, beside the bulk requests that our
// shipper sends for them; taking in alone; and how long a sender waits.
func ingest(ctx context.Context, b *bench) (figures []figure, err error) {
	if b.settings.rounds > mostRounds {
		return nil, fmt.Errorf("-rounds must be at most %d", mostRounds)
	}
	if err := b.startElasticsearch(ctx); err != nil {
		return nil, err
	}
	t := &intake{bench: b, dir: b.path("ingest"), raw: newRawClient(b.cluster.URL())}
	defer func() { err = errors.Join(err, t.stop()) }()
	if err := t.start(ctx); err != nil {
		return nil, err
	}
	b.progress.step("measuring intake, %d rounds of %d records a side", b.settings.rounds, intakeChunks*intakeChunk)
	for round := range b.settings.rounds + 1 {
		if round == 1 { // the first one warms up
			t.forget()
		}
		if err := t.round(ctx, round); err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
		b.progress.at("rounds", round+1, b.settings.rounds+1)
	}
	wait, err := t.pace(ctx)
	if err != nil {
		return nil, fmt.Errorf("at %d events/s: %w", paceRate, err)
	}
	memory, err := t.memory()
	if err != nil {
		return nil, err
	}
	t.explain()
	events, lines := t.doors[0], t.doors[1]
	return []figure{
		rateQuotient("Ingest, Kubernetes events: HTTP in to searchable ÷ raw _bulk", 0.7, events.ours, events.bulk),
		rateQuotient("Ingest, our own records as JSON lines: HTTP in to searchable ÷ raw _bulk", 0.8, lines.ours, lines.bulk),
		rateQuotient("Ingest, Kubernetes events: HTTP in to acknowledged, the store away ÷ raw _bulk", 1, events.stranded, events.bulk),
		wait, memory,
	}, nil
}

// rateQuotient makes the figure of two sides whose rates are compared.
func rateQuotient(name string, bound float64, over, under *intakeSide) figure {
	return figure{
		Name: name, Bound: bound, AtLeast: true,
		Value:   float64(under.median()) / float64(over.median()),
		Medians: over.rates() + "; " + under.rates(),
	}
}

// door is a way in, and what is measured of it.
type door struct {
	// name is what its records are called.
	name string
	path string
	// contentType and http2 are what its usual senders use.
	contentType string
	http2       bool
	// batch is how many records a request has.
	batch int
	// bodies makes requests of a month. Streams differ in everything.
	bodies func(month time.Time, stream uint64, requests int) ([][]byte, error)

	// ours is from HTTP to searchable, bulk what our shipper sends alone, and
	// stranded from HTTP to acknowledged with no store; nil if not measured.
	ours, bulk, stranded *intakeSide
}

func doors() []*door {
	return []*door{
		{
			name: "Kubernetes events", path: "/ingest/kubernetes/" + benchCluster, contentType: "application/json", http2: true, batch: eventList,
			bodies: func(month time.Time, stream uint64, requests int) ([][]byte, error) {
				g := newEventGenerator(month, stream)
				bodies := make([][]byte, requests)
				for i := range bodies {
					bodies[i] = g.list(eventList)
				}
				return bodies, nil
			},
			ours:     &intakeSide{side: side{name: "end to end"}},
			bulk:     &intakeSide{side: side{name: "raw _bulk"}},
			stranded: &intakeSide{side: side{name: "acknowledged"}},
		},
		{
			name: "own records", path: "/ingest/records", contentType: "application/x-ndjson", batch: recordLines,
			bodies: func(month time.Time, stream uint64, requests int) (bodies [][]byte, err error) {
				g := newLineGenerator(month, stream)
				bodies = make([][]byte, requests)
				for i := range bodies {
					if bodies[i], err = g.lines(recordLines); err != nil {
						return nil, err
					}
				}
				return bodies, nil
			},
			ours: &intakeSide{side: side{name: "end to end"}},
			bulk: &intakeSide{side: side{name: "raw _bulk"}},
		},
	}
}

// round takes new records in, and sends what our shipper sends for them by plain
// HTTP, into new indices. Which side begins alternates.
func (t *intake) round(ctx context.Context, round int) error {
	for _, d := range t.doors {
		if err := t.roundOf(ctx, round, d); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return nil
}

func (t *intake) roundOf(ctx context.Context, round int, d *door) (err error) {
	m := t.newMonth()
	rawIndex := fmt.Sprintf("ingest-raw-%d", t.months)
	defer func() {
		err = errors.Join(err, t.bench.deleteIndices(m.index(shippingPrefix), m.index(recordingPrefix), rawIndex))
	}()
	// The first request has the server make its index, which is not timed: the raw
	// side's is made before as well.
	first, err := d.bodies(m.begin, t.newStream(), 1)
	if err != nil {
		return err
	}
	if err := t.takeIn(ctx, d, first); err != nil {
		return err
	}
	if err := t.bench.copyIndex(ctx, m.index(shippingPrefix), rawIndex); err != nil {
		return err
	}
	for chunk := range intakeChunks {
		bodies, err := d.bodies(m.begin, t.newStream(), intakeChunk/d.batch)
		if err != nil {
			return err
		}
		bulks, err := t.record(ctx, d, bodies, rawIndex)
		if err != nil {
			return fmt.Errorf("record what the shipper sends: %w", err)
		}
		runs := []func() error{
			func() error {
				return t.timed(d, d.ours, t.shipping.Process(), func() error {
					if err := t.takeIn(ctx, d, bodies); err != nil {
						return err
					}
					return t.refresh(ctx, m.index(shippingPrefix))
				})
			},
			func() error {
				return t.timed(d, d.bulk, nil, func() error {
					if err := t.sendBulks(ctx, bulks); err != nil {
						return err
					}
					return t.refresh(ctx, rawIndex)
				})
			},
		}
		if d.stranded != nil {
			runs = append(runs, func() error {
				return t.timed(d, d.stranded, t.stranded.Process(), func() error { return t.post(ctx, t.stranded, d, bodies) })
			})
		}
		for k := range runs {
			if err := runs[(round+chunk+k)%len(runs)](); err != nil {
				return err
			}
		}
	}
	const all = intakeChunks * intakeChunk
	return errors.Join(t.expect(ctx, m.index(shippingPrefix), all+d.batch), t.expect(ctx, rawIndex, all))
}

// sendBulks sends bulk requests with as many writers as a shipper has.
func (t *intake) sendBulks(ctx context.Context, bulks []sent) error {
	return workOff(ctx, bulks, func(ctx context.Context, bulk sent) error {
		_, err := t.raw.send(ctx, bulk)
		return err
	})
}

// workOff runs items, loadWriters of them at a time, in order.
func workOff[T any](ctx context.Context, items []T, run func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(loadWriters)
	for _, item := range items {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return run(ctx, item) })
	}
	return group.Wait()
}

func (t *intake) refresh(ctx context.Context, index string) error {
	_, err := t.bench.cluster.Do(ctx, http.MethodPost, "/"+index+"/_refresh", nil)
	return err
}

// expect refuses an index that holds more or less than it was given.
func (t *intake) expect(ctx context.Context, index string, want int) error {
	got, err := t.bench.countOf(ctx, index)
	if err == nil && got != want {
		err = fmt.Errorf("the index %s has %d records, not %d", index, got, want)
	}
	return err
}

// memory is the figure of what the servers held at most.
func (t *intake) memory() (figure, error) {
	const mebibyte = 1 << 20
	f := figure{Name: "Ingest, all of it: the largest RSS", Bound: 256, Unit: "MiB"}
	for _, server := range t.servers() {
		bytes, err := peakBytes(server.receiver.Process().PID())
		if err != nil {
			return f, err
		}
		f.Value = max(f.Value, float64(bytes)/mebibyte)
		if f.Medians != "" {
			f.Medians += "; "
		}
		f.Medians += fmt.Sprintf("%s %.1f MiB", server.name, float64(bytes)/mebibyte)
	}
	return f, nil
}

// month is one that records of a round lie in: a server that lives through all
// rounds gets new indices by it.
type month struct{ begin time.Time }

func (m month) index(prefix string) string { return prefix + "-audit-" + m.begin.Format("2006.01") }

func (t *intake) newMonth() month {
	t.months++
	return month{begin: time.Date(firstYear, time.Month(t.months), 1, 0, 0, 0, 0, time.UTC)}
}

func (t *intake) newStream() uint64 {
	const others = 2_000_000 // those of the other parts are below
	t.streams++
	return others + t.streams
}

// path is a file of this part.
func (t *intake) path(name string) string { return filepath.Join(t.dir, name) }

// stop ends the servers and removes what they kept.
func (t *intake) stop() error {
	var failures []error
	for _, server := range t.servers() {
		// What is not in a store by now belongs to nobody.
		failures = append(failures, server.receiver.Kill())
	}
	if t.recorder != nil {
		failures = append(failures, t.recorder.close())
	}
	return errors.Join(append(failures, os.RemoveAll(t.dir))...)
}
