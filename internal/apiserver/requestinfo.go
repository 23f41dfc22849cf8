package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apiserver/pkg/endpoints/request"

	"auditquery.dev/auditquery/api/records/v1alpha1"
)

// The group of the original API's lists, and their paths on the server's own
// address.
const (
	restGroup     = "rest.auditquery.dev"
	restVersion   = "v1"
	restOwnPrefix = "/" + restVersion + "/"
	restPrefix    = "/apis/" + restGroup + "/" + restVersion
	paramOrg      = "org_id"
)

func isRESTResource(name string) bool { return name == "audits" || name == "auth_audits" }

// Claimants says who owns what an org id names.
type Claimants interface {
	// Claimant returns the namespace that claims an org id, the system namespace
	// if none does. An error means that it is not known now.
	Claimant(orgID string) (namespace string, err error)
	// Ready tells whether tenants and namespaces are known.
	Ready() bool
}

// resolver says what a request is about, so that one authorization serves every
// way in: a list on the server's own address is the list in the namespace that
// claims the organisation that is asked for, or in all.
type resolver struct {
	inner     request.RequestInfoResolver
	claimants Claimants
}

var _ request.RequestInfoResolver = (*resolver)(nil)

var errBadQuery = errors.New("the query string cannot be read; write % as %25 and ; as %3B")

// repeatedOrgError means that an organisation is named so many times, where the one
// that is named decides which permission is needed.
type repeatedOrgError struct{ times int }

func (e *repeatedOrgError) Error() string {
	return fmt.Sprintf("it is given %d times, and may be given once", e.times)
}

// NewRequestInfo returns what gate found out, or finds it out.
func (r *resolver) NewRequestInfo(req *http.Request) (*request.RequestInfo, error) {
	if info, ok := req.Context().Value(requestInfoKey{}).(*request.RequestInfo); ok {
		return info, nil
	}
	return r.resolve(req)
}

type requestInfoKey struct{}

// withRequestInfo carries what gate found out to the resolver, which may not
// answer a request: an error of it is a 500.
func withRequestInfo(ctx context.Context, info *request.RequestInfo) context.Context {
	return context.WithValue(ctx, requestInfoKey{}, info)
}

func (r *resolver) resolve(req *http.Request) (*request.RequestInfo, error) {
	if resource, own := strings.CutPrefix(req.URL.Path, restOwnPrefix); own && isRESTResource(resource) {
		return r.ownList(req, resource)
	}
	info, err := r.inner.NewRequestInfo(req)
	if err != nil {
		return nil, err
	}
	if info.IsResourceRequest && info.APIGroup == restGroup && req.Method != http.MethodGet {
		// There is one permission: list. HEAD needs it as GET does, and what no
		// method allows is told to whoever has it.
		info.Verb = "list"
	}
	return info, nil
}

// ownList is a list on the server's own address.
func (r *resolver) ownList(req *http.Request, resource string) (*request.RequestInfo, error) {
	// What Go's parser leaves out, another might read: then the permission asked
	// for would be that of another request.
	parameters, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return nil, errBadQuery
	}
	info := &request.RequestInfo{
		IsResourceRequest: true, Path: req.URL.Path, Verb: "list",
		APIPrefix: "apis", APIGroup: restGroup, APIVersion: restVersion,
		Resource: resource, Parts: []string{resource},
	}
	switch orgs := parameters[paramOrg]; {
	case len(orgs) > 1:
		return nil, &repeatedOrgError{times: len(orgs)}
	case len(orgs) == 1 && orgs[0] != "":
		if info.Namespace, err = r.claimants.Claimant(orgs[0]); err != nil {
			return nil, fmt.Errorf("who claims the organisation: %w", err)
		}
		if info.Namespace == "" {
			return nil, errors.New("who claims the organisation: nobody was named")
		}
	}
	return info, nil
}

// isRecords tells whether a request is about served records.
func isRecords(info *request.RequestInfo) bool {
	return info.IsResourceRequest && (info.APIGroup == v1alpha1.Group || info.APIGroup == restGroup)
}
