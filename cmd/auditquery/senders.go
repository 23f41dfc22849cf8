package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	tokencache "k8s.io/apiserver/pkg/authentication/token/cache"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	webhooktoken "k8s.io/apiserver/plugin/pkg/authenticator/token/webhook"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/internal/tenancy/feed"
)

const (
	// reviewTimeout bounds one question to the cluster about a sender.
	reviewTimeout = 5 * time.Second
	// reviewTTL is how long the cluster's answer about a sender holds: a token
	// that was taken back works for that long.
	reviewTTL = 30 * time.Second
	// followAgainAfter is how long to wait before the cluster is asked again who
	// owns which records.
	followAgainAfter = 5 * time.Second
)

// tokenSenders judge senders that show a token, by asking the cluster.
type tokenSenders struct {
	tokens     authenticator.Token
	authorizer authorizer.Authorizer
}

func newTokenSenders(config *rest.Config) (*tokenSenders, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	// One more try: a sender tries again by itself, and holds a place meanwhile.
	again := wait.Backoff{Duration: 200 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 2}
	tokens, err := webhooktoken.NewFromInterface(client.AuthenticationV1(), nil, again, reviewTimeout, webhooktoken.AuthenticatorMetrics{
		RecordRequestTotal:   authenticatorfactory.RecordRequestTotal,
		RecordRequestLatency: authenticatorfactory.RecordRequestLatency,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the review of tokens: %w", err)
	}
	judge, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: client.AuthorizationV1(),
		AllowCacheTTL:             reviewTTL, DenyCacheTTL: reviewTTL / 3, WebhookRetryBackoff: &again,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("set up the review of permissions: %w", err)
	}
	return &tokenSenders{tokens: tokencache.New(tokens, false, reviewTTL, reviewTTL/3), authorizer: judge}, nil
}

// claimants say which namespace claims an organisation, once the cluster has been
// read.
type claimants struct {
	directory atomic.Pointer[tenancy.Directory]
}

// Claimant returns the namespace that claims an org id; tenancy.ErrNotReady while
// the cluster has not been read.
func (c *claimants) Claimant(orgID string) (string, error) {
	directory := c.directory.Load()
	if directory == nil {
		return "", tenancy.ErrNotReady
	}
	return directory.Claimant(orgID)
}

// follow keeps them up to date until ctx is done. A cluster that cannot be reached
// is tried again: its API server may be the very sender that waits for us.
func (c *claimants) follow(ctx context.Context, config *rest.Config, log logr.Logger) error {
	for {
		err := c.followOnce(ctx, config)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it ends because it was told to
		}
		log.Error(err, "cannot read who owns which records; senders with tokens are told to come again",
			"tryAgainAfter", followAgainAfter.String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followAgainAfter):
		}
	}
}

// followOnce begins with a new directory: what was deleted since the last attempt
// must not stay in it.
func (c *claimants) followOnce(ctx context.Context, config *rest.Config) error {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	objects, err := cache.New(config, cache.Options{Scheme: scheme, ByObject: feed.CacheOptions()})
	if err != nil {
		return err
	}
	directory := tenancy.NewDirectory()
	c.directory.Store(directory)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return objects.Start(ctx) })
	group.Go(func() error { return feed.New(directory, objects).Start(ctx) })
	return group.Wait()
}
