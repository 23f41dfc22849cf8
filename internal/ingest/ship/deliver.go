package ship

import (
	"context"
	"fmt"
	"time"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// sourceUnknown stands for the source of what cannot be read.
const sourceUnknown = "spool"

// delivery is what became of a group.
type delivery struct {
	group *group
	// sent is how many records the store was asked to take, took how long that
	// lasted.
	sent int
	took time.Duration
	// failed are those that the store could not take now, and err is why, of
	// one of them.
	failed []item
	err    error
	// buried is how many are among the dead letters now. unburied are those that
	// belong there when no letter could be put, and lettersErr is why.
	buried     int
	unburied   []item
	lettersErr error
}

// whole says that the store took nothing.
func (d *delivery) whole() bool { return d.sent > 0 && len(d.failed) == d.sent }

// placed counts what became of the records of one source.
type placed struct {
	stored, duplicate int
	dead              map[deadletter.Cause]int
}

// deliver sends a group and settles each of its records.
func (s *Shipper) deliver(ctx context.Context, g *group) delivery {
	d := delivery{group: g}
	var readable, settled []item
	var graves []grave
	for _, i := range g.items {
		if i.err != nil {
			letter := deadletter.OfBytes(sourceUnknown, deadletter.Unreadable, i.err.Error(), i.data, s.options.Now())
			graves = append(graves, grave{item: i, source: sourceUnknown, letter: letter})
			continue
		}
		readable = append(readable, i)
	}
	counts := map[string]*placed{}
	outcomes := s.append(ctx, &d, readable)
	for n, outcome := range outcomes {
		i := readable[n]
		switch outcome.Result {
		case store.Stored:
			count(counts, i.entry.Source).stored++
			settled = append(settled, i)
		case store.Duplicate:
			count(counts, i.entry.Source).duplicate++
			settled = append(settled, i)
		case store.Collision, store.Rejected:
			letter := deadletter.OfRecord(i.entry.Source, i.entry.Record, outcome, s.options.Now())
			graves = append(graves, grave{item: i, source: i.entry.Source, letter: letter})
		default:
			d.failed = append(d.failed, i)
			d.err = outcome.Err
		}
	}
	buried := s.bury(&d, graves, counts)
	s.settle(counts, settled, buried)
	if len(settled) > 0 && s.probe != nil {
		s.probe.offer(settled[len(settled)-1].entry)
	}
	return d
}

// append gives records to the store. There are no outcomes when nothing is known
// of any; then all have failed.
func (s *Shipper) append(ctx context.Context, d *delivery, items []item) []store.Outcome {
	if len(items) == 0 {
		return nil
	}
	prepared := make([]record.Prepared, len(items))
	for n, i := range items {
		prepared[n] = i.entry.Record
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	began := time.Now()
	outcomes, err := s.options.Writer.AppendPrepared(ctx, prepared)
	d.sent, d.took = len(items), time.Since(began)
	if err == nil && len(outcomes) != len(items) {
		err = fmt.Errorf("the store answered for %d of %d records", len(outcomes), len(items))
	}
	if err != nil {
		d.failed, d.err = items, err
		return nil
	}
	return outcomes
}

// grave is a record and the letter that is to take its place.
type grave struct {
	item   item
	source string
	letter deadletter.Letter
}

// bury puts letters; what finds no place stays in the spool.
func (s *Shipper) bury(d *delivery, graves []grave, counts map[string]*placed) []item {
	if len(graves) == 0 {
		return nil
	}
	letters := make([]deadletter.Letter, len(graves))
	items := make([]item, len(graves))
	for n, g := range graves {
		letters[n], items[n] = g.letter, g.item
	}
	if err := s.options.Letters.Put(letters...); err != nil {
		d.unburied, d.lettersErr = items, err
		return nil
	}
	for _, g := range graves {
		count(counts, g.source).dead[g.letter.Cause]++
		s.logLetter(g.letter)
	}
	d.buried = len(items)
	return items
}

// settle counts records that have a place, and takes them out of the spool: in
// this order, so that none looks lost in between.
func (s *Shipper) settle(counts map[string]*placed, groups ...[]item) {
	for source, c := range counts {
		if c.stored > 0 {
			s.options.Ledger.Stored(source, c.stored)
		}
		if c.duplicate > 0 {
			s.options.Ledger.Duplicate(source, c.duplicate)
		}
		for cause, n := range c.dead {
			s.options.Ledger.DeadLettered(source, cause, n)
		}
	}
	var seqs []uint64
	var ids []record.ID
	for _, items := range groups {
		for _, i := range items {
			seqs = append(seqs, i.seq)
			if i.err == nil {
				ids = append(ids, i.entry.Record.ID)
			}
		}
	}
	if len(seqs) == 0 {
		return
	}
	s.options.Spool.Confirm(seqs...)
	s.options.Forget(ids)
}

// logLetter says that a record was put aside, for the first of many.
func (s *Shipper) logLetter(l deadletter.Letter) {
	if !s.letterLog.Allow() {
		return
	}
	s.options.Log.Info("put a record into the dead letters", "cause", l.Cause, "source", l.Source, "reason", l.Reason,
		"kind", l.Kind, "id", l.RecordID.String())
}

func count(counts map[string]*placed, source string) *placed {
	c := counts[source]
	if c == nil {
		c = &placed{dead: map[deadletter.Cause]int{}}
		counts[source] = c
	}
	return c
}
