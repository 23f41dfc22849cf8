package apiserver

import (
	"net/http"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// restDocumentPath is where the original API's OpenAPI document is.
const restDocumentPath = "/openapi/rest.json"

// installREST mounts the original API's lists on the three ways in. Its group
// exists in discovery and names no resources: what lists them is no Kubernetes
// client. The handlers are mounted beside the go-restful container, which would
// take every path below a path of its own.
func installREST(server *genericapiserver.GenericAPIServer, handler http.Handler) {
	version := metav1.GroupVersionForDiscovery{GroupVersion: restGroup + "/" + restVersion, Version: restVersion}
	group := metav1.APIGroup{
		Name: restGroup, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version,
	}
	server.DiscoveryGroupManager.AddGroup(group)
	server.AggregatedDiscoveryGroupManager.AddGroupVersion(restGroup, apidiscoveryv2.APIVersionDiscovery{
		Version: restVersion, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
	})

	mux := server.Handler.NonGoRestfulMux
	mux.Handle("/apis/"+restGroup, discovery.NewAPIGroupHandler(server.Serializer, group))
	mux.Handle(restPrefix, discovery.NewAPIVersionHandler(server.Serializer,
		schema.GroupVersion{Group: restGroup, Version: restVersion},
		discovery.APIResourceListerFunc(func() []metav1.APIResource { return []metav1.APIResource{} })))
	mux.UnlistedHandlePrefix(restPrefix+"/", handler)
	mux.UnlistedHandlePrefix(restOwnPrefix, handler)
	mux.UnlistedHandle(restDocumentPath, handler)
}
