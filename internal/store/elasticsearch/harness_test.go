package elasticsearch

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"auditquery.dev/auditquery/test/elastic"
)

// server is the one Elasticsearch of this package's tests.
var server = elastic.NewShared(elastic.Options{})

// prefixes keeps tests apart.
var prefixes atomic.Int64

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

// place is a part of the shared Elasticsearch that one test has for itself.
type place struct {
	t       testing.TB
	cluster *elastic.Cluster
	prefix  string
}

func newPlace(t testing.TB) *place {
	t.Helper()
	p := &place{t: t, cluster: server.Cluster(t), prefix: fmt.Sprintf("t%d-%d", os.Getpid(), prefixes.Add(1))}
	t.Cleanup(p.remove)
	return p
}

// remove deletes by name what the test made: by wildcard is often forbidden.
func (p *place) remove() {
	ctx := context.Background()
	listed, err := p.cluster.Do(ctx, http.MethodGet, "/"+p.prefix+"-*/_settings/index.uuid?expand_wildcards=all", nil)
	if err != nil {
		p.t.Logf("clean up: %v", err)
		return
	}
	var found map[string]any
	if err := json.Unmarshal(listed, &found); err != nil {
		p.t.Logf("clean up: %v", err)
	}
	names := slices.Collect(maps.Keys(found))
	for part := range slices.Chunk(names, 50) {
		if _, err := p.cluster.Do(ctx, http.MethodDelete, "/"+strings.Join(part, ","), nil); err != nil {
			p.t.Logf("clean up: %v", err)
		}
	}
	_, err = p.cluster.Do(ctx, http.MethodDelete, "/_index_template/"+p.prefix+"-*", nil)
	if err != nil && len(names) > 0 {
		p.t.Logf("clean up: %v", err)
	}
}

// options are valid for the place; modify them.
func (p *place) options(modify ...func(*Options)) Options {
	o := Options{Connection: Connection{URLs: p.cluster.URLs()}, IndexPrefix: p.prefix}
	for _, m := range modify {
		m(&o)
	}
	return o
}

func (p *place) open(modify ...func(*Options)) *Store {
	p.t.Helper()
	s, err := Open(p.t.Context(), p.options(modify...))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			p.t.Error(err)
		}
	})
	return s
}

// refresh makes what was appended visible to searches.
func (p *place) refresh(ctx context.Context) error {
	_, err := p.cluster.Do(ctx, http.MethodPost, "/"+p.prefix+"-*/_refresh", nil)
	return err
}

// do sends a request past the store, as an operator would.
func (p *place) do(method, path, body string) string {
	p.t.Helper()
	var payload []byte
	if body != "" {
		payload = []byte(body)
	}
	answered, err := p.cluster.Do(p.t.Context(), method, path, payload)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(answered)
}
