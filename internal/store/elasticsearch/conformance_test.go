package elasticsearch

import (
	"context"
	"net/http"
	"testing"

	"auditquery.dev/auditquery/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, newBackend)
}

func TestErasingConformance(t *testing.T) {
	storetest.RunDeleter(t, newDeleterBackend)
}

func newDeleterBackend(t *testing.T) storetest.DeleterBackend {
	p := newPlace(t)
	b := storetest.DeleterBackend{Store: p.open(), Refresh: p.refresh}
	b.LoseNote = func(ctx context.Context, name string) error {
		_, err := p.cluster.Do(ctx, http.MethodDelete, "/"+p.prefix+"-state/_doc/"+notePrefix+name, nil)
		return err
	}
	b.Reopen = func(context.Context) (storetest.DeleterStore, error) { return p.open(), nil }
	if nodes := p.cluster.Nodes(); len(nodes) > 0 {
		b.Stop = func(context.Context) error {
			t.Cleanup(func() {
				if err := nodes[0].Restart(context.Background()); err != nil {
					t.Error(err)
				}
			})
			return nodes[0].Kill()
		}
	}
	return b
}

func newBackend(t *testing.T) storetest.Backend {
	p := newPlace(t)
	b := storetest.Backend{Store: p.open(), Refresh: p.refresh}
	nodes := p.cluster.Nodes()
	if len(nodes) == 0 {
		return b // an Elasticsearch that somebody else runs
	}
	b.Stop = func(context.Context) error { return nodes[0].Kill() }
	b.Start = func(ctx context.Context) (storetest.Store, error) {
		if err := nodes[0].Restart(ctx); err != nil {
			return nil, err
		}
		return p.open(), nil
	}
	return b
}
