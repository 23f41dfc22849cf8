package elasticsearch

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/store"
)

// bulkItem is what became of one record of a bulk request.
type bulkItem struct {
	Create struct {
		Status int          `json:"status"`
		Error  *failureBody `json:"error"`
	} `json:"create"`
}

type bulkAnswer struct {
	Errors *bool      `json:"errors"`
	Items  []bulkItem `json:"items"`
}

// sendBulk sends a bulk until each of its records has an outcome. Sending again
// is harmless: a create with an id happens once.
func (s *Store) sendBulk(ctx context.Context, b *bulk, outcomes []store.Outcome) {
	unsure := false
	for try := 0; len(b.entries) > 0; try++ {
		items, repeated, err := s.bulkOnce(ctx, b)
		unsure = unsure || repeated
		if isStatus(err, http.StatusRequestEntityTooLarge) && len(b.entries) > 1 {
			half := len(b.entries) / 2
			s.sendBulk(ctx, b.only(b.entries[:half]), outcomes)
			s.sendBulk(ctx, b.only(b.entries[half:]), outcomes)
			return
		}
		if err != nil {
			fail(b, b.entries, outcomes, err)
			return
		}
		if items == nil {
			for _, e := range b.entries {
				outcomes[e.place] = store.Outcome{Result: store.Stored}
			}
			if !unsure {
				s.reuse(b)
			}
			return
		}
		sorted := b.sort(items, outcomes)
		s.compare(ctx, b, sorted.present, unsure, outcomes)
		if len(sorted.again) == 0 {
			return
		}
		if try >= s.client.maxRetries {
			fail(b, sorted.again, outcomes, sorted.reason)
			return
		}
		if err := s.client.sleep(ctx, backoff(try)); err != nil {
			fail(b, sorted.again, outcomes, err)
			return
		}
		b = b.only(sorted.again)
	}
}

// fail marks entries that may be sent again later.
func fail(b *bulk, entries []entry, outcomes []store.Outcome, err error) {
	explained := explain("append "+string(b.kind), err)
	for _, e := range entries {
		outcomes[e.place] = store.Outcome{Result: store.Failed, Err: explained}
	}
}

// bulkOnce sends a bulk and returns an item for each entry, or none if each of
// them is now stored.
func (s *Store) bulkOnce(ctx context.Context, b *bulk) ([]bulkItem, bool, error) {
	select {
	case s.bulks <- struct{}{}:
		defer func() { <-s.bulks }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	answered, err := s.client.do(ctx, call{limit: maxBulkBytes, build: func() esapi.Request {
		return esapi.BulkRequest{Index: b.index, Body: bytes.NewReader(b.body), Header: ndjson(),
			FilterPath: []string{"errors", "items.create.status", "items.create.error.type",
				"items.create.error.reason", "items.create.error.index"}}
	}})
	if err != nil {
		return nil, answered.repeated, err
	}
	if allCreated(answered.body, len(b.entries)) {
		return nil, answered.repeated, nil
	}
	var a bulkAnswer
	if err := unmarshal(answered.body, &a); err != nil {
		return nil, true, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if a.Errors == nil || len(a.Items) != len(b.entries) {
		return nil, true, fmt.Errorf("%w: %d items for %d records", errMalformed, len(a.Items), len(b.entries))
	}
	return a.Items, answered.repeated, nil
}

// createdItem is the item of a record that is now stored.
const createdItem = `{"create":{"status":201}}`

// allCreated tells whether an answer says of each record that it is now stored,
// and nothing else, which is the usual one: it is compared, not parsed.
func allCreated(answer []byte, records int) bool {
	return allItems(answer, createdItem, records)
}

// allItems tells whether the answer to a bulk is so many times the same item.
func allItems(answer []byte, item string, records int) bool {
	rest, ok := bytes.CutPrefix(answer, []byte(`{"errors":false,"items":[`))
	for i := range records {
		if i > 0 && ok {
			rest, ok = bytes.CutPrefix(rest, []byte(","))
		}
		if !ok {
			return false
		}
		rest, ok = bytes.CutPrefix(rest, []byte(item))
	}
	return ok && string(rest) == "]}"
}

// sortedItems are the entries that are not done with.
type sortedItems struct {
	// present were there before.
	present []entry
	// again may be taken a moment later; reason is why the last was not.
	again  []entry
	reason error
}

func (b *bulk) sort(items []bulkItem, outcomes []store.Outcome) sortedItems {
	var sorted sortedItems
	for i, item := range items {
		e := b.entries[i]
		f := &failure{}
		if item.Create.Error != nil {
			f = item.Create.Error.failure()
		}
		f.status = item.Create.Status
		switch status := f.status; {
		case status == http.StatusCreated:
			outcomes[e.place] = store.Outcome{Result: store.Stored}
		case status == http.StatusConflict:
			sorted.present = append(sorted.present, e)
		case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
			sorted.again, sorted.reason = append(sorted.again, e), f
		case status == http.StatusBadRequest && f.kind != kindIndexClosed:
			outcomes[e.place] = store.Outcome{Result: store.Rejected, Err: rejected(b.kind, f.Error())}
		default:
			// The index is gone, closed, blocked or not ours to write: the
			// record is not to blame.
			f.index = b.index
			outcomes[e.place] = store.Outcome{Result: store.Failed, Err: explain("append "+string(b.kind), f)}
		}
	}
	return sorted
}
