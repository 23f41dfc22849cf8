// Package stores_test compares the two stores, which never import each other.
package stores_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"auditquery.dev/auditquery/internal/store/elasticsearch"
	"auditquery.dev/auditquery/internal/store/sqlite"
	"auditquery.dev/auditquery/internal/store/storetest"
	"auditquery.dev/auditquery/test/elastic"
)

// server is the one Elasticsearch of this package's tests.
var server = elastic.NewShared(elastic.Options{})

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

func TestBothStoresGiveTheSameAnswers(t *testing.T) {
	var places atomic.Int64
	storetest.RunPair(t, func(t *testing.T) storetest.Backend { return embedded(t) }, func(t *testing.T) storetest.Backend {
		return onElasticsearch(t, fmt.Sprintf("pair-%d", places.Add(1)))
	})
}

func embedded(t testing.TB) storetest.Backend {
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "records.db")})
	if err != nil {
		t.Fatal(err)
	}
	closeWithTest(t, s.Close)
	return storetest.Backend{Store: s}
}

func onElasticsearch(t testing.TB, prefix string) storetest.Backend {
	cluster := server.Cluster(t)
	s, err := elasticsearch.Open(t.Context(), elasticsearch.Options{
		Connection: elasticsearch.Connection{URLs: cluster.URLs()}, IndexPrefix: prefix,
	})
	if err != nil {
		t.Fatal(err)
	}
	closeWithTest(t, s.Close)
	return storetest.Backend{Store: s, Refresh: func(ctx context.Context) error {
		_, err := cluster.Do(ctx, http.MethodPost, "/"+prefix+"-*/_refresh", nil)
		return err
	}}
}

func closeWithTest(t testing.TB, end func() error) {
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}
