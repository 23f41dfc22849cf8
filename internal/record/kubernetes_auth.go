package record

import (
	"encoding/base64"
	stdjson "encoding/json"
	"strings"

	authnv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// upstreamKubernetes is the identity provider of what Kubernetes vouches for.
const upstreamKubernetes = "kubernetes"

// authEventName names the step of authentication that an event is, empty if it
// is none.
func (e eventReader) authEventName() string {
	switch {
	case responseCode(e.Event) == 401, isTokenReview(e.Event):
		return EventAuthenticationRequest
	case isTokenRequest(e.Event):
		return EventToken
	default:
		return ""
	}
}

// authAudit fills, beside the common fields: who asked as user_id; whose token
// it is, as far as the event says, as upstream_user_id, with its namespace as
// login_org_id; the token's own id as token_id. A TokenReview says whose token
// it was only at level RequestResponse; below it the result is that of the call.
func (e eventReader) authAudit(name string) *AuthAudit {
	common := e.common(KindAuthAudit)
	a := &AuthAudit{
		Common:          common,
		OrgName:         e.namespace(),
		EventName:       name,
		Stage:           name,
		Result:          e.outcome(),
		RequestID:       string(e.AuditID),
		ApplicationName: product(common.UserAgent),
	}
	switch {
	case responseCode(e.Event) == 401:
		a.LoginOrgID, a.LoginOrgName = common.OrgID, e.namespace()
	case name == EventToken:
		e.fillTokenRequest(a)
	default:
		e.fillTokenReview(a)
	}
	a.Event = a.Result
	return a
}

func (e eventReader) fillTokenRequest(a *AuthAudit) {
	ref := e.ObjectRef
	a.TokenID = e.issuedTokenID()
	if ref.Name != "" {
		a.UpstreamUserID = serviceAccountPrefix + ref.Namespace + ":" + ref.Name
		a.UpstreamIDP = upstreamKubernetes
	}
	a.LoginOrgID, a.LoginOrgName = e.qualify(ref.Namespace), ref.Namespace
	var response authnv1.TokenRequest
	if readBody(e.ResponseObject, &response) {
		a.Issuer = claimsOf(response.Status.Token).Issuer
		a.ClientID = only(response.Spec.Audiences)
	}
}

func (e eventReader) fillTokenReview(a *AuthAudit) {
	// The caller's own token is not the one that is reviewed.
	a.TokenID = ""
	var response authnv1.TokenReview
	if !readBody(e.ResponseObject, &response) || a.Result != OutcomeSuccess {
		return
	}
	if !response.Status.Authenticated {
		// Its claims are anybody's word.
		a.Result = OutcomeDenied
		return
	}
	user := response.Status.User
	a.UpstreamUserID, a.UpstreamIDP = user.Username, upstreamKubernetes
	a.TokenID = credentialID(user)
	a.ClientID = only(response.Status.Audiences)
	a.Issuer = claimsOf(response.Spec.Token).Issuer
	if account, ok := strings.CutPrefix(user.Username, serviceAccountPrefix); ok {
		namespace, _, _ := strings.Cut(account, ":")
		a.LoginOrgID, a.LoginOrgName = e.qualify(namespace), namespace
	}
}

// readBody decodes a body if there is one of the expected shape. Bodies are
// beside the point of an event, so one that is not is like none.
func readBody(object *runtime.Unknown, into any) bool {
	return object != nil && len(object.Raw) > 0 && len(object.Raw) <= MaxDetailsBytes &&
		stdjson.Unmarshal(object.Raw, into) == nil
}

type claims struct {
	Issuer string `json:"iss"`
}

// claimsOf reads the claims of a token that the API server has just issued or
// accepted, so there is nothing left to verify.
func claimsOf(token string) claims {
	var c claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || stdjson.Unmarshal(payload, &c) != nil {
		return claims{}
	}
	return c
}

// only returns the one element of a list. Which of several audiences a client
// would log in to is not ours to choose.
func only(list []string) string {
	if len(list) != 1 {
		return ""
	}
	return list[0]
}

// product is the program's name in a user agent: kubectl of kubectl/v1.37.2 (…).
func product(userAgent string) string {
	name, _, _ := strings.Cut(userAgent, "/")
	if strings.ContainsAny(name, " (") {
		return ""
	}
	return name
}
