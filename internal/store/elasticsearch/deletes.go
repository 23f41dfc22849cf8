package elasticsearch

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/record"
)

type deleteItem struct {
	Delete struct {
		Status int          `json:"status"`
		Error  *failureBody `json:"error"`
	} `json:"delete"`
}

type deleteAnswer struct {
	Errors *bool        `json:"errors"`
	Items  []deleteItem `json:"items"`
}

// deleteHits deletes records and returns how many of them were there.
func (s *Store) deleteHits(ctx context.Context, hits []hit) (int, error) {
	byIndex := map[string][]record.ID{}
	var order []string
	for _, h := range hits {
		if _, ok := byIndex[h.index]; !ok {
			order = append(order, h.index)
		}
		byIndex[h.index] = append(byIndex[h.index], h.id)
	}
	total := 0
	for _, index := range order {
		erased, err := s.deleteIDs(ctx, index, byIndex[index])
		total += erased
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// deleteIDs sends a bulk until each of its records is gone. Sending again is
// harmless; only how many were there is then not known exactly.
func (s *Store) deleteIDs(ctx context.Context, index string, ids []record.ID) (int, error) {
	total := 0
	for try := 0; ; try++ {
		erased, again, reason, err := s.deleteOnce(ctx, index, ids)
		total += erased
		if err != nil || len(again) == 0 {
			return total, err
		}
		if try >= s.client.maxRetries {
			return total, reason
		}
		if err := s.client.sleep(ctx, backoff(try)); err != nil {
			return total, err
		}
		ids = again
	}
}

// deleteOnce returns how many records were deleted, and those that may be a
// moment later, with why they were not now.
func (s *Store) deleteOnce(ctx context.Context, index string, ids []record.ID) (int, []record.ID, error, error) {
	body := appendDeletes(make([]byte, 0, len(ids)*deleteLine), ids)
	answered, err := s.erase(ctx, call{limit: smallAnswer, hint: len(ids) * len(deletedItem), build: func() esapi.Request {
		return esapi.BulkRequest{Index: index, Body: bytes.NewReader(body), Header: s.mark(ndjson()), Timeout: s.client.patience(ctx),
			FilterPath: []string{"errors", "items.delete.status", "items.delete.error.type", "items.delete.error.index"}}
	}})
	if err != nil {
		return 0, nil, nil, err
	}
	if allDeleted(answered.body, len(ids)) {
		return len(ids), nil, nil, nil
	}
	var a deleteAnswer
	if err := unmarshal(answered.body, &a); err != nil {
		return 0, nil, nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if a.Errors == nil || len(a.Items) != len(ids) {
		return 0, nil, nil, fmt.Errorf("%w: %d items for %d records", errMalformed, len(a.Items), len(ids))
	}
	return sortDeleted(index, ids, a.Items)
}

func sortDeleted(index string, ids []record.ID, items []deleteItem) (erased int, again []record.ID, reason, err error) {
	for i, item := range items {
		status := item.Delete.Status
		f := &failure{status: status, index: index}
		if item.Delete.Error != nil {
			f = item.Delete.Error.failure()
			f.status, f.index = status, index
		}
		switch {
		case status == http.StatusOK:
			erased++
		case status == http.StatusNotFound && item.Delete.Error == nil:
			// Somebody else deleted it.
		case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
			again, reason = append(again, ids[i]), f
		case f.kind == kindIndexNotFound:
			return erased, nil, nil, errBeingErased(index)
		default:
			return erased, nil, nil, f
		}
	}
	return erased, again, reason, nil
}

const (
	deletedItem = `{"delete":{"status":200}}`
	deleteLine  = len(`{"delete":{"_id":""}}`+"\n") + 2*len(record.ID{})
)

func appendDeletes(b []byte, ids []record.ID) []byte {
	for _, id := range ids {
		b = append(b, `{"delete":{"_id":"`...)
		b = record.AppendID(b, id)
		b = append(b, "\"}}\n"...)
	}
	return b
}

// allDeleted tells whether an answer says of each record that it is deleted, and
// nothing else: it is compared, not parsed.
func allDeleted(answer []byte, records int) bool {
	return allItems(answer, deletedItem, records)
}
