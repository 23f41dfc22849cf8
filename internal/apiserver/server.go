package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/apiserver/registry"
)

// name is what the server calls itself in its log.
const name = "auditquery"

// Server is an API server that is ready to run.
type Server struct {
	generic *genericapiserver.GenericAPIServer
	leaving *leaving
}

// New makes the server.
func (c CompletedConfig) New() (*Server, error) {
	generic, err := c.completed.New(name, genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	if err := c.installRecords(generic); err != nil {
		return nil, fmt.Errorf("install %s: %w", v1alpha1.Group, err)
	}
	if c.dependencies.REST != nil {
		installREST(generic, c.dependencies.REST)
	}
	// The store is no part of this: what hides our API breaks the whole cluster.
	err = generic.AddReadyzChecks(
		healthz.NamedCheck("tenancy", c.tenancyRead), healthz.NamedCheck("front-proxy", c.frontProxyKnown))
	return &Server{generic: generic, leaving: c.leaving}, err
}

func (c CompletedConfig) tenancyRead(*http.Request) error {
	if !c.dependencies.Tenancy.Ready() {
		return errors.New("tenants and namespaces have not been read yet")
	}
	return nil
}

// frontProxyKnown fails until it is known by which authority the kube-apiserver
// shows itself. Before that, whoever it speaks for would be nobody, and refused.
func (c CompletedConfig) frontProxyKnown(*http.Request) error {
	proxy := c.generic.Authentication.RequestHeaderConfig
	if proxy != nil && len(proxy.CAContentProvider.CurrentCABundleContent()) == 0 {
		return errors.New("it has not been read yet how the kube-apiserver shows itself")
	}
	return nil
}

func (c CompletedConfig) installRecords(generic *genericapiserver.GenericAPIServer) error {
	d := registry.Dependencies{
		Reader: boundedReader{c.dependencies.Reader}, Cursors: c.dependencies.Cursors, Scopes: c.dependencies.Tenancy,
		Now: c.dependencies.Now, Timeout: c.storeTimeout, PlainJSON: c.api.plainJSON,
	}
	audits, err := registry.NewAudits(d)
	if err != nil {
		return err
	}
	authAudits, err := registry.NewAuthAudits(d)
	if err != nil {
		return err
	}
	group := genericapiserver.NewDefaultAPIGroupInfo(v1alpha1.Group, c.api.scheme, c.api.parameters, c.api.codecs.CodecFactory)
	group.NegotiatedSerializer = c.api.codecs
	group.VersionedResourcesStorageMap[v1alpha1.GroupVersion.Version] = map[string]rest.Storage{
		"audits": audits, "authaudits": authAudits,
	}
	return generic.InstallAPIGroup(&group)
}

// Run serves until ctx is done, then until what is in flight is answered.
func (s *Server) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { s.leaving.begun.Store(true) })()
	return s.generic.PrepareRun().RunWithContext(ctx)
}
