// Package auth says who sends audit records, and what each sender may send.
//
// A sender shows a client certificate or a Bearer token. Certificates are judged
// by what the server was configured with alone, so that a kube-apiserver whose
// cluster is in trouble can still send its events. Tokens are judged by the
// cluster: a TokenReview says whose it is, a SubjectAccessReview what its owner
// may do. Whatever cannot be decided now is an error of its own (Unavailable) and
// never a permission.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

const (
	// Anonymous is the name of a sender that shows nothing.
	Anonymous = "anonymous"
	// EveryOrg in Options.ClientOrgs stands for all organisations, and for
	// records of none.
	EveryOrg = "*"

	// certificatePrefix keeps names of certificates apart from users' names.
	certificatePrefix = "cert:"
	maxNamed          = 100
)

// Claimant says which namespace an organisation's records belong to;
// *tenancy.Directory is one. It may be called concurrently.
type Claimant interface {
	// Claimant returns the namespace that claims an org id. An error means
	// that it is not known now.
	Claimant(orgID string) (string, error)
}

// Options say who may send what. The zero value lets nobody send anything but
// certificates the events of the cluster that they are named after.
type Options struct {
	// Tokens says whose a token is; nil means that tokens are not accepted.
	Tokens authenticator.Token
	// Authorizer says what a token's owner may do. Needed with Tokens.
	Authorizer authorizer.Authorizer
	// Claimant is needed with Tokens.
	Claimant Claimant
	// ClientClusters names, by a certificate's common name, the clusters whose
	// events it may send. A name that is not in it may send those of the
	// cluster of the same name alone.
	ClientClusters map[string][]string
	// ClientOrgs names, by a certificate's common name, the organisations whose
	// records it may write, or EveryOrg. A name that is not in it may write
	// none.
	ClientOrgs map[string][]string
	// AllowAnonymous lets whoever reaches the server write the records of every
	// organisation. Events of a cluster still need a certificate or a token.
	AllowAnonymous bool
}

// Senders knows who may send what. It is safe for concurrent use.
type Senders struct{ options Options }

// New checks the options.
func New(options Options) (*Senders, error) {
	if options.Tokens != nil && (options.Authorizer == nil || options.Claimant == nil) {
		return nil, errors.New("tokens need an authorizer, and somebody who knows which namespace claims an organisation")
	}
	return &Senders{options: options}, nil
}

// Sender is who sent a request.
type Sender struct {
	// Name identifies the sender in record ids and in names of sources: cert:CN
	// for a certificate, a user's name for a token, or Anonymous.
	Name string

	certificate bool
	commonName  string
	user        user.Info // nil unless a token was shown
}

// Identify says who sent a request. A token counts before a certificate. The
// error is an *Error, Unauthenticated or Unavailable.
func (s *Senders) Identify(req *http.Request) (Sender, error) {
	if header := req.Header.Get("Authorization"); header != "" {
		return s.byToken(req.Context(), header)
	}
	if req.TLS != nil && len(req.TLS.VerifiedChains) > 0 {
		name := req.TLS.VerifiedChains[0][0].Subject.CommonName
		return Sender{Name: certificatePrefix + name, certificate: true, commonName: name}, nil
	}
	if s.options.AllowAnonymous {
		return Sender{Name: Anonymous}, nil
	}
	if s.options.Tokens == nil {
		return Sender{}, unauthenticated("a client certificate is needed")
	}
	return Sender{}, unauthenticated("a client certificate or a Bearer token is needed")
}

func (s *Senders) byToken(ctx context.Context, header string) (Sender, error) {
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	switch {
	case !strings.EqualFold(scheme, "Bearer") || token == "":
		return Sender{}, unauthenticated("the Authorization header must be: Bearer TOKEN")
	case s.options.Tokens == nil:
		return Sender{}, unauthenticated("tokens are not accepted here: show a client certificate")
	}
	response, ok, err := s.options.Tokens.AuthenticateToken(ctx, token)
	switch {
	case ok && err == nil && response != nil && response.User != nil && response.User.GetName() != "":
		return Sender{Name: response.User.GetName(), user: response.User}, nil
	case err != nil && isOutage(err):
		return Sender{}, unavailable("it cannot be found out now whose the token is", err)
	default:
		return Sender{}, unauthenticated("the token is not valid")
	}
}

// ClusterOf returns the cluster whose events a request without a cluster in its
// path holds: the one that it asks for, else the only one that its certificate
// may send for. The error is an *Error.
func (s *Senders) ClusterOf(sender Sender, asked string) (string, error) {
	if asked != "" {
		return asked, nil
	}
	if sender.certificate {
		if clusters := s.clustersOf(sender); len(clusters) == 1 {
			return clusters[0], nil
		}
	}
	return "", forbidden("it is not clear of which cluster the event is: name it in the URL, as ?cluster=NAME")
}

func (s *Senders) clustersOf(sender Sender) []string {
	if mapped, ok := s.options.ClientClusters[sender.commonName]; ok {
		return mapped
	}
	if sender.commonName == "" {
		return nil
	}
	return []string{sender.commonName}
}

// Permissions decide what one request's sender may send. Each question is asked
// once, and its answer kept for as long as the request lasts. They belong to one
// goroutine.
type Permissions struct {
	senders    *Senders
	sender     Sender
	clusters   map[string]error
	namespaces map[string]error
}

// Permissions returns those of a sender.
func (s *Senders) Permissions(sender Sender) *Permissions {
	return &Permissions{senders: s, sender: sender, clusters: map[string]error{}, namespaces: map[string]error{}}
}

// MayReport returns nil when the sender may send events of a cluster, else an
// *Error, Forbidden or Unavailable.
func (p *Permissions) MayReport(ctx context.Context, cluster string) error {
	if answer, known := p.clusters[cluster]; known {
		return answer
	}
	answer := p.report(ctx, cluster)
	p.clusters[cluster] = answer
	return answer
}

func (p *Permissions) report(ctx context.Context, cluster string) error {
	switch {
	case p.sender.user != nil:
		return p.authorize(ctx, authorizer.AttributesRecord{Verb: "post", Path: "/ingest/kubernetes/" + cluster},
			fmt.Sprintf("%q may not send events of the cluster %q", cut(p.sender.Name), cut(cluster)))
	case p.sender.certificate && slices.Contains(p.senders.clustersOf(p.sender), cluster):
		return nil
	case p.sender.certificate:
		return forbidden(fmt.Sprintf("the client certificate of %q may not send events of the cluster %q",
			cut(p.sender.commonName), cut(cluster)))
	default:
		return forbidden("events of a cluster need a client certificate or a token")
	}
}

// MayWriteAny returns nil unless it is clear that the sender may write records of
// no organisation at all; then an *Error, Forbidden.
func (p *Permissions) MayWriteAny() error {
	if p.sender.certificate && len(p.senders.options.ClientOrgs[p.sender.commonName]) == 0 {
		return forbidden(fmt.Sprintf("the client certificate of %q may write records of no organisation", cut(p.sender.commonName)))
	}
	return nil
}

// MayWrite returns nil when the sender may write records of an organisation,
// else an *Error, Forbidden or Unavailable.
func (p *Permissions) MayWrite(ctx context.Context, orgID string) error {
	switch {
	case p.sender.user != nil:
		return p.byNamespace(ctx, orgID)
	case !p.sender.certificate:
		return nil // Identify made sure that anonymous senders are wanted
	}
	orgs := p.senders.options.ClientOrgs[p.sender.commonName]
	if slices.Contains(orgs, EveryOrg) || orgID != "" && slices.Contains(orgs, orgID) {
		return nil
	}
	return forbidden(fmt.Sprintf("the client certificate of %q may not write records of the organisation %q",
		cut(p.sender.commonName), cut(orgID)))
}

// byNamespace keeps answers by namespace: a request may name any number of
// organisations, but there are only so many namespaces.
func (p *Permissions) byNamespace(ctx context.Context, orgID string) error {
	namespace, err := p.senders.options.Claimant.Claimant(orgID)
	if err != nil {
		return unavailable("it is not known now which namespace claims the organisation", err)
	}
	allowed, known := p.namespaces[namespace]
	if !known {
		allowed = p.authorize(ctx, authorizer.AttributesRecord{
			Verb: "create", Namespace: namespace, APIGroup: "rest.auditquery.dev", APIVersion: "v1", Resource: "audits", ResourceRequest: true,
		}, fmt.Sprintf("%q may not create audits.rest.auditquery.dev in the namespace %q", cut(p.sender.Name), namespace))
		p.namespaces[namespace] = allowed
	}
	if allowed == nil || !IsForbidden(allowed) {
		return allowed
	}
	return forbidden(fmt.Sprintf("records of the organisation %q: %s", cut(orgID), allowed.Error()))
}

func (p *Permissions) authorize(ctx context.Context, attributes authorizer.AttributesRecord, refusal string) error {
	attributes.User = p.sender.user
	decision, _, err := p.senders.options.Authorizer.Authorize(ctx, attributes)
	switch {
	case err == nil && decision == authorizer.DecisionAllow:
		return nil
	case err != nil && decision != authorizer.DecisionDeny:
		return unavailable("it cannot be found out now what the sender may do", err)
	default:
		return forbidden(refusal)
	}
}
