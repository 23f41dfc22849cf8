package record

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// KubernetesOptions say how audit events of one sender become records.
type KubernetesOptions struct {
	// Cluster is the sender's name; empty means OwnCluster.
	Cluster string
	// OwnCluster is the name of the cluster that the server itself serves.
	OwnCluster string
	// TrustedProxies are passed over when the source of a request is looked
	// for.
	TrustedProxies []netip.Prefix
	// StoreBodies keeps request and response bodies of up to MaxDetailsBytes,
	// scrubbed, in the details.
	StoreBodies bool
	// OwnUsernames are the server's own accounts in its own cluster. What
	// they do of themselves with every query is left out, see SkipOwn.
	OwnUsernames []string
}

func (o KubernetesOptions) cluster() string {
	if o.Cluster == "" {
		return o.OwnCluster
	}
	return o.Cluster
}

// Skip says why a sound event gives no record.
type Skip string

// The reasons for which an event gives no record.
const (
	// SkipNone: there are records.
	SkipNone Skip = ""
	// SkipStage: another event of the same request gives the record.
	SkipStage Skip = "stage"
	// SkipOwn: the server's own write of an AuditQuery's status, its lease
	// or its TokenReview. With them stored, no broad query would ever settle.
	SkipOwn Skip = "own"
)

// Values of AuthAudit's event_name and stage, and of both kinds' result.
const (
	EventToken                 = "Token"
	EventAuthenticationRequest = "Authentication Request"

	OutcomeSuccess = "Success"
	OutcomeDenied  = "Denied"
	OutcomeFailure = "Failure"
)

// MalformedEventError says what makes an event unusable.
type MalformedEventError struct {
	// Field is the event's member, as audit.k8s.io/v1 names it.
	Field string
	// Problem completes the sentence that begins with Field.
	Problem string
}

func (e *MalformedEventError) Error() string {
	return fmt.Sprintf("malformed audit event: %s %s", e.Field, e.Problem)
}

// KubernetesRecords returns what is stored of an audit.k8s.io/v1 event: nothing
// (with the reason), an *Audit, or an *Audit and an *AuthAudit. Records have
// their identity but are not normalised; secrets are scrubbed. They do not
// depend on how the event arrived, so an event that is delivered by the webhook
// and imported from a file is one record. The error is a *MalformedEventError.
func KubernetesRecords(event *auditv1.Event, options KubernetesOptions) ([]Record, Skip, error) {
	records, _, skip, err := kubernetesRecords(event, options)
	return records, skip, err
}

// maxKeptDocument is the largest document whose memory PrepareEvent uses again.
const maxKeptDocument = 8 << 10

// PrepareEvent is KubernetesRecords, Normalize and PrepareOver one after the other.
// It writes over the list that it is given and what that holds.
func PrepareEvent(
	list []Prepared, event *auditv1.Event, options KubernetesOptions, ingested time.Time,
) ([]Prepared, Skip, error) {
	records, canonical, skip, err := kubernetesRecords(event, options)
	kept := list[:cap(list)]
	list = list[:0]
	for i, r := range records {
		var p Prepared
		if i < len(kept) && cap(kept[i].Document) <= maxKeptDocument {
			p = kept[i]
		}
		normalize(r, ingested, canonical)
		list = append(list, PrepareOver(p, r))
	}
	return list, skip, err
}

// kubernetesRecords is KubernetesRecords, and tells whether the details are in
// canonical form for sure: they are what most of normalising would look at.
func kubernetesRecords(event *auditv1.Event, options KubernetesOptions) ([]Record, bool, Skip, error) {
	if err := checkEvent(event); err != nil {
		return nil, false, SkipNone, err
	}
	if !hasRecord(event) {
		return nil, false, SkipStage, nil
	}
	if isOwn(event, options) {
		return nil, false, SkipOwn, nil
	}
	e := eventReader{Event: event, options: options}
	details, canonical := e.writeDetails()
	e.details = details
	records := []Record{e.audit()}
	if name := e.authEventName(); name != "" {
		records = append(records, e.authAudit(name))
	}
	return records, canonical, SkipNone, nil
}

// eventReader answers questions about a checked event.
type eventReader struct {
	*auditv1.Event
	options KubernetesOptions
	// details are those of each of its records.
	details []byte
}

func checkEvent(event *auditv1.Event) error {
	switch {
	case event.Kind != "" && event.Kind != "Event":
		return &MalformedEventError{Field: "kind", Problem: fmt.Sprintf("is %q, not Event", clip(event.Kind))}
	case event.APIVersion != "" && event.APIVersion != auditv1.SchemeGroupVersion.String():
		return &MalformedEventError{Field: "apiVersion",
			Problem: fmt.Sprintf("is %q, not %s", clip(event.APIVersion), auditv1.SchemeGroupVersion)}
	case event.AuditID == "":
		return &MalformedEventError{Field: "auditID", Problem: "is missing"}
	case event.Stage == "":
		return &MalformedEventError{Field: "stage", Problem: "is missing"}
	case !slices.Contains(stages(), event.Stage):
		return &MalformedEventError{Field: "stage", Problem: fmt.Sprintf("is %q, which is no stage", clip(string(event.Stage)))}
	case event.RequestReceivedTimestamp.IsZero() && event.StageTimestamp.IsZero():
		return &MalformedEventError{Field: "requestReceivedTimestamp", Problem: "is missing, and so is stageTimestamp"}
	default:
		return nil
	}
}

func stages() []auditv1.Stage {
	return []auditv1.Stage{auditv1.StageRequestReceived, auditv1.StageResponseStarted,
		auditv1.StageResponseComplete, auditv1.StagePanic}
}

// hasRecord tells whether the event's stage ends what there is to say: the end
// of a request, or a start that nothing follows soon. A failed authentication
// ends at ResponseStarted; a session can last for days after it.
func hasRecord(event *auditv1.Event) bool {
	switch event.Stage {
	case auditv1.StageResponseComplete, auditv1.StagePanic:
		return true
	case auditv1.StageResponseStarted:
		return responseCode(event) == 401 || isSession(event)
	default:
		return false
	}
}

// isSession tells whether the request opens a connection into a container, or
// through a proxy. Its verb is create, get or another, by the HTTP method; what
// RBAC and API installation call connect never appears in events of today.
func isSession(event *auditv1.Event) bool {
	if event.ObjectRef == nil {
		return false
	}
	switch event.ObjectRef.Subresource {
	case "exec", "attach", "portforward", "proxy":
		return true
	default:
		return false
	}
}

// isOwn tells whether the event is what the server does of itself. Only its
// own cluster can vouch for the user's name.
func isOwn(event *auditv1.Event, options KubernetesOptions) bool {
	if options.cluster() != options.OwnCluster || event.ObjectRef == nil || event.ImpersonatedUser != nil ||
		!slices.Contains(options.OwnUsernames, event.User.Username) {
		return false
	}
	ref := event.ObjectRef
	switch {
	case ref.APIGroup == "auditquery.dev" && ref.Subresource == "status":
		return (ref.Resource == "auditqueries" || ref.Resource == "clusterauditqueries") &&
			(event.Verb == "update" || event.Verb == "patch")
	case ref.APIGroup == "coordination.k8s.io" && ref.Resource == "leases":
		return true
	case isTokenReview(event):
		return true
	default:
		return false
	}
}

func isTokenReview(event *auditv1.Event) bool {
	ref := event.ObjectRef
	return ref != nil && ref.APIGroup == "authentication.k8s.io" && ref.Resource == "tokenreviews" &&
		ref.Subresource == "" && event.Verb == "create"
}

func isTokenRequest(event *auditv1.Event) bool {
	ref := event.ObjectRef
	return ref != nil && ref.APIGroup == "" && ref.Resource == "serviceaccounts" &&
		ref.Subresource == "token" && event.Verb == "create"
}

func responseCode(event *auditv1.Event) int64 {
	if event.ResponseStatus == nil {
		return 0
	}
	return int64(event.ResponseStatus.Code)
}
