package ingest

import (
	"context"
	"fmt"
	"net/http"

	"auditquery.dev/auditquery/internal/ingest/auth"
	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/record"
)

const (
	// maxListedRejections is how many refused items an answer tells of.
	maxListedRejections = 20
	// maxMessage bounds what an answer says of one item, in bytes.
	maxMessage = 512
	// occurrenceMemory is what numbering one record takes.
	occurrenceMemory = 64
)

// recordsAnswer says what became of the items of a body: each is accepted, skipped
// or rejected. What came before is accepted again, and stored once.
type recordsAnswer struct {
	Received int `json:"received"`
	Accepted int `json:"accepted"`
	// Skipped are audit events that give no record by rule.
	Skipped int `json:"skipped"`
	// Rejected are the first of those that cannot be used. The malformed are in
	// the dead letters.
	Rejected      []rejection `json:"rejected"`
	RejectedTotal int         `json:"rejected_total"`
}

type rejection struct {
	// Index is the item's position in the body, from 0.
	Index   int    `json:"index"`
	Message string `json:"message"`
}

// recordsWay takes in what log shippers send. They drop what is answered 4xx and
// send again what is answered 5xx, all of it, so single items never decide: a body
// that was read to its end is answered 200, whatever is in it. Only when the sender
// may not send any of it, that is 403: nothing would tell its operator otherwise.
func (r *Receiver) recordsWay() way {
	return way{
		name: "records",
		mediaTypes: []string{
			"application/json", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines",
		},
		open: func(req *http.Request, sender auth.Sender) (taker, error) {
			asked := req.URL.Query().Get("cluster")
			if asked != "" {
				if err := clusterName(asked); err != nil {
					return nil, err
				}
			}
			return &recordsTaker{
				receiver: r, sender: sender, asked: asked, permissions: r.options.Senders.Permissions(sender),
				source: sourceOf("records", sender), occurrences: map[record.ID]int{},
				answer: recordsAnswer{Rejected: []rejection{}},
			}, nil
		},
	}
}

// sourceOf names the records of a sender in metrics and dead letters.
func sourceOf(way string, sender auth.Sender) string {
	return cut(way+"/"+sender.Name, deadletter.MaxSource)
}

type recordsTaker struct {
	receiver    *Receiver
	sender      auth.Sender
	permissions *auth.Permissions
	asked       string
	source      string
	occurrences map[record.ID]int
	answer      recordsAnswer
	forbidden   int
}

func (t *recordsTaker) take(ctx context.Context, d *delivery, body *meter) (answer, error) {
	err := d.run(ctx, func() error {
		return readRecords(body, func(item record.DecodedRecord) error {
			body.next()
			t.answer.Received++
			return t.item(ctx, d, item)
		})
	})
	if err == nil && t.forbidden > 0 && t.forbidden == t.answer.Received {
		err = &refusedError{reason: refusedForbidden, status: http.StatusForbidden,
			message: "nothing was taken: " + t.answer.Rejected[0].Message}
	}
	return answer{status: http.StatusOK, body: t.answer}, err
}

func (t *recordsTaker) item(ctx context.Context, d *delivery, item record.DecodedRecord) error {
	switch {
	case item.Err != nil:
		t.reject(item.Index, item.Err.Error())
		return d.putAside(ctx, d.stream(t.source), causeOf(item.Err), fmt.Sprintf("item %d: %v", item.Index+1, item.Err), item.Raw)
	case item.Event != nil:
		return t.event(ctx, d, item)
	default:
		return t.own(ctx, d, item)
	}
}

// event takes in an audit event, as the way of lists does.
func (t *recordsTaker) event(ctx context.Context, d *delivery, item record.DecodedRecord) error {
	cluster, err := t.receiver.options.Senders.ClusterOf(t.sender, t.asked)
	if err == nil {
		err = t.permissions.MayReport(ctx, cluster)
	}
	if err != nil {
		return t.notAllowed(d.stream(t.source), item.Index, err)
	}
	event := record.DecodedEvent{Index: item.Index, Event: item.Event, Raw: item.Raw}
	fate, problem, err := d.event(ctx, d.stream(eventsSource(cluster)), event, t.receiver.eventsOf(cluster))
	switch fate {
	case fateSkipped:
		t.answer.Skipped++
	case fateBad:
		t.reject(item.Index, problem)
	default:
		t.answer.Accepted++
	}
	return err
}

// own takes in one of our own records.
func (t *recordsTaker) own(ctx context.Context, d *delivery, item record.DecodedRecord) error {
	s, r := d.stream(t.source), item.Record
	if err := t.permissions.MayWrite(ctx, r.Base().OrgID); err != nil {
		return t.notAllowed(s, item.Index, err)
	}
	r.Base().SourceType = record.SourceBulk
	p, err := d.prepareContent(r, t.occurrence(d))
	if err != nil {
		const problem = "it cannot be written as JSON"
		t.reject(item.Index, problem)
		return d.putAside(ctx, s, deadletter.Malformed, fmt.Sprintf("item %d: %s", item.Index+1, problem), item.Raw)
	}
	if len(p.Document) > maxEntryBytes {
		problem := fmt.Sprintf("its record has %d bytes, at most %d are taken", len(p.Document), maxEntryBytes)
		t.reject(item.Index, problem)
		return d.putAside(ctx, s, deadletter.TooLarge, problem, item.Raw)
	}
	t.answer.Accepted++
	return d.put(ctx, s, p)
}

// occurrence counts equal records of a body. Their ids are made of what they say and
// of how many equal ones came before: so a body that is sent again gives the same
// ids, and equal records of one body are several.
func (t *recordsTaker) occurrence(d *delivery) func(record.ID) int {
	return func(first record.ID) int {
		n := t.occurrences[first]
		if n == 0 {
			d.fixed += occurrenceMemory
		}
		t.occurrences[first] = n + 1
		return n
	}
}

// notAllowed rejects what the sender may not send; that it cannot be decided now
// ends the request.
func (t *recordsTaker) notAllowed(s *stream, index int, err error) error {
	if !auth.IsForbidden(err) {
		return err
	}
	s.received++
	t.forbidden++
	t.receiver.metrics.forbidden.Inc()
	t.reject(index, err.Error())
	return nil
}

func (t *recordsTaker) reject(index int, message string) {
	t.answer.RejectedTotal++
	if len(t.answer.Rejected) < maxListedRejections {
		t.answer.Rejected = append(t.answer.Rejected, rejection{Index: index, Message: cut(message, maxMessage)})
	}
}
