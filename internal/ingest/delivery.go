package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditquery.dev/auditquery/internal/ingest/budget"
	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/entry"
	"auditquery.dev/auditquery/internal/record"
)

const (
	// maxHeldLetters is how many letters wait for the end of their body, so that
	// a body that has to be sent again leaves its bad events there once.
	maxHeldLetters = 100
	// maxLoggedLetters is how many bad events of one body are logged each.
	maxLoggedLetters = 10
	// lateFlush is how long keeping what came before a broken end may take.
	lateFlush = 5 * time.Second
	// maxKeptDocument is the largest buffer that a request keeps for its next
	// record.
	maxKeptDocument = 64 << 10
)

// delivery is one body on its way into the spool. It belongs to one goroutine.
//
// The body goes in parts: each flush makes one durable. What the delivery holds
// at any time is charged to the account of its request; when there is no more to
// be had, it flushes what it has, however little.
type delivery struct {
	receiver *Receiver
	account  *budget.Account
	out      *outgoing
	streams  []*stream
	// parts, when it is not nil, is told of each part that became durable, or
	// did not, and says whether the delivery goes on.
	parts func(failure error) error

	letters     []heldLetter
	letterBytes int64
	logged      int

	prepared record.Prepared // its memory is used again
	mapped   mappedEvent     // so is this one's
	known    []knownItem
	// element is the memory of the largest element so far, since its decoder
	// keeps the buffer. fixed is what the request holds to its end.
	element, fixed int64
}

// stream is one source of records in a body.
type stream struct {
	source string
	// received is how many records came that are not counted yet, staged how
	// many of them wait for the next flush.
	received, staged int
}

type heldLetter struct {
	letter deadletter.Letter
	from   *stream
}

func newDelivery(r *Receiver) *delivery {
	return &delivery{receiver: r, account: r.budget.Open(), out: newOutgoing(&r.batches)}
}

// stream returns the stream of a source, which it makes for the first record.
func (d *delivery) stream(source string) *stream {
	for _, s := range d.streams {
		if s.source == source {
			return s
		}
	}
	s := &stream{source: source}
	d.streams = append(d.streams, s)
	return s
}

// close gives back what the delivery holds.
func (d *delivery) close() {
	d.countReceived()
	d.out.clear()
	d.account.Close()
}

// run calls read, which reads the body and puts what it finds. When the body
// comes to a bad end, what came whole is kept all the same, and the sender is told
// what is wrong.
func (d *delivery) run(ctx context.Context, read func() error) error {
	err := read()
	if err == nil {
		if err = d.flush(ctx); err == nil {
			err = d.putLetters()
		}
		return err
	}
	refused := bodyFailure(err)
	if !refused.keepsWhatCame() {
		return refused
	}
	// The sender may be gone or its time over, but what came is good.
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateFlush)
	defer cancel()
	if err := d.flush(late); err != nil {
		return err
	}
	return refused
}

// prepare makes a record that has its identity ready for the spool. What it
// returns is valid until the next call.
func (d *delivery) prepare(r record.Record) record.Prepared {
	record.Normalize(r, d.receiver.options.Now())
	d.prepared = record.PrepareOver(d.usedAgain(), r)
	return d.prepared
}

// prepareContent is prepare for a record whose identity is what it says.
func (d *delivery) prepareContent(r record.Record, occurrence func(record.ID) int) (p record.Prepared, err error) {
	d.prepared, err = record.PrepareContent(d.usedAgain(), r, d.receiver.options.Now(), occurrence)
	return d.prepared, err
}

func (d *delivery) usedAgain() record.Prepared {
	if cap(d.prepared.Document) > maxKeptDocument {
		return record.Prepared{}
	}
	return d.prepared
}

// put adds a record to what goes into the spool, and flushes when that is enough,
// or as much as can be held now.
func (d *delivery) put(ctx context.Context, s *stream, p record.Prepared) error {
	d.out.add(&entry.Entry{Source: s.source, Received: record.At(d.receiver.options.Now()), Record: p})
	s.received++
	s.staged++
	if d.out.len() >= maxBatchRecords || d.out.bytes() >= maxBatchBytes {
		return d.flush(ctx)
	}
	if err := d.hold(ctx); err != nil {
		return err
	}
	d.out.settleIn()
	return nil
}

// putKnown is put, and remembers the record for as long as it is in the spool.
func (d *delivery) putKnown(ctx context.Context, s *stream, p record.Prepared, item knownItem) error {
	d.known = append(d.known, item)
	return d.put(ctx, s, p)
}

// flush makes what was put durable.
func (d *delivery) flush(ctx context.Context) error {
	if d.out.len() == 0 {
		return nil
	}
	known := d.receiver.options.Known
	claim := uint64(0)
	if len(d.known) > 0 {
		claim = known.claim(d.known)
	}
	err := d.receiver.options.Spool.Append(ctx, d.out.intoBatch())
	if len(d.known) > 0 {
		known.settle(claim, d.known, err == nil)
	}
	for _, s := range d.streams {
		if err == nil && s.staged > 0 {
			d.receiver.options.Ledger.Acknowledged(s.source, s.staged)
		}
		s.staged = 0
	}
	d.countReceived()
	d.known = d.known[:0]
	d.out.clear()
	d.account.Set(d.held())
	if d.parts != nil {
		return d.parts(err)
	}
	if err != nil {
		return spoolFailure(err)
	}
	return nil
}

func (d *delivery) countReceived() {
	for _, s := range d.streams {
		if s.received > 0 {
			d.receiver.options.Ledger.Received(s.source, s.received)
			s.received = 0
		}
	}
}

// held is what the delivery takes of memory, but for the little that each may
// stage.
func (d *delivery) held() int64 { return d.out.held() + d.letterBytes + d.element + d.fixed }

// hold charges for what is about to be held. When there is not as much, all that
// can go goes first; only then it waits, for a moment.
func (d *delivery) hold(ctx context.Context) error {
	if d.account.Set(d.held()) {
		return nil
	}
	if err := d.flush(ctx); err != nil {
		return err
	}
	if err := d.putLetters(); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, d.receiver.options.Patience)
	defer cancel()
	if err := d.account.Wait(waiting, d.held()); err != nil {
		return errBusy("too much is being taken in; send this again")
	}
	return nil
}

// holdGroup charges for a group of events, to the end of the request; false when
// there is not as much memory now.
func (d *delivery) holdGroup() bool {
	if d.element >= groupMemory {
		return true
	}
	before := d.element
	d.element = groupMemory
	if !d.account.Set(d.held()) {
		d.element = before
		return false
	}
	return true
}

// putAside holds a letter until the body has ended, or not so long when there are
// many.
func (d *delivery) putAside(ctx context.Context, s *stream, cause deadletter.Cause, reason string, raw []byte) error {
	letter := deadletter.OfInput(s.source, cause, reason, raw, d.receiver.options.Now())
	s.received++
	d.letters = append(d.letters, heldLetter{letter: letter, from: s})
	d.letterBytes += int64(len(letter.Excerpt) + len(letter.Reason))
	if len(d.letters) >= maxHeldLetters {
		return d.putLetters()
	}
	return d.hold(ctx)
}

// putLetters makes the letters durable.
func (d *delivery) putLetters() error {
	if len(d.letters) == 0 {
		return nil
	}
	letters := make([]deadletter.Letter, 0, len(d.letters))
	for _, held := range d.letters {
		letters = append(letters, held.letter)
	}
	if err := d.receiver.options.Letters.Put(letters...); err != nil {
		return letterFailure(err)
	}
	d.countReceived()
	for _, held := range d.letters {
		d.receiver.options.Ledger.DeadLettered(held.from.source, held.letter.Cause, 1)
		d.receiver.options.Ledger.Acknowledged(held.from.source, 1)
		d.log(held.letter)
	}
	clear(d.letters)
	d.letters, d.letterBytes = d.letters[:0], 0
	d.account.Set(d.held())
	return nil
}

func (d *delivery) log(letter deadletter.Letter) {
	d.logged++
	log := d.receiver.options.Log.WithValues("source", letter.Source)
	switch {
	case d.logged <= maxLoggedLetters:
		log.Info("put an event into the dead letters", "cause", letter.Cause, "reason", letter.Reason)
	case d.logged == maxLoggedLetters+1:
		log.Info("put more events of this body into the dead letters; they are not logged one by one")
	}
}

// event puts the records of one audit event. Of a bad one it returns what is wrong
// with it; it was put aside.
func (d *delivery) event(
	ctx context.Context, s *stream, event record.DecodedEvent, options record.KubernetesOptions,
) (f fate, problem string, err error) {
	d.mapped.of(event, options, d.receiver.options.Now())
	return d.putMapped(ctx, s, &d.mapped)
}

// putMapped is event for one that was mapped already.
func (d *delivery) putMapped(ctx context.Context, s *stream, m *mappedEvent) (f fate, problem string, err error) {
	switch {
	case m.err != nil:
		problem = fmt.Sprintf("event %d: %v", m.event.Index+1, m.err)
		return fateBad, problem, d.putAside(ctx, s, causeOf(m.err), problem, m.event.Raw)
	case m.skip != record.SkipNone:
		d.receiver.metrics.skipped.Inc()
		return fateSkipped, "", nil
	}
	for _, p := range m.records {
		if len(p.Document) > maxEntryBytes {
			problem = fmt.Sprintf("event %d: its record has %d bytes, at most %d are taken", m.event.Index+1, len(p.Document), maxEntryBytes)
			return fateBad, problem, d.putAside(ctx, s, deadletter.TooLarge, problem, m.event.Raw)
		}
		if err := d.put(ctx, s, p); err != nil {
			return fateTaken, "", err
		}
	}
	return fateTaken, "", nil
}

// fate is what became of one element of a body.
type fate int

const (
	fateTaken fate = iota + 1
	fateSkipped
	fateBad
)

func causeOf(err error) deadletter.Cause {
	if errors.Is(err, record.ErrEventTooLarge) {
		return deadletter.TooLarge
	}
	return deadletter.Malformed
}
