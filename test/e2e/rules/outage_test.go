package rules_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/faults"
	"auditquery.dev/auditquery/test/stage"
)

// clusterPaths are what clients need of the cluster before they do anything.
var clusterPaths = []string{
	"/apis", recordsPath, restPath, "/apis/records.auditquery.dev", "/openapi/v2", "/openapi/v3",
	"/openapi/v3" + recordsPath, "/readyz", "/livez",
}

func TestTheClusterIsWellWhileElasticsearchIsDown(t *testing.T) {
	w := theWorld(t)
	all := ways(t, w.Stage)
	availability := w.followAvailability(t)
	node := w.elastic.Nodes()[0]
	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	w.breakStore(t, faults.Fault{Kind: faults.Refuse})

	wantAllRefused(t, all)
	w.wantClusterPaths(t)
	w.Kubectl(t, "create", "namespace", "unrelated")
	w.Kubectl(t, "create", "configmap", "something", "-n", "unrelated")
	w.Kubectl(t, "delete", "namespace", "unrelated", "--timeout=60s")
	w.wantStart(t)
	wantAllRefused(t, all)

	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.mendStore(t)
	for name, a := range askAll(t.Context(), all) {
		if err := all[name].good(a); err != nil {
			t.Errorf("the first answer after the outage, %s: %v", name, err)
		}
	}
	if lost := availability(); len(lost) > 0 {
		t.Errorf("APIServices became unavailable: %v", lost)
	}
}

// wantClusterPaths asks both the kube-apiserver and each of our servers.
func (w *world) wantClusterPaths(t *testing.T) {
	t.Helper()
	config := w.ControlPlane().RESTConfig()
	clients := map[string]*client{"the kube-apiserver": admin(t, w.Stage)}
	for _, server := range w.Servers()[:replicas] {
		clients[server.Name()] = mustClient(t, server.Config(config))
	}
	for name, c := range clients {
		for _, path := range clusterPaths {
			if a := c.get(t.Context(), path); a.err != nil || a.status != http.StatusOK || len(a.body) == 0 {
				t.Errorf("%s of %s: %s", path, name, a)
			}
		}
		if a := c.get(t.Context(), "/apis", asDiscovery); a.err != nil || a.status != http.StatusOK {
			t.Errorf("aggregated discovery of %s: %s", name, a)
		}
	}
}

// wantStart starts one more server, which must become ready without its store.
func (w *world) wantStart(t *testing.T) {
	t.Helper()
	late := w.extra(t, stage.ServerOptions{Name: "late", Role: stage.RoleAPIServer, ElasticsearchURL: w.proxy.URL()})
	a := mustClient(t, late.Config(w.reader(t, "late"))).get(t.Context(), namespaced(recordsPath, smallOrg, "audits"))
	if err := refused(a); err != nil {
		t.Errorf("a server that started during the outage: %v", err)
	}
}

// extra starts a server for one test.
func (w *world) extra(t *testing.T, o stage.ServerOptions) *stage.Server {
	t.Helper()
	server, err := w.AddServer(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

// followAvailability watches our APIServices. What it returns ends that, and
// tells which were not available in between.
func (w *world) followAvailability(t *testing.T) (lost func() []string) {
	t.Helper()
	c, err := dynamic.NewForConfig(w.ControlPlane().RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	services := c.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	watched, err := services.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var mutex sync.Mutex
	var unavailable []string
	seen := map[string]bool{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for event := range watched.ResultChan() {
			service, ok := event.Object.(*unstructured.Unstructured)
			if !ok {
				continue
			}
			mutex.Lock()
			seen[service.GetName()] = true
			if status := available(service); ours(service.GetName()) && status != "True" {
				unavailable = append(unavailable, fmt.Sprintf("%s: %s", service.GetName(), status))
			}
			mutex.Unlock()
		}
	}()
	await.True(t, "the watch has begun", func() bool {
		mutex.Lock()
		defer mutex.Unlock()
		return seen[stage.APIServices()[0]] && seen[stage.APIServices()[1]]
	})
	return func() []string {
		watched.Stop()
		<-ended
		return unavailable
	}
}

func ours(name string) bool { return name == stage.APIServices()[0] || name == stage.APIServices()[1] }

func available(service *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(service.Object, "status", "conditions")
	for _, entry := range conditions {
		if condition, ok := entry.(map[string]any); ok && condition["type"] == "Available" {
			return fmt.Sprint(condition["status"])
		}
	}
	return "unknown"
}
