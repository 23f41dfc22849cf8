package record

import (
	"net/netip"
	"strings"

	authnv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

const (
	// ClusterOrg is the org of what belongs to no namespace.
	ClusterOrg = "_cluster"
	// AttributeImpersonatedUser is the type of the attribute that names whom
	// the user acted as.
	AttributeImpersonatedUser = "impersonated_user"

	apiCore        = "core"
	apiNonResource = "nonresource"

	credentialIDKey       = "authentication.kubernetes.io/credential-id"
	issuedCredentialIDKey = "authentication.kubernetes.io/issued-credential-id"
	credentialIDPrefix    = "JTI="
)

// Values of actor_type.
const (
	ActorHuman          = "Human"
	ActorServiceAccount = "ServiceAccount"
	ActorNode           = "Node"
	ActorSystem         = "System"
	ActorAnonymous      = "Anonymous"
	ActorUnknown        = "Unknown"
)

const (
	serviceAccountPrefix = "system:serviceaccount:"
	anonymousUser        = "system:anonymous"
)

// common fills what both kinds of record have.
func (e eventReader) common(kind Kind) Common {
	return Common{
		ID:         eventID(kind, e.Event, e.options.cluster()),
		Time:       e.time(),
		SourceType: SourceKubernetes,
		Cluster:    e.options.cluster(),
		OrgID:      e.org(),
		UserID:     e.User.Username,
		ActorType:  actorType(e.User.Username),
		SourceIP:   e.sourceIP(),
		UserAgent:  scrubBounded(e.UserAgent),
		TokenID:    credentialID(e.User),
		TraceID:    string(e.AuditID),
		Details:    e.details,
	}
}

func (e eventReader) audit() *Audit {
	common := e.common(KindAudit)
	a := &Audit{
		Common:              common,
		Action:              e.Verb,
		Outcome:             e.outcome(),
		ResponseCode:        responseCode(e.Event),
		APIName:             apiNonResource,
		TargetResourceOrgID: common.OrgID,
		Description:         e.describe(),
	}
	if ref := e.ObjectRef; ref != nil {
		a.APIName = ref.APIGroup
		if a.APIName == "" {
			a.APIName = apiCore
		}
		a.TargetResourceType = withSubresource(ref)
		a.TargetResourceName = scrubBounded(ref.Name)
		a.TargetID = e.targetID()
	}
	if user := e.ImpersonatedUser; user != nil {
		a.Attributes = []Attribute{{Type: AttributeImpersonatedUser, ID: user.Username, Name: user.Username}}
	}
	return a
}

func withSubresource(ref *auditv1.ObjectReference) string {
	if ref.Subresource == "" {
		return ref.Resource
	}
	return ref.Resource + "/" + ref.Subresource
}

// time is when the request came; the time of the stage if that is missing.
func (e eventReader) time() Timestamp {
	if e.RequestReceivedTimestamp.IsZero() {
		return At(e.StageTimestamp.Time)
	}
	return At(e.RequestReceivedTimestamp.Time)
}

// namespace is the namespace that the event belongs to. Objects of the
// resource namespaces belong to themselves: otherwise nobody in one could see
// its deletion.
func (e eventReader) namespace() string {
	ref := e.ObjectRef
	if ref == nil {
		return ""
	}
	if ref.Resource != "namespaces" || ref.APIGroup != "" {
		return ref.Namespace
	}
	switch e.Verb {
	case "list", "watch", "deletecollection": // with a name when a selector has one
		return ""
	default:
		return ref.Name
	}
}

func (e eventReader) org() string { return e.qualify(e.namespace()) }

// qualify makes an org id of a namespace, so that equally named namespaces of
// two clusters are two orgs.
func (e eventReader) qualify(namespace string) string {
	if namespace == "" {
		namespace = ClusterOrg
	}
	if cluster := e.options.cluster(); cluster != e.options.OwnCluster {
		return cluster + "/" + namespace
	}
	return namespace
}

// targetID is the id of a token that was made, else the object's uid or name.
func (e eventReader) targetID() string {
	if id := e.issuedTokenID(); id != "" {
		return id
	}
	if e.ObjectRef.UID != "" {
		return string(e.ObjectRef.UID)
	}
	return scrubBounded(e.ObjectRef.Name)
}

func (e eventReader) issuedTokenID() string {
	if !isTokenRequest(e.Event) {
		return ""
	}
	return strings.TrimPrefix(e.Annotations[issuedCredentialIDKey], credentialIDPrefix)
}

// outcome is empty when there is no code: then nothing is known of it.
func (e eventReader) outcome() string {
	switch code := responseCode(e.Event); {
	case code == 401 || code == 403:
		return OutcomeDenied
	case code >= 400 || e.Stage == auditv1.StagePanic:
		return OutcomeFailure
	case code == 0:
		return ""
	default:
		return OutcomeSuccess
	}
}

// isDryRun tells whether the request changed nothing, as far as the event shows
// it: deletions say so in their body, which is there from level Request on.
func (e eventReader) isDryRun() bool {
	_, query, _ := strings.Cut(e.RequestURI, "?")
	for parameter := range strings.SplitSeq(query, "&") {
		if parameter == "dryRun=All" {
			return true
		}
	}
	if e.RequestObject == nil || (e.Verb != "delete" && e.Verb != "deletecollection") {
		return false
	}
	var options metav1.DeleteOptions
	return readBody(e.RequestObject, &options) && options.Kind == "DeleteOptions" && len(options.DryRun) > 0
}

// sourceIP is the last address that is not a trusted proxy: the client chooses
// all before it. If all are trusted, a proxy itself asked, and it is the first.
func (e eventReader) sourceIP() string {
	for i := len(e.SourceIPs) - 1; i >= 0; i-- {
		if !isTrusted(e.SourceIPs[i], e.options.TrustedProxies) {
			return e.SourceIPs[i]
		}
	}
	if len(e.SourceIPs) > 0 {
		return e.SourceIPs[0]
	}
	return ""
}

func isTrusted(text string, proxies []netip.Prefix) bool {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	for _, proxy := range proxies {
		if proxy.Contains(addr) {
			return true
		}
	}
	return false
}

// credentialID is the id of the token that the user showed. Other forms, such
// as a certificate's fingerprint, stay in the details.
func credentialID(user authnv1.UserInfo) string {
	for _, value := range user.Extra[credentialIDKey] {
		if id, ok := strings.CutPrefix(value, credentialIDPrefix); ok {
			return id
		}
	}
	return ""
}

func actorType(username string) string {
	switch {
	case username == "":
		return ActorUnknown
	case username == anonymousUser:
		return ActorAnonymous
	case strings.HasPrefix(username, serviceAccountPrefix):
		return ActorServiceAccount
	case strings.HasPrefix(username, "system:node:"):
		return ActorNode
	case strings.HasPrefix(username, "system:"):
		return ActorSystem
	default:
		return ActorHuman
	}
}
