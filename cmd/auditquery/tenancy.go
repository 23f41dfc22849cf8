package main

import (
	"fmt"
	"maps"

	"github.com/prometheus/client_golang/prometheus"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/controllers/auditquery"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/internal/tenancy/feed"
)

// cacheOptions are those of every part that reads from the manager's cache.
func cacheOptions() map[client.Object]cache.ByObject {
	all := feed.CacheOptions()
	maps.Copy(all, auditquery.CacheOptions())
	return all
}

// newDirectory returns what every role asks who may see what. It is fed from the
// manager's cache.
func newDirectory(mgr ctrl.Manager, registry prometheus.Registerer) (*tenancy.Directory, error) {
	directory := tenancy.NewDirectory()
	if err := mgr.Add(feed.New(directory, mgr.GetCache())); err != nil {
		return nil, fmt.Errorf("set up who may see what: %w", err)
	}
	if err := registry.Register(feed.NewCollector(directory)); err != nil {
		return nil, fmt.Errorf("metrics of who may see what: %w", err)
	}
	return directory, nil
}
