package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// maxHeldLetters is how many letters wait for the end of their body, so that
	// a body that has to be sent again leaves its bad events there once.
	maxHeldLetters = 100
	// maxLoggedLetters is how many bad events of one body are logged each.
	maxLoggedLetters = 10
	// lateFlush is how long storing what came before a broken end may take.
	lateFlush = 5 * time.Second
)

// delivery is one body on its way into the store.
type delivery struct {
	receiver *Receiver
	source   string
	events   record.KubernetesOptions

	batch      []record.Record
	batchBytes int
	letters    []Letter
	logged     int
	tally      tally
}

func newDelivery(r *Receiver, cluster string) *delivery {
	events := r.options.Events
	events.Cluster = cluster
	return &delivery{receiver: r, source: "kubernetes/" + cluster, events: events}
}

// run stores a body as it arrives. When the body turns out to be broken, the
// whole events before that are stored and the sender, which sends every refused
// body again, is told what is wrong with it.
func (d *delivery) run(ctx context.Context, body io.Reader) (tally, error) {
	err := record.DecodeEvents(body, record.DecodeLimits{}, func(event record.DecodedEvent) error {
		return d.take(ctx, event)
	})
	if err == nil {
		if err = d.flush(ctx); err == nil {
			err = d.putLetters()
		}
		return d.tally, err
	}
	refused := bodyFailure(err)
	if refused.reason == refusedStore || refused.reason == refusedDeadLetter || refused.reason == refusedKind {
		return d.tally, refused
	}
	// The sender may be gone or its time over, but what came is good.
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateFlush)
	defer cancel()
	if err := d.flush(late); err != nil {
		return d.tally, err
	}
	return d.tally, refused
}

// take adds one event to the batch, or puts it aside.
func (d *delivery) take(ctx context.Context, event record.DecodedEvent) error {
	d.tally.Events++
	d.receiver.metrics.events.Inc()
	records, skip, err := recordsOf(event, d.events)
	switch {
	case err != nil:
		reason := fmt.Sprintf("event %d: %v", event.Index+1, err)
		return d.putAside(eventLetter(d.source, causeOf(err), reason, event.Raw, d.receiver.options.Now()))
	case skip != record.SkipNone:
		d.tally.Skipped++
		d.receiver.metrics.skipped.Inc()
		return nil
	}
	now := d.receiver.options.Now()
	for _, r := range records {
		record.Normalize(r, now)
	}
	d.batch = append(d.batch, records...)
	d.batchBytes += len(event.Raw)
	if len(d.batch) < maxBatchRecords && d.batchBytes < maxBatchBytes {
		return nil
	}
	return d.flush(ctx)
}

// recordsOf maps an event, and takes a panic for what is wrong with that event:
// its neighbours go on.
func recordsOf(event record.DecodedEvent, options record.KubernetesOptions) (records []record.Record, skip record.Skip, err error) {
	if event.Err != nil {
		return nil, record.SkipNone, event.Err
	}
	defer func() {
		if cause := recover(); cause != nil {
			records, err = nil, fmt.Errorf("internal error of type %T", cause)
		}
	}()
	return record.KubernetesRecords(event.Event, options)
}

func causeOf(err error) Cause {
	if errors.Is(err, record.ErrEventTooLarge) {
		return CauseTooLarge
	}
	return CauseMalformed
}

// flush writes the batch to the store.
func (d *delivery) flush(ctx context.Context) error {
	if len(d.batch) == 0 {
		return nil
	}
	outcomes, err := d.receiver.options.Writer.Append(ctx, d.batch)
	if err == nil && len(outcomes) != len(d.batch) {
		err = fmt.Errorf("the store answered for %d of %d records", len(outcomes), len(d.batch))
	}
	if err != nil {
		return storeFailure(err)
	}
	d.receiver.metrics.observe(outcomes)
	failed := 0
	var cause error
	for i, outcome := range outcomes {
		switch outcome.Result {
		case store.Stored:
			d.tally.Stored++
		case store.Duplicate:
			d.tally.Duplicate++
		case store.Collision, store.Rejected:
			if err := d.putAside(recordLetter(d.source, outcome, d.batch[i], d.receiver.options.Now())); err != nil {
				return err
			}
		default:
			failed++
			cause = outcome.Err
		}
	}
	if failed > 0 {
		return storeFailure(cause)
	}
	clear(d.batch)
	d.batch, d.batchBytes = d.batch[:0], 0
	return nil
}

// putAside holds a letter until the body has ended, or not so long when there
// are many.
func (d *delivery) putAside(letter Letter) error {
	d.letters = append(d.letters, letter)
	if len(d.letters) < maxHeldLetters {
		return nil
	}
	return d.putLetters()
}

func (d *delivery) putLetters() error {
	if len(d.letters) == 0 {
		return nil
	}
	if err := d.receiver.options.Letters.Put(d.letters...); err != nil {
		return letterFailure(err)
	}
	for _, letter := range d.letters {
		d.tally.DeadLetters++
		d.receiver.metrics.letters.WithLabelValues(string(letter.Cause)).Inc()
		d.log(letter)
	}
	clear(d.letters)
	d.letters = d.letters[:0]
	return nil
}

func (d *delivery) log(letter Letter) {
	d.logged++
	log := d.receiver.options.Log.WithValues("source", letter.Source)
	switch {
	case d.logged <= maxLoggedLetters:
		log.Info("put an event into the dead letters", "cause", letter.Cause, "reason", letter.Reason)
	case d.logged == maxLoggedLetters+1:
		log.Info("put more events of this batch into the dead letters; they are not logged one by one")
	}
}

// bodyFailure says why a body could not be read to its end.
func bodyFailure(err error) *refusedError {
	var (
		refused  *refusedError
		tooLarge *http.MaxBytesError
		envelope *record.EnvelopeError
		syntax   *record.SyntaxError
		network  net.Error
	)
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &tooLarge):
		return errTooLarge()
	case errors.Is(err, record.ErrTooManyEvents):
		return &refusedError{reason: refusedTooLarge, status: http.StatusRequestEntityTooLarge, message: err.Error()}
	case errors.As(err, &envelope):
		return &refusedError{reason: refusedKind, status: http.StatusBadRequest, message: "the body is " + envelope.Error()}
	case errors.As(err, &network) && network.Timeout():
		return &refusedError{reason: refusedTimeout, status: http.StatusRequestTimeout, cause: err,
			message: "the body arrived too slowly; the whole events of it are stored"}
	case errors.As(err, &syntax) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return &refusedError{reason: refusedMalformed, status: http.StatusBadRequest, message: "the body is refused: " + syntax.Error()}
	case errors.As(err, &syntax):
		return &refusedError{reason: refusedTruncated, status: http.StatusBadRequest,
			message: "the body is refused: " + syntax.Error() + "; the whole events before it are stored"}
	default:
		return &refusedError{reason: refusedTruncated, status: http.StatusBadRequest, cause: err,
			message: "the body ended before its length; the whole events of it are stored"}
	}
}
