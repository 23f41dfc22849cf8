package trail

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/store/elasticsearch"
	"auditquery.dev/auditquery/internal/store/sqlite"
)

// Store is all that a store can do.
type Store interface {
	store.ReadWriter
	store.Deleter
	store.Notebook
	Close() error
}

var (
	_ Store = (*sqlite.Store)(nil)
	_ Store = (*elasticsearch.Store)(nil)
)

// Place says where a store is, so that another process can be told: an SQLite file,
// or the indices of a prefix in an Elasticsearch without security.
type Place struct {
	Path        string `json:"path,omitempty"`
	URL         string `json:"url,omitempty"`
	IndexPrefix string `json:"indexPrefix,omitempty"`
	// Patience bounds one request to Elasticsearch; 0 is the store's default.
	Patience time.Duration `json:"patience,omitempty"`
}

// Open opens the store.
func (p Place) Open(ctx context.Context) (Store, error) {
	if p.Path != "" {
		return sqlite.Open(ctx, sqlite.Options{Path: p.Path})
	}
	return elasticsearch.Open(ctx, elasticsearch.Options{
		Connection: elasticsearch.Connection{URLs: []string{p.URL}}, IndexPrefix: p.IndexPrefix, RequestTimeout: p.Patience,
	})
}

// Refresh makes readers see everything that was written or erased.
func (p Place) Refresh(ctx context.Context) (err error) {
	if p.Path != "" {
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/"+p.IndexPrefix+"-*/_refresh", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	const most = 16 << 10
	answer, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("refresh: %s: %s", response.Status, answer)
	}
	return err
}
