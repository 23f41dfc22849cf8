package elasticsearch

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// maxCompared bounds the records that are fetched at a time.
	maxCompared = 500
	// maxComparedBytes bounds the answer; fewer are asked for beyond.
	maxComparedBytes = 64 << 20
)

// compare decides what a conflict meant: the conflict itself doesn't show what
// is stored. unsure tells that an earlier try of ours may have stored it.
func (s *Store) compare(ctx context.Context, b *bulk, present []entry, unsure bool, outcomes []store.Outcome) {
	for len(present) > 0 {
		part := present[:min(len(present), maxCompared)]
		present = present[len(part):]
		s.comparePart(ctx, b, part, unsure, outcomes)
	}
}

func (s *Store) comparePart(ctx context.Context, b *bulk, part []entry, unsure bool, outcomes []store.Outcome) {
	documents, err := s.fetch(ctx, b.index, part)
	if errors.Is(err, errTooLarge) && len(part) > 1 {
		half := len(part) / 2
		s.comparePart(ctx, b, part[:half], unsure, outcomes)
		s.comparePart(ctx, b, part[half:], unsure, outcomes)
		return
	}
	if err != nil {
		fail(b, part, outcomes, err)
		return
	}
	for i, e := range part {
		outcomes[e.place] = b.judge(e, documents[i], unsure)
	}
}

// judge compares what is stored under an id with what was to be stored.
func (b *bulk) judge(e entry, found []byte, unsure bool) store.Outcome {
	if found == nil {
		return store.Outcome{Result: store.Failed, Err: explain("append "+string(b.kind), errVanished)}
	}
	ours := b.stored(e)
	if bytes.Equal(found, ours) {
		// Equal in the time of ingest too: if a try of ours got no answer,
		// it was that one.
		if unsure {
			return store.Outcome{Result: store.Stored}
		}
		return store.Outcome{Result: store.Duplicate}
	}
	same, err := record.SameContent(b.kind, found, ours)
	switch {
	case err != nil:
		return store.Outcome{Result: store.Failed, Err: explain("append "+string(b.kind), errForeignDocument)}
	case same:
		return store.Outcome{Result: store.Duplicate}
	}
	return store.Outcome{Result: store.Collision, Err: &store.Error{Reason: store.Conflict, Op: "append " + string(b.kind),
		Message: fmt.Sprintf("a different record with the id %s is stored", e.id)}}
}

// fetch returns the stored documents of entries, nil for those that are absent.
// It sees what no search can see yet.
func (s *Store) fetch(ctx context.Context, index string, entries []entry) ([][]byte, error) {
	texts := make([]string, 0, len(entries))
	for _, e := range entries {
		texts = append(texts, e.id.String())
	}
	body := append(appendTexts([]byte(`{"ids":`), texts), '}')
	answered, err := s.client.do(ctx, call{limit: maxComparedBytes, hint: s.sizes.expect(len(entries)),
		build: func() esapi.Request { return esapi.MgetRequest{Index: index, Body: bytes.NewReader(body)} }})
	if err != nil {
		return nil, err
	}
	return readFetched(answered.body, texts)
}

// readFetched reads the answer of a multi-get.
func readFetched(data []byte, want []string) ([][]byte, error) {
	s := &scanner{data: data}
	documents := make([][]byte, 0, len(want))
	err := s.object(func(name []byte) error {
		if string(name) != "docs" {
			_, err := s.value()
			return err
		}
		return s.array(func() error {
			if len(documents) == len(want) {
				return fmt.Errorf("%w: more documents than were asked for", errMalformed)
			}
			document, err := scanFetched(s, want[len(documents)])
			documents = append(documents, document)
			return err
		})
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && len(documents) != len(want) {
		err = fmt.Errorf("%w: %d documents of %d", errMalformed, len(documents), len(want))
	}
	return documents, err
}

func scanFetched(s *scanner, want string) ([]byte, error) {
	var source []byte
	var failed *failure
	id, found := "", ""
	err := s.object(func(name []byte) error {
		value, err := s.value()
		if err != nil {
			return err
		}
		switch string(name) {
		case "_id":
			id = string(bytes.Trim(value, `"`))
		case "found":
			found = string(value)
		case "_source":
			source = value
		case "error":
			failed = readFailure(value)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case failed != nil:
		return nil, failed
	case id != want || (found != "true" && found != "false"):
		return nil, fmt.Errorf("%w: a document is not the one asked for", errMalformed)
	case found == "false":
		return nil, nil
	case source == nil:
		return nil, errForeignDocument
	}
	return trim(source)
}
