package elasticsearch

import (
	"context"
	"errors"
	"sync/atomic"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/store"
)

// noTotals is what pages ask for: counting costs more than they do.
const noTotals = "false"

// collect reads the documents of a page, and one more if there is one. Where an
// answer would be larger than a page may be, it is asked for in parts.
func (s *Store) collect(ctx context.Context, q query.Query) ([][]byte, error) {
	const divisor = 4
	// One request is bounded by the client; this bounds all that a page takes.
	ctx, cancel := context.WithTimeout(ctx, s.client.timeout)
	defer cancel()
	want := q.Limit + 1
	var documents [][]byte
	for size, held := want, 0; ; {
		asked, err := s.pageSearch(q, min(size, want-len(documents)), noTotals)
		if err != nil {
			return nil, err
		}
		a, err := s.run(ctx, q.Kind, window(q), asked)
		if errors.Is(err, errTooLarge) && size > 1 {
			size = max(size/divisor, 1)
			continue
		}
		if err != nil {
			return nil, err
		}
		documents = append(documents, a.documents...)
		held += bytesOf(a.documents)
		if len(a.documents) < asked.size || len(documents) >= want || held > store.MaxPageBytes {
			return documents, nil
		}
		if q.After, err = positionOf(documents[len(documents)-1]); err != nil {
			return nil, err
		}
	}
}

// pageOf makes a page of limit documents, or fewer if they would be too large.
func pageOf(documents [][]byte, limit int) (store.Page, error) {
	fit := min(len(documents), limit)
	for i, size := 0, 0; i < fit; i++ {
		size += len(documents[i])
		if i > 0 && size > store.MaxPageBytes {
			fit = i
		}
	}
	page := store.Page{Documents: documents[:fit]}
	if fit == len(documents) {
		return page, nil
	}
	var err error
	page.Next, err = positionOf(documents[fit-1])
	return page, err
}

func bytesOf(documents [][]byte) int {
	size := 0
	for _, d := range documents {
		size += len(d)
	}
	return size
}

// sizes remembers how large hits are, so that a body is read into one
// allocation that is not much too large.
type sizes struct{ perHit atomic.Int64 }

func (s *sizes) expect(hits int) int {
	per := s.perHit.Load()
	if per == 0 {
		per = firstHitBytes
	}
	// A tenth more: one page is a little larger than another.
	const share = 10
	size := int(per) * hits
	return size + size/share + firstHitBytes
}

func (s *sizes) saw(size, hits int) {
	const enough = 20
	if hits >= enough {
		s.perHit.Store(int64(size / hits))
	}
}
