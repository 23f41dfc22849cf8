package rest

import (
	"errors"
	"net/http"
	"strings"

	"k8s.io/apiserver/pkg/endpoints/request"
)

// Where the handler answers.
const (
	// Group and Version name the API through a kube-apiserver.
	Group   = "rest.auditquery.dev"
	Version = "v1"
	// GroupPrefix is the path through a kube-apiserver: the two lists of the
	// whole cluster, and below namespaces/NAMESPACE those of a namespace.
	GroupPrefix = "/apis/" + Group + "/" + Version + "/"
	// OwnPrefix is the path on the server's own address.
	OwnPrefix = "/" + Version + "/"
	// DocumentPath is where the OpenAPI document is. The role
	// system:discovery lets every authenticated user read below /openapi.
	DocumentPath = "/openapi/rest.json"
)

// place is what a path names.
type place struct {
	resource string
	// namespace is the path's; "" for the whole cluster. On the server's own
	// address (own) the path has none, and that of the request decides.
	namespace string
	own       bool
}

// placeOf reads a path; false for one that names no list.
func placeOf(path string) (place, bool) {
	if resource, ok := strings.CutPrefix(path, OwnPrefix); ok {
		return place{resource: resource, own: true}, isList(resource)
	}
	rest, ok := strings.CutPrefix(path, GroupPrefix)
	if !ok {
		return place{}, false
	}
	below, ok := strings.CutPrefix(rest, "namespaces/")
	if !ok {
		return place{resource: rest}, isList(rest)
	}
	namespace, resource, _ := strings.Cut(below, "/")
	return place{resource: resource, namespace: namespace}, namespace != "" && isList(resource)
}

func isList(resource string) bool { return resource == "audits" || resource == "auth_audits" }

var (
	errNoRequestInfo    = errors.New("the request holds no RequestInfo")
	errWrongRequestInfo = errors.New("the request was authorized for something else than its path")
)

// authorizedFor returns the namespace that the request was authorized for, ""
// for the whole cluster. Anything that the authorizer saw otherwise than we do
// is refused, so that nobody reads more than was allowed.
func authorizedFor(r *http.Request, p place) (string, error) {
	info, ok := request.RequestInfoFrom(r.Context())
	switch {
	case !ok:
		return "", internal(errNoRequestInfo)
	case info.Verb == "watch":
		return "", badRequest("watch", "records cannot be watched here; ask again with dt_from")
	case !info.IsResourceRequest, info.Verb != "list", info.APIGroup != Group, info.Resource != p.resource,
		info.Subresource != "", !p.own && info.Namespace != p.namespace:
		return "", internal(errWrongRequestInfo)
	// The permission may be for what these select only.
	case info.Name != "", info.FieldSelector != "":
		return "", badRequest("fieldSelector", noSelectors)
	case info.LabelSelector != "":
		return "", badRequest("labelSelector", noSelectors)
	}
	return info.Namespace, nil
}
