package ingest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"auditquery.dev/auditquery/internal/ingest/auth"
	"auditquery.dev/auditquery/internal/record"
)

const (
	// maxEchoed bounds the events that one answer gives back.
	maxEchoed = 256 << 10
	// itemMemory is what the answer takes of an event, beside its texts.
	itemMemory = 192
)

// bulkStatus is what became of an event, in the words of the original API.
type bulkStatus string

const (
	statusSuccess     bulkStatus = "success"
	statusDuplicate   bulkStatus = "duplicate"
	statusInvalid     bulkStatus = "invalid"
	statusUnprocessed bulkStatus = "unprocessed"
	statusTooBusy     bulkStatus = "too_busy"
)

// bulkAnswer is what the original API calls AuditWebhookEventsProcessed. Each
// event is in exactly one of the lists.
type bulkAnswer struct {
	Success []bulkResult `json:"success_events"`
	Discard []bulkResult `json:"discard_events"`
	Retry   []bulkResult `json:"retry_events"`
	// RetryAfter is for Retry.
	RetryAfter float64 `json:"retry_after_delay_seconds,omitempty"`
}

// bulkResult is what the original API calls AuditEventResponse.
type bulkResult struct {
	UniqueID string         `json:"unique_id"`
	Status   bulkStatus     `json:"status"`
	Message  string         `json:"status_message,omitempty"`
	Event    jsontext.Value `json:"event,omitempty"`
	same     *bulkResult    // the same event earlier in the body
}

// bulkWay takes in the call bulk_create_events of the original API. Its sender
// looks at each event's status, so nothing goes into the dead letters here: what is
// invalid, it is told and keeps.
func (r *Receiver) bulkWay() way {
	return way{
		name:       "bulk",
		mediaTypes: []string{"application/json"},
		open: func(_ *http.Request, sender auth.Sender) (taker, error) {
			permissions := r.options.Senders.Permissions(sender)
			if err := permissions.MayWriteAny(); err != nil {
				return nil, err
			}
			return &bulkTaker{
				receiver: r, sender: sender, permissions: permissions, source: sourceOf("bulk", sender),
				seen: map[record.ID]seenEvent{},
			}, nil
		},
	}
}

type bulkTaker struct {
	receiver    *Receiver
	sender      auth.Sender
	permissions *auth.Permissions
	source      string

	results []*bulkResult
	// pending are those that the next flush decides.
	pending []*bulkResult
	seen    map[record.ID]seenEvent
	echoed  int
	// failure is why some must be sent again.
	failure *refusedError
}

// seenEvent is the first event of the body with an id.
type seenEvent struct {
	content uint64
	result  *bulkResult
}

func (t *bulkTaker) take(ctx context.Context, d *delivery, body *meter) (answer, error) {
	d.parts = t.part
	s := d.stream(t.source)
	err := d.run(ctx, func() error {
		return readBulk(body, func(e bulkEvent) error {
			body.next()
			return t.event(ctx, d, s, e)
		})
	})
	if err != nil {
		return answer{}, err
	}
	if processed := t.answer(); len(processed.Success)+len(processed.Discard) > 0 || t.failure == nil {
		return answer{status: http.StatusCreated, body: processed, retryAfter: t.retryAfter()}, nil
	}
	// Nothing was taken: that is an answer that every client understands.
	return answer{}, t.failure
}

// event decides about one event, or leaves it to the next flush.
func (t *bulkTaker) event(ctx context.Context, d *delivery, s *stream, e bulkEvent) error {
	result := &bulkResult{UniqueID: e.uniqueID}
	if result.UniqueID == "" {
		result.UniqueID = fmt.Sprintf("events.%d", e.index) // where it has none, its place
	}
	t.results = append(t.results, result)
	d.fixed += itemMemory + int64(len(result.UniqueID))
	err := e.err
	if err == nil {
		err = t.permissions.MayWrite(ctx, e.record.Base().OrgID)
	}
	switch {
	case err == nil && t.failure != nil:
		t.again(result)
	case err == nil:
		return t.put(ctx, d, s, e, result)
	case e.err == nil && !auth.IsForbidden(err):
		t.failure = asRefusal(err)
		t.again(result)
	default:
		if e.err == nil {
			t.receiver.metrics.forbidden.Inc()
		}
		result.Status, result.Message = statusInvalid, cut(err.Error(), maxMessage)
		t.echo(result, e.raw)
		d.fixed += int64(len(result.Message) + len(result.Event))
	}
	s.received++
	return d.hold(ctx)
}

// put gives a record to the spool, unless it is known to be there.
func (t *bulkTaker) put(ctx context.Context, d *delivery, s *stream, e bulkEvent, result *bulkResult) error {
	kind := e.record.Kind()
	id := record.BulkID(kind, t.sender.Name, e.uniqueID, e.created)
	e.record.Base().ID = id
	p := d.prepare(e.record)
	if len(p.Document) > maxEntryBytes {
		s.received++
		result.Status, result.Message = statusInvalid, fmt.Sprintf("its record has %d bytes, at most %d are taken", len(p.Document), maxEntryBytes)
		return nil
	}
	item := t.receiver.options.Known.item(id, p.Document)
	if first, ok := t.seen[id]; ok && first.content == item.content {
		s.received++
		result.same = first.result
		return nil
	}
	if t.receiver.options.Known.has(item) {
		s.received++
		result.Status, result.Message = statusDuplicate, "it was sent before"
		return nil
	}
	// One with another content under the same id goes on: the store finds that
	// out, and keeps the evidence.
	t.seen[id] = seenEvent{content: item.content, result: result}
	t.pending = append(t.pending, result)
	return d.putKnown(ctx, s, p, item)
}

// part is told what became of those that were pending. The body is read on even
// when they must be sent again, since the answer names every event.
func (t *bulkTaker) part(failure error) error {
	if failure != nil {
		t.failure = spoolFailure(failure)
	}
	for _, result := range t.pending {
		if failure != nil {
			t.again(result)
		} else {
			result.Status = statusSuccess
		}
	}
	clear(t.pending)
	t.pending = t.pending[:0]
	return nil
}

// again says that an event must be sent again.
func (t *bulkTaker) again(result *bulkResult) {
	result.Status, result.Message = statusUnprocessed, t.failure.message
	if t.failure.reason == refusedBusy || t.failure.reason == refusedFull {
		result.Status = statusTooBusy
	}
}

// echo gives a sound event back with what is wrong with it.
func (t *bulkTaker) echo(result *bulkResult, event jsontext.Value) {
	if t.echoed+len(event) <= maxEchoed && event.Kind() == '{' && event.IsValid(jsontext.AllowDuplicateNames(true)) {
		result.Event = bytes.Clone(event)
		t.echoed += len(event)
	}
}

// retryAfter is when what must be sent again may come.
func (t *bulkTaker) retryAfter() time.Duration {
	if t.failure == nil {
		return 0
	}
	return t.failure.retryAfter
}

// answer sorts the results. An event that repeats another of the body is a
// duplicate of what is durable, and has to be sent again with what is not.
func (t *bulkTaker) answer() bulkAnswer {
	a := bulkAnswer{Success: []bulkResult{}, Discard: []bulkResult{}, Retry: []bulkResult{}}
	for _, result := range t.results {
		if first := result.same; first != nil {
			result.Status, result.Message = first.Status, first.Message
			if first.Status == statusSuccess {
				result.Status, result.Message = statusDuplicate, "it is in this request twice"
			}
		}
		switch result.Status {
		case statusSuccess:
			a.Success = append(a.Success, *result)
		case statusDuplicate, statusInvalid:
			a.Discard = append(a.Discard, *result)
		default:
			a.Retry = append(a.Retry, *result)
		}
	}
	if len(a.Retry) > 0 {
		a.RetryAfter = t.retryAfter().Seconds()
	}
	return a
}
