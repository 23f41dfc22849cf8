package durability_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/receiver"
	"auditquery.dev/auditquery/test/sender"
)

func TestOneNodeOfThreeIsLost(t *testing.T) {
	c := elastic.StartForTest(t, elastic.Options{Nodes: 3, JavaOptions: quickStart()})
	w := newWorld(t, c, c.URLs())
	rate := either[int64](300, 1000)
	s := w.send(t, sender.Options{Source: w.events(float64(rate)), Rate: float64(rate), Writers: 4, Batch: 100})
	w.until(t, "records are stored", func(m receiver.Metrics) bool { return m.Stored > 2*rate })
	w.wantReplicas(t)

	for round := range either(1, 10) {
		first := w.primaryNode(t)
		t.Logf("round %d: %s, which has the primary shard, is killed", round+1, first.Name())
		if err := first.Kill(); err != nil {
			t.Fatal(err)
		}
		w.wantProgress(t, 3*rate)
		w.restart(t, first)
		w.wantReplicas(t)
		second := w.masterNode(t)
		t.Logf("round %d: %s, which is the master, is restarted", round+1, second.Name())
		w.restart(t, second)
		w.wantProgress(t, 3*rate)
		w.wantReplicas(t)
	}
	m := w.finish(t)
	wantOnlySuccess(t, s)
	t.Logf("%d records stored, %d of them sent to the store again", m.Shipped(), m.Duplicate)
	w.wantAllStored(t)
}

// quickStart has a node start in half of the time, for it is started often here and
// has not much to do.
func quickStart() []string { return []string{"-XX:TieredStopAtLevel=1"} }

func (w *world) restart(t *testing.T, node *elastic.Node) {
	t.Helper()
	began := time.Now()
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s is back after %s", node.Name(), time.Since(began).Round(100*time.Millisecond))
}

// wantProgress waits until so many more records are stored.
func (w *world) wantProgress(t *testing.T, records int64) {
	t.Helper()
	before, err := w.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w.until(t, "records are stored by the nodes that are left", func(m receiver.Metrics) bool { return m.Shipped() > before.Shipped()+records })
	t.Logf("%d more records were stored in %s", records, time.Since(began).Round(100*time.Millisecond))
}

// wantReplicas waits until each shard has its replica.
func (w *world) wantReplicas(t *testing.T) {
	t.Helper()
	began := time.Now()
	wait(t, "each shard has its replica", func() bool {
		var health struct {
			Status    string `json:"status"`
			Nodes     int    `json:"number_of_nodes"`
			Primaries int    `json:"active_primary_shards"`
			Shards    int    `json:"active_shards"`
		}
		err := w.ask(t, "/_cluster/health/"+w.prefix+"-*", &health)
		return err == nil && health.Nodes == len(w.elastic.Nodes()) && health.Status == "green" && health.Primaries > 0 &&
			health.Shards == 2*health.Primaries
	})
	t.Logf("each shard has its replica after %s", time.Since(began).Round(100*time.Millisecond))
}

// clusterState is a part of what Elasticsearch says of itself.
type clusterState struct {
	Master string `json:"master_node"`
	Nodes  map[string]struct {
		Name string `json:"name"`
	} `json:"nodes"`
	Routing struct {
		Indices map[string]struct {
			Shards map[string][]struct {
				Primary bool   `json:"primary"`
				Node    string `json:"node"`
			} `json:"shards"`
		} `json:"indices"`
	} `json:"routing_table"`
}

func (w *world) state(t *testing.T) clusterState {
	t.Helper()
	var state clusterState
	wait(t, "Elasticsearch knows its state", func() bool {
		return w.ask(t, "/_cluster/state/master_node,nodes,routing_table/"+w.prefix+"-audit-*", &state) == nil
	})
	return state
}

// primaryNode has the primary shard of the index that most records go to.
func (w *world) primaryNode(t *testing.T) *elastic.Node {
	t.Helper()
	state := w.state(t)
	for _, index := range state.Routing.Indices {
		for _, copies := range index.Shards {
			for _, shard := range copies {
				if shard.Primary {
					return w.node(t, state.Nodes[shard.Node].Name)
				}
			}
		}
	}
	t.Fatalf("no primary shard in %+v", state)
	return nil
}

// masterNode is the elected one.
func (w *world) masterNode(t *testing.T) *elastic.Node {
	t.Helper()
	state := w.state(t)
	return w.node(t, state.Nodes[state.Master].Name)
}

func (w *world) node(t *testing.T, name string) *elastic.Node {
	t.Helper()
	for _, node := range w.elastic.Nodes() {
		if node.Name() == name {
			return node
		}
	}
	t.Fatalf("there is no node %q", name)
	return nil
}

func (w *world) ask(t *testing.T, path string, answer any) error {
	t.Helper()
	body, err := w.elastic.Do(t.Context(), http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
