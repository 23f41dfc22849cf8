package elasticsearch

import (
	"context"
	"testing"

	"auditquery.dev/auditquery/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, newBackend)
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
