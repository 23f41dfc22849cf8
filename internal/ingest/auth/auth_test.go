package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

type claims map[string]string

func (c claims) Claimant(orgID string) (string, error) { return c[orgID], nil }

func reviewing(ok bool, name string, err error) authenticator.Token {
	return authenticator.TokenFunc(func(context.Context, string) (*authenticator.Response, bool, error) {
		return &authenticator.Response{User: &user.DefaultInfo{Name: name}}, ok, err
	})
}

func deciding(decision authorizer.Decision, err error) authorizer.Authorizer {
	return authorizer.AuthorizerFunc(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
		return decision, "", err
	})
}

func senders(t *testing.T, options Options) *Senders {
	t.Helper()
	if options.Tokens != nil && options.Authorizer == nil {
		options.Authorizer = deciding(authorizer.DecisionAllow, nil)
	}
	options.Claimant = claims{}
	s, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func incoming(header, commonName string) *http.Request {
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	req.TLS = &tls.ConnectionState{}
	if commonName != "" {
		req.TLS.VerifiedChains = [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: commonName}}}}
	}
	return req
}

func reasonOf(err error) Reason {
	var failure *Error
	if errors.As(err, &failure) {
		return failure.Reason
	}
	return 0
}

func TestIdentify(t *testing.T) {
	missing := apierrors.NewForbidden(schema.GroupResource{Resource: "tokenreviews"}, "", errors.New("no role"))
	for name, test := range map[string]struct {
		header, commonName string
		options            Options
		wantName           string
		wantReason         Reason
	}{
		"a certificate":                     {commonName: "prod", wantName: "cert:prod"},
		"a token":                           {header: "Bearer x", options: Options{Tokens: reviewing(true, "ann", nil)}, wantName: "ann"},
		"a token before a certificate":      {header: "bearer  x", commonName: "prod", options: Options{Tokens: reviewing(true, "ann", nil)}, wantName: "ann"},
		"a user who is called as one":       {header: "Bearer x", options: Options{Tokens: reviewing(true, "", nil)}, wantReason: Unauthenticated},
		"a token that is not accepted":      {header: "Bearer x", commonName: "prod", wantReason: Unauthenticated},
		"a token that is not good":          {header: "Bearer x", options: Options{Tokens: reviewing(false, "ann", nil)}, wantReason: Unauthenticated},
		"a token with a word why not":       {header: "Bearer x", options: Options{Tokens: reviewing(false, "ann", errors.New("expired"))}, wantReason: Unauthenticated},
		"another scheme":                    {header: "Basic x", options: Options{Tokens: reviewing(true, "ann", nil)}, wantReason: Unauthenticated},
		"no token after the scheme":         {header: "Bearer ", options: Options{Tokens: reviewing(true, "ann", nil)}, wantReason: Unauthenticated},
		"a review that fails":               {header: "Bearer x", options: Options{Tokens: reviewing(true, "ann", &url.Error{Op: "Post", Err: errors.New("refused")})}, wantReason: Unavailable},
		"a review that may not be asked":    {header: "Bearer x", options: Options{Tokens: reviewing(false, "", missing)}, wantReason: Unavailable},
		"a review that takes too long":      {header: "Bearer x", options: Options{Tokens: reviewing(false, "", fmt.Errorf("review: %w", context.DeadlineExceeded))}, wantReason: Unavailable},
		"nothing":                           {wantReason: Unauthenticated},
		"nothing, where that is wanted":     {options: Options{AllowAnonymous: true}, wantName: Anonymous},
		"a bad token, where nothing is one": {header: "Bearer x", options: Options{AllowAnonymous: true}, wantReason: Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			sender, err := senders(t, test.options).Identify(incoming(test.header, test.commonName))
			if sender.Name != test.wantName || reasonOf(err) != test.wantReason {
				t.Errorf("%q, %v", sender.Name, err)
			}
		})
	}
}

func TestWhatATokenMayDo(t *testing.T) {
	for name, test := range map[string]struct {
		decision   authorizer.Decision
		err        error
		wantReason Reason
	}{
		"it is allowed":                       {decision: authorizer.DecisionAllow},
		"nobody allows it":                    {decision: authorizer.DecisionNoOpinion, wantReason: Forbidden},
		"it is denied":                        {decision: authorizer.DecisionDeny, wantReason: Forbidden},
		"it is denied, and something failed":  {decision: authorizer.DecisionDeny, err: errors.New("odd"), wantReason: Forbidden},
		"it cannot be decided":                {decision: authorizer.DecisionNoOpinion, err: errors.New("refused"), wantReason: Unavailable},
		"it is allowed, and something failed": {decision: authorizer.DecisionAllow, err: errors.New("refused"), wantReason: Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := senders(t, Options{Tokens: reviewing(true, "ann", nil), Authorizer: deciding(test.decision, test.err)})
			sender, err := s.Identify(incoming("Bearer x", ""))
			if err != nil {
				t.Fatal(err)
			}
			permissions := s.Permissions(sender)
			if err := permissions.MayReport(t.Context(), "prod"); reasonOf(err) != test.wantReason {
				t.Errorf("events: %v", err)
			}
			if err := permissions.MayWrite(t.Context(), "org"); reasonOf(err) != test.wantReason {
				t.Errorf("records: %v", err)
			}
		})
	}
}

func TestTheClusterOfARequest(t *testing.T) {
	s := senders(t, Options{Tokens: reviewing(true, "ann", nil), ClientClusters: map[string][]string{"both": {"a", "b"}, "one": {"c"}, "none": {}}})
	for name, test := range map[string]struct {
		header, commonName, asked, want string
		wantReason                      Reason
	}{
		"it is named":                   {commonName: "prod", asked: "test", want: "test"},
		"a certificate of one":          {commonName: "prod", want: "prod"},
		"a certificate that is mapped":  {commonName: "one", want: "c"},
		"a certificate of several":      {commonName: "both", wantReason: Forbidden},
		"a certificate of none":         {commonName: "none", wantReason: Forbidden},
		"a token":                       {header: "Bearer x", wantReason: Forbidden},
		"a token, and the cluster does": {header: "Bearer x", asked: "prod", want: "prod"},
	} {
		t.Run(name, func(t *testing.T) {
			sender, err := s.Identify(incoming(test.header, test.commonName))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.ClusterOf(sender, test.asked); got != test.want || reasonOf(err) != test.wantReason {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestAnonymousSendersWriteRecordsAlone(t *testing.T) {
	s := senders(t, Options{AllowAnonymous: true})
	sender, err := s.Identify(incoming("", ""))
	if err != nil {
		t.Fatal(err)
	}
	permissions := s.Permissions(sender)
	if err := errors.Join(permissions.MayWriteAny(), permissions.MayWrite(t.Context(), "org")); err != nil {
		t.Error(err)
	}
	if err := permissions.MayReport(t.Context(), "prod"); reasonOf(err) != Forbidden {
		t.Errorf("events: %v", err)
	}
}

func TestNamesAreCut(t *testing.T) {
	err := senders(t, Options{}).Permissions(Sender{certificate: true, commonName: strings.Repeat("ä", 5000)}).MayReport(t.Context(), "prod")
	if text := fmt.Sprint(err); len(text) > 400 || !strings.Contains(text, "…") {
		t.Errorf("the message has %d bytes: %.200s", len(text), text)
	}
}

func TestTokensNeedWhoDecides(t *testing.T) {
	for name, options := range map[string]Options{
		"no authorizer": {Tokens: reviewing(true, "ann", nil), Claimant: claims{}},
		"no claimant":   {Tokens: reviewing(true, "ann", nil), Authorizer: deciding(authorizer.DecisionAllow, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(options); err == nil {
				t.Error("they were made all the same")
			}
		})
	}
}
