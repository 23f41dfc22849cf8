package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// paceRate is the most events a second that one kube-apiserver sends: its
	// webhook begins ten requests a second.
	paceRate   = 4_000
	pacePeriod = time.Second * eventList / paceRate
	// paceWarm is how many requests warm up.
	paceWarm = 50
	// pacePerRound is how long is measured for each round that was asked for.
	pacePerRound = 15 * time.Second
)

// pace sends events as one kube-apiserver does that is as busy as it can be, and
// measures how long it waits for an acknowledgement. Half way between two requests
// it writes and syncs the bytes that the spool writes for one. A wait begins when
// the request is due and a bare write when it begins: what makes the sender late
// counts against us.
func (t *intake) pace(ctx context.Context) (f figure, err error) {
	d, m := t.doors[0], t.newMonth()
	defer func() { err = errors.Join(err, t.bench.deleteIndices(m.index(shippingPrefix))) }()
	count := paceWarm + int(time.Duration(t.bench.settings.rounds)*pacePerRound/pacePeriod)
	bodies, err := d.bodies(m.begin, t.newStream(), count)
	if err != nil {
		return f, err
	}
	spooled, err := t.spooled(ctx, d)
	if err != nil {
		return f, fmt.Errorf("see what the spool writes: %w", err)
	}
	// On the disk and in the folder's neighbourhood of the spool.
	bare := &bareLog{dir: t.path("bare"), block: spooled}
	defer func() { err = errors.Join(err, bare.close()) }()
	t.bench.progress.step("sending %d events a second for %s", paceRate, time.Duration(count)*pacePeriod)
	p := &pacer{intake: t, door: d, bodies: bodies, bare: bare}
	if err := p.run(ctx); err != nil {
		return f, err
	}
	began := time.Now()
	t.accepted += int64(count * d.batch)
	if err := t.awaitStored(ctx); err != nil {
		return f, err
	}
	caughtUp := time.Since(began)
	if err := errors.Join(t.refresh(ctx, m.index(shippingPrefix)), t.expect(ctx, m.index(shippingPrefix), count*d.batch)); err != nil {
		return f, err
	}
	waits, late, syncs := p.waits[paceWarm:], p.late[paceWarm:], p.syncs[paceWarm:]
	const tail = 99
	t.bench.note("ingest at %d events/s: %d requests, each at its time whether or not the one before was acknowledged, and a bare write and sync of %d kB, what the spool writes for one, half way between two; "+
		"a wait begins when the request is due, of which the sender was late %s (p%d); with the last request acknowledged, all was in Elasticsearch %s later",
		paceRate, len(waits), len(spooled)>>10, milliseconds(percentile(late, tail)), tail, milliseconds(caughtUp))
	tailOf := func(name string, times []time.Duration) string {
		return fmt.Sprintf("%s p99 %s, median %s", name, milliseconds(percentile(times, tail)), milliseconds(percentile(times, 50)))
	}
	return figure{
		Name: fmt.Sprintf("Ingest at %d events/s: p99 of an acknowledgement ÷ p99 of a bare write and sync", paceRate), Bound: 5,
		Value:   float64(percentile(waits, tail)) / float64(percentile(syncs, tail)),
		Medians: tailOf("acknowledgement", waits) + "; " + tailOf("write and sync", syncs),
	}, nil
}

// spooled are the bytes that the spool writes for one request, which stay where
// no store is.
func (t *intake) spooled(ctx context.Context, d *door) ([]byte, error) {
	body, err := d.bodies(t.newMonth().begin, t.newStream(), 1)
	if err != nil {
		return nil, err
	}
	before, err := sizes(t.stranded.SpoolDir())
	if err != nil {
		return nil, err
	}
	if err := t.post(ctx, t.stranded, d, body); err != nil {
		return nil, err
	}
	after, err := sizes(t.stranded.SpoolDir())
	if err != nil {
		return nil, err
	}
	var written []byte
	for path, size := range after {
		if size <= before[path] {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		written = append(written, data[before[path]:size]...)
	}
	// A record is longer than half of its event.
	if len(written) < len(body[0])/2 {
		return nil, fmt.Errorf("its files have grown by %d bytes for a request of %d", len(written), len(body[0]))
	}
	return written, nil
}

// sizes are those of the files in a folder.
func sizes(dir string) (map[string]int64, error) {
	found := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			found[path] = info.Size()
		}
		return err
	})
	return found, err
}

// pacer sends bodies on time.
type pacer struct {
	intake *intake
	door   *door
	bodies [][]byte
	bare   *bareLog

	// waits are from when a request was due until it was acknowledged, late until
	// the sender came to it; syncs are those of the bare writes.
	waits, late, syncs []time.Duration
}

func (p *pacer) run(parent context.Context) error {
	poster, err := newPoster(p.intake.shipping, p.door)
	if err != nil {
		return err
	}
	defer poster.close()
	p.waits, p.late = make([]time.Duration, len(p.bodies)), make([]time.Duration, len(p.bodies))
	group, ctx := errgroup.WithContext(parent)
	began := time.Now().Add(pacePeriod)
	group.Go(func() error { return p.sync(ctx, began.Add(pacePeriod/2)) })
	group.Go(func() error {
		for i, body := range p.bodies {
			due := began.Add(time.Duration(i) * pacePeriod)
			if err := until(ctx, due); err != nil {
				return err
			}
			p.late[i] = time.Since(due)
			group.Go(func() error {
				err := poster.post(ctx, body)
				p.waits[i] = time.Since(due)
				return err
			})
			p.intake.bench.progress.at("requests", i+1, len(p.bodies))
		}
		return nil
	})
	return group.Wait()
}

// sync writes a block for each request.
func (p *pacer) sync(ctx context.Context, began time.Time) error {
	for i := range p.bodies {
		if err := until(ctx, began.Add(time.Duration(i)*pacePeriod)); err != nil {
			return err
		}
		took, err := p.bare.append()
		if err != nil {
			return err
		}
		p.syncs = append(p.syncs, took)
	}
	return nil
}

func until(ctx context.Context, due time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(due)):
		return nil
	}
}

// bareLog appends a block to a file again and again.
type bareLog struct {
	dir   string
	block []byte
	file  *os.File
	size  int
	files int
}

// append returns how long it took to write the block and to have it on the disk.
// A file grows no larger than one of a spool.
func (l *bareLog) append() (time.Duration, error) {
	const largest = 64 << 20
	if l.file == nil || l.size > largest {
		if err := errors.Join(l.close(), os.MkdirAll(l.dir, 0o700)); err != nil {
			return 0, err
		}
		var err error
		if l.file, err = os.Create(filepath.Join(l.dir, fmt.Sprint(l.files))); err != nil {
			return 0, err
		}
		l.files++
	}
	began := time.Now()
	if _, err := l.file.Write(l.block); err != nil {
		return 0, err
	}
	err := l.file.Sync()
	l.size += len(l.block)
	return time.Since(began), err
}

// close removes what was written.
func (l *bareLog) close() error {
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file, l.size = nil, 0
	return errors.Join(file.Close(), os.Remove(file.Name()))
}
