package apiserver

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	recordsopenapi "auditquery.dev/auditquery/api/records/openapi"
	"auditquery.dev/auditquery/internal/apiserver/registry"
)

// informerResync is how often informers compare anew; they miss nothing without.
const informerResync = 10 * time.Minute

// Tenancy says who may see what. Methods may be called from several goroutines.
type Tenancy interface {
	registry.Scopes
	Claimants
}

// Dependencies are what only the program knows. All but REST are required.
type Dependencies struct {
	Reader  registry.Reader
	Cursors registry.Cursors
	Tenancy Tenancy
	// Cluster says how to reach the API server of the cluster, for priority and
	// fairness. It is copied.
	Cluster *rest.Config
	// Lists bounds the lists in flight, those of REST as well; see NewLists.
	Lists *Lists
	// REST serves the original API's lists; nil leaves their group out.
	REST http.Handler
	// Now is the clock of time expressions.
	Now func() time.Time
	// Version is the program's, for OpenAPI.
	Version string
}

func (d Dependencies) validate() error {
	var missing []error
	for name, absent := range map[string]bool{
		"Reader": d.Reader == nil, "Cursors": d.Cursors == nil, "Tenancy": d.Tenancy == nil,
		"Cluster": d.Cluster == nil, "Lists": d.Lists == nil, "Now": d.Now == nil,
	} {
		if absent {
			missing = append(missing, fmt.Errorf("the API server was given no %s", name))
		}
	}
	return errors.Join(missing...)
}

// Config is what a server is made of.
type Config struct {
	generic      *genericapiserver.Config
	informers    informers.SharedInformerFactory
	api          *api
	dependencies Dependencies
	storeTimeout time.Duration
}

// Config applies the options. They must be valid.
func (o *Options) Config(d Dependencies) (*Config, error) {
	if err := d.validate(); err != nil {
		return nil, err
	}
	api, err := newAPI()
	if err != nil {
		return nil, fmt.Errorf("the served API: %w", err)
	}
	generic := genericapiserver.NewConfig(api.codecs.CodecFactory)
	if err := o.Server.ApplyTo(generic); err != nil {
		return nil, err
	}
	c := &Config{generic: generic, api: api, dependencies: d, storeTimeout: o.StoreTimeout}
	c.describe()
	if err := o.applyServing(generic); err != nil {
		return nil, err
	}
	if err := c.applyFeatures(o); err != nil {
		return nil, err
	}
	return c, nil
}

// describe sets what /openapi/v2 and /openapi/v3 say.
func (c *Config) describe() {
	definitions := openapi.NewDefinitionNamer(c.api.scheme)
	c.generic.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(recordsopenapi.GetOpenAPIDefinitions, definitions)
	c.generic.OpenAPIConfig.Info.Title = "AuditQuery"
	c.generic.OpenAPIConfig.Info.Version = c.dependencies.Version
	c.generic.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(recordsopenapi.GetOpenAPIDefinitions, definitions)
	c.generic.OpenAPIV3Config.Info.Title = "AuditQuery"
	c.generic.OpenAPIV3Config.Info.Version = c.dependencies.Version
}

func (o *Options) applyServing(generic *genericapiserver.Config) error {
	if err := o.Serving.ApplyToConfig(generic); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	if err := o.Authentication.ApplyTo(&generic.Authentication, generic.SecureServing, generic.OpenAPIConfig); err != nil {
		return fmt.Errorf("delegated authentication: %w", err)
	}
	if err := o.Authorization.ApplyTo(&generic.Authorization); err != nil {
		return fmt.Errorf("delegated authorization: %w", err)
	}
	if err := o.Audit.ApplyTo(generic); err != nil {
		return fmt.Errorf("audit of this server: %w", err)
	}
	return nil
}

// applyFeatures turns priority and fairness on, with a client and informers that
// serve it alone.
func (c *Config) applyFeatures(o *Options) error {
	client, err := kubernetes.NewForConfig(rest.CopyConfig(c.dependencies.Cluster))
	if err != nil {
		return fmt.Errorf("a client for priority and fairness: %w", err)
	}
	c.informers = informers.NewSharedInformerFactory(client, informerResync)
	if err := o.Features.ApplyTo(c.generic, client, c.informers); err != nil {
		return fmt.Errorf("priority and fairness: %w", err)
	}
	return nil
}

// CompletedConfig is a Config that was completed.
type CompletedConfig struct{ *completedConfig }

type completedConfig struct {
	*Config
	completed genericapiserver.CompletedConfig
	leaving   *leaving
}

// Complete fills in what follows from the rest.
func (c *Config) Complete() CompletedConfig {
	resolver := &resolver{inner: genericapiserver.NewRequestInfoResolver(c.generic), claimants: c.dependencies.Tenancy}
	c.generic.RequestInfoResolver = resolver
	codecs, lists, leaves := c.api.codecs, c.dependencies.Lists, &leaving{}
	c.generic.BuildHandlerChainFunc = func(handler http.Handler, generic *genericapiserver.Config) http.Handler {
		bounded := boundLists(handler, lists, codecs)
		leaves.next = &gate{resolver: resolver, codecs: codecs, next: genericapiserver.DefaultBuildHandlerChain(bounded, generic)}
		return leaves
	}
	return CompletedConfig{&completedConfig{Config: c, completed: c.generic.Complete(c.informers), leaving: leaves}}
}
