package stage

import (
	"context"
	"fmt"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/store/elasticsearch"
	"auditquery.dev/auditquery/internal/store/sqlite"
)

// Store opens the records, beside the servers that have them open. Stop closes it.
func (s *Stage) Store(ctx context.Context) (store.ReadWriter, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.store != nil {
		return s.store, nil
	}
	var err error
	if s.options.ElasticsearchURL == "" {
		s.store, err = sqlite.Open(ctx, sqlite.Options{Path: s.path(fileRecords)})
	} else {
		s.store, err = elasticsearch.Open(ctx, elasticsearch.Options{
			Connection:  elasticsearch.Connection{URLs: []string{s.options.ElasticsearchURL}},
			IndexPrefix: s.options.IndexPrefix,
		})
	}
	if err != nil {
		s.store = nil // not a nil pointer in an interface
		return nil, fmt.Errorf("open the records: %w", err)
	}
	return s.store, nil
}

// Append stores records, which must be normalised and new. On Elasticsearch they
// can be found after its refresh interval, a second.
func (s *Stage) Append(ctx context.Context, records ...record.Record) error {
	opened, err := s.Store(ctx)
	if err != nil {
		return err
	}
	outcomes, err := opened.Append(ctx, records)
	if err != nil {
		return err
	}
	for i, outcome := range outcomes {
		if outcome.Result != store.Stored {
			return fmt.Errorf("record %d of %d: %s: %w", i, len(records), outcome.Result, outcome.Err)
		}
	}
	return nil
}
