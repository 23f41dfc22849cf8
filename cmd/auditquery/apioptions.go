package main

import (
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"auditquery.dev/auditquery/internal/apiserver"
	auditrest "auditquery.dev/auditquery/internal/rest"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/internal/tenancy/sliced"
)

// apiOptions say how records are served.
type apiOptions struct{ *apiserver.Options }

func newAPIOptions() *apiOptions { return &apiOptions{Options: apiserver.NewOptions()} }

// apiParts are what the API server is made of.
type apiParts struct {
	reader    *sliced.Reader
	cursors   *store.Cursors
	directory *tenancy.Directory
	log       logr.Logger
}

// complete asks the cluster how to authenticate its requests.
func (o *apiOptions) complete(kubeconfig string, config *rest.Config, parts apiParts) (*apiserver.Server, error) {
	lists := apiserver.NewLists(o.Lists)
	original, err := auditrest.New(auditrest.Options{
		Store: parts.reader, Cursors: parts.cursors, Tenancy: parts.directory, Gate: lists,
		Metrics: ctrlmetrics.Registry, StoreTimeout: o.StoreTimeout, Log: parts.log,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the original API: %w", err)
	}
	o.UseKubeconfig(kubeconfig)
	api, err := o.Config(apiserver.Dependencies{
		Reader: parts.reader, Cursors: parts.cursors, Tenancy: parts.directory, Cluster: config,
		Lists: lists, REST: original, Now: time.Now, Version: version,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the API server: %w", err)
	}
	server, err := api.Complete().New()
	if err != nil {
		return nil, fmt.Errorf("set up the API server: %w", err)
	}
	return server, nil
}
