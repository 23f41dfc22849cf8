// Package hindered_test lets the eraser meet what can come in between: holds that
// arrive while it works, another eraser, a machine that stands still, and an
// Elasticsearch that is down, slow or read-only. Nothing is ever gone that was not
// due, and it finishes later.
package hindered_test

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"auditquery.dev/auditquery/test/e2e/retention/trail"
	"auditquery.dev/auditquery/test/elastic"
)

// records are in each world at first.
const records = 4000

var shared = elastic.NewShared(elastic.Options{})

func TestMain(m *testing.M) {
	if path := os.Getenv(orderEnv); path != "" {
		os.Exit(erase(path))
	}
	os.Exit(shared.Run(m))
}

// place is a part of an Elasticsearch that a test has for itself.
func place(cluster *elastic.Cluster, prefix string) trail.Place {
	return trail.Place{URL: cluster.URL(), IndexPrefix: prefix}
}

// setBlock sets a block of all indices of a place, as Elasticsearch does itself when
// its disk is full, or lifts it.
func setBlock(t *testing.T, cluster *elastic.Cluster, pattern, block string, on bool) {
	t.Helper()
	value := "null"
	if on {
		value = "true"
	}
	body := fmt.Sprintf(`{"index.blocks.%s":%s}`, block, value)
	if _, err := cluster.Do(t.Context(), http.MethodPut, "/"+pattern+"/_settings", []byte(body)); err != nil {
		t.Error(err)
	}
}
