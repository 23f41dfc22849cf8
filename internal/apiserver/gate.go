package apiserver

import (
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/apiserver/registry"
)

const retryAfterSeconds = 1

// gate stands before everything else, also before authentication: what it refuses
// is refused to everybody alike, and says nothing of any record. It is needed
// where the filters behind it would answer something else: 500 for a request
// whose namespace is not known yet, 403 for a verb that nobody can have.
type gate struct {
	resolver *resolver
	codecs   runtime.NegotiatedSerializer
	next     http.Handler
}

func (g *gate) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	info, err := g.admit(w, req)
	if err != nil {
		responsewriters.ErrorNegotiated(err, g.codecs, schema.GroupVersion{Version: "v1"}, w, req)
		return
	}
	if info != nil {
		ctx := withRequestInfo(req.Context(), info)
		if derived(req.Header) {
			ctx = registry.WithObjects(ctx)
		}
		req = req.WithContext(ctx)
	}
	g.next.ServeHTTP(w, req)
}

// admit returns what the request is about, nil where only the resolver can say
// what is wrong with it, or the error to answer.
func (g *gate) admit(w http.ResponseWriter, req *http.Request) (*request.RequestInfo, error) {
	info, err := g.resolver.resolve(req)
	var repeated *repeatedOrgError
	switch {
	case errors.As(err, &repeated):
		return nil, badParameter(paramOrg, err.Error())
	case errors.Is(err, errBadQuery):
		return nil, apierrors.NewBadRequest(err.Error())
	case err != nil && strings.HasPrefix(req.URL.Path, restOwnPrefix):
		return nil, notReady()
	case err != nil:
		return nil, nil //nolint:nilerr // the resolver is asked again where its error is answered and counted
	case !isRecords(info):
		return info, nil
	}
	switch {
	case info.APIGroup == v1alpha1.Group && req.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		return nil, notAllowed("audit records can only be read: get and list")
	case info.Verb == "watch" && info.APIGroup == v1alpha1.Group:
		w.Header().Set("Allow", http.MethodGet)
		return nil, notAllowed("audit records cannot be watched: list them again with --field-selector from=now-1min, " +
			"or let an AuditQuery with an interval look for them and watch that: kubectl get auditqueries --watch")
	case info.Verb == "watch":
		return nil, badParameter("watch", "records cannot be watched here; ask again with dt_from")
	case !g.resolver.claimants.Ready():
		return nil, notReady()
	}
	return info, nil
}

// derived tells whether a client asks for something that is made of the objects of
// a list, such as a Table.
func derived(header http.Header) bool {
	for _, accept := range header.Values("Accept") {
		if strings.Contains(accept, "as=") {
			return true
		}
	}
	return false
}

// badParameter refuses a parameter of the original API, in the words and the form
// in which its handler refuses others: a client sees no difference.
func badParameter(name, message string) error {
	err := apierrors.NewBadRequest(name + ": " + message)
	err.ErrStatus.Details = &metav1.StatusDetails{Causes: []metav1.StatusCause{{
		Type: metav1.CauseTypeFieldValueInvalid, Field: name, Message: message,
	}}}
	return err
}

func notAllowed(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusMethodNotAllowed,
		Reason: metav1.StatusReasonMethodNotAllowed, Message: message,
	}}
}

func notReady() error {
	err := apierrors.NewServiceUnavailable("it is not known yet which records each namespace may see; try again")
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfterSeconds}
	return err
}
