package ship

import (
	"context"
	"math"
	"time"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
)

// waitingGroups is how many groups' worth of records may wait to be sent again.
const waitingGroups = 4

// mostAlone is how many groups that may be at fault themselves are kept apart at
// most. Beyond it they are not halved any more: when the index of a month takes
// nothing, all its records are at fault, and each alone would be a call.
const mostAlone = 32

// manyWhole is how often a group fails as a whole before it is suspected although
// nothing else succeeds: there may be nothing else. When others fail as well the
// store is likely to be away, and it takes manyWholeAway.
const (
	manyWhole     = 4
	manyWholeAway = 16
)

// manyTries is when a single record that cannot be stored is worth a line.
const manyTries = 8

// dispatcher decides what is sent next. One goroutine has it.
type dispatcher struct {
	s    *Shipper
	pace pace
	idle int

	// ready was taken from the spool and is not sent yet; asked says that the
	// next one is on its way.
	ready *group
	asked bool
	// waiting failed, and is sent again when it is due.
	waiting []*group
	// asker is the one group that is under way while the store is away.
	asker *group
	// suspect is the one group under way that may be at fault itself, so that
	// others have a worker left. again says that the last one sent was sent
	// again: new ones have every other turn.
	suspect *group
	again   bool
	// unburied says that the dead letters took nothing when last asked.
	unburied bool
}

func newDispatcher(s *Shipper) *dispatcher {
	return &dispatcher{s: s, idle: s.options.Workers, pace: pace{most: s.options.MaxRecords, limit: s.options.MaxRecords}}
}

// run sends until ctx is done and everything under way has come back. closed
// gives the error of a spool that was closed.
func (d *dispatcher) run(ctx context.Context, closed <-chan error) (err error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for running := true; running; {
		now := time.Now()
		d.assign(now)
		d.want()
		d.observe()
		timer.Reset(d.rest(now))
		select {
		case g := <-d.s.fetched:
			d.ready, d.asked = g, false
		case done := <-d.s.done:
			d.back(&done, time.Now())
		case <-timer.C:
		case err = <-closed:
			running = false
			if ctx.Err() != nil {
				err = nil // it ended for the same reason
			}
		case <-ctx.Done():
			running = false
		}
	}
	for ; d.idle < d.s.options.Workers; d.idle++ {
		<-d.s.done // its worker has settled what it could
	}
	return err
}

// want asks for the next group, unless too much is waiting.
func (d *dispatcher) want() {
	if d.asked || d.ready != nil || d.crowded() {
		return
	}
	d.asked = true
	d.s.wanted <- d.pace.limit
}

func (d *dispatcher) crowded() bool {
	records, bytes := d.held()
	return records >= waitingGroups*d.s.options.MaxRecords || bytes >= waitingGroups*d.s.options.MaxBytes
}

func (d *dispatcher) held() (records, bytes int) {
	for _, g := range d.waiting {
		records += len(g.items)
		bytes += g.bytes
	}
	return records, bytes
}

// assign gives groups to idle workers.
func (d *dispatcher) assign(now time.Time) {
	for d.idle > 0 {
		g := d.next(now)
		if g == nil {
			return
		}
		d.idle--
		d.s.work <- g
	}
}

// next returns what is to be sent now, nil when nothing is.
func (d *dispatcher) next(now time.Time) *group {
	if d.pace.away() {
		if d.asker != nil || now.Before(d.pace.until) {
			return nil
		}
		// What was never sent says most about the store.
		if d.asker = d.takeReady(); d.asker == nil {
			d.asker = d.takeWaiting(now)
		}
		return d.asker
	}
	if !d.again || d.ready == nil {
		if g := d.takeWaiting(now); g != nil {
			d.again = true
			return g
		}
	}
	d.again = false
	return d.takeReady()
}

func (d *dispatcher) takeReady() *group {
	g := d.ready
	if g != nil {
		d.ready = g.split(d.pace.limit, d.maxBytes())
	}
	return g
}

// takeWaiting returns the group that is due for the longest time.
func (d *dispatcher) takeWaiting(now time.Time) *group {
	at := d.firstDue()
	if at < 0 || d.waiting[at].due.After(now) {
		return nil
	}
	g := d.remove(at)
	if !g.alone && d.suspicious(g) {
		g.alone = true
		d.wait(d.half(g))
	}
	if g.alone {
		d.suspect = g
	}
	if !g.whole {
		d.gather(g, now)
	}
	d.wait(g.split(d.pace.limit, d.maxBytes()))
	return g
}

// suspicious says that a group may be at fault itself: it failed as a whole, and
// others succeeded since, or it did so often.
func (d *dispatcher) suspicious(g *group) bool {
	return g.alone || g.whole && !g.free && (g.successes < d.pace.successes || d.often(g))
}

func (d *dispatcher) often(g *group) bool {
	if d.pace.failures > 1 {
		return g.tries >= manyWholeAway
	}
	return g.tries >= manyWhole
}

// half takes half of a group away from it; nil where that is too much.
func (d *dispatcher) half(g *group) *group {
	apart := 0
	for _, other := range d.waiting {
		if other.alone {
			apart++
		}
	}
	if apart >= mostAlone {
		return nil
	}
	return g.split((len(g.items)+1)/2, math.MaxInt)
}

// firstDue is the place of the group that is due first, -1 when there is none.
// While the store is away, those that may be at fault themselves come last; one
// of those is under way at a time.
func (d *dispatcher) firstDue() int {
	first := -1
	for n, g := range d.waiting {
		switch {
		case d.suspect != nil && d.suspicious(g):
		case first < 0:
			first = n
		case d.pace.away() && g.alone != d.waiting[first].alone:
			if !g.alone {
				first = n
			}
		case g.due.Before(d.waiting[first].due):
			first = n
		}
	}
	return first
}

// gather joins single records that are due into one group.
func (d *dispatcher) gather(g *group, now time.Time) {
	kept := d.waiting[:0]
	for _, other := range d.waiting {
		if other.whole || other.due.After(now) || len(g.items) >= d.pace.limit || g.bytes >= d.maxBytes() {
			kept = append(kept, other)
			continue
		}
		g.join(other)
	}
	clear(d.waiting[len(kept):])
	d.waiting = kept
}

func (d *dispatcher) maxBytes() int { return d.s.options.bytesFor(d.pace.limit) }

func (d *dispatcher) remove(at int) *group {
	g := d.waiting[at]
	last := len(d.waiting) - 1
	d.waiting[at], d.waiting[last] = d.waiting[last], nil
	d.waiting = d.waiting[:last]
	return g
}

func (d *dispatcher) wait(g *group) {
	if g != nil {
		d.waiting = append(d.waiting, g)
	}
}

// rest is how long nothing happens by itself.
func (d *dispatcher) rest(now time.Time) time.Duration {
	const long = time.Hour
	if d.idle == 0 || d.asker != nil {
		return long
	}
	due := now.Add(long)
	if at := d.firstDue(); at >= 0 {
		due = d.waiting[at].due
	}
	if d.ready != nil {
		due = now
	}
	if d.pace.away() && due.Before(d.pace.until) {
		due = d.pace.until
	}
	return min(long, max(0, due.Sub(now)))
}

// back takes a group back from its worker.
func (d *dispatcher) back(done *delivery, now time.Time) {
	d.idle++
	if d.asker == done.group {
		d.asker = nil
	}
	if d.suspect == done.group {
		d.suspect = nil
	}
	d.unplaced(done, now)
	switch {
	case done.whole():
		d.failedWhole(done, now)
		return
	case done.sent > 0:
		if d.pace.succeeded() {
			d.s.options.Log.Info("the store takes records again", "after", now.Sub(d.pace.since).Round(time.Millisecond).String())
			d.forgive(now)
		}
		if !done.group.alone {
			full := done.sent >= d.pace.limit || done.group.bytes > d.maxBytes()*3/4
			overloaded := done.group.fresh() && len(done.failed)*10 >= done.sent && len(done.failed) > 0
			d.pace.took(done.took, full, overloaded)
		}
	}
	if len(done.failed) > 0 {
		g := done.group.left(done.failed)
		g.due = now.Add(max(backOff(g.tries, longestWait), after(done.err)))
		d.wait(g)
	}
}

// failedWhole keeps a group of which the store took nothing.
func (d *dispatcher) failedWhole(done *delivery, now time.Time) {
	sent := done.group
	g := sent.left(done.failed)
	g.whole, g.alone, g.forgiven, g.successes = true, sent.alone, sent.forgiven, d.pace.successes
	if !sent.alone {
		// What has failed before says nothing of a store that takes others.
		if (sent.fresh() || d.pace.away()) && d.pace.failed(sent.fresh(), done.err, now) {
			d.s.options.Log.Info("the store takes no records; they wait in the spool", "reason", deadletter.Reason(done.err))
		}
		g.due = now.Add(max(backOff(g.tries, longestAway), after(done.err)))
		d.wait(g)
		return
	}
	if d.pace.away() {
		d.pace.hold(done.err, now)
	}
	g.due = now.Add(max(backOff(g.tries, longestWait), after(done.err)))
	if sent.successes < d.pace.successes || d.often(g) {
		if rest := d.half(g); rest != nil {
			// One of them may be good, and has waited long enough.
			g.tries, g.due = 1, now.Add(backOff(1, longestWait))
			rest.tries, rest.due = g.tries, g.due
			d.wait(rest)
		}
	}
	if len(g.items) == 1 && g.tries == manyTries {
		r := g.items[0].entry.Record
		d.s.options.Log.Info("a record cannot be stored while others are; it waits in the spool and is tried again",
			"kind", r.Kind, "id", r.ID.String(), "source", g.items[0].entry.Source, "reason", deadletter.Reason(done.err))
	}
	d.wait(g)
}

// forgive lets the groups that failed while the store was away go at once.
func (d *dispatcher) forgive(now time.Time) {
	for _, g := range d.waiting {
		if g.whole && !g.alone && !g.forgiven {
			g.forgiven, g.free, g.due = true, true, now
		}
	}
}

// unplaced keeps what the dead letters did not take.
func (d *dispatcher) unplaced(done *delivery, now time.Time) {
	if len(done.unburied) == 0 {
		if d.unburied && done.buried > 0 {
			d.unburied = false
			d.s.options.Log.Info("the dead letters can be written again")
		}
		return
	}
	d.s.metrics.letterFailures.Inc()
	if !d.unburied {
		d.unburied = true
		d.s.options.Log.Error(done.lettersErr, "records that cannot be stored find no place among the dead letters; they wait in the spool")
	}
	g := done.group.left(done.unburied)
	g.due = now.Add(backOff(g.tries, longestWait))
	d.wait(g)
}

func (d *dispatcher) observe() {
	records, _ := d.held()
	d.s.metrics.observe(d.pace.away(), records, d.pace.limit)
}
