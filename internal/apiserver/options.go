package apiserver

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	genericoptions "k8s.io/apiserver/pkg/server/options"
)

// Bounds and defaults of Options.
const (
	defaultPort         = 8443
	defaultStoreTimeout = 50 * time.Second
	defaultLists        = 64
	// storeMargin is what a request has left when the store's time is over, to
	// tell its client so.
	storeMargin = 5 * time.Second
	// http2Streams is what one connection may carry: ours come from a proxy that
	// puts everybody's requests on one.
	http2Streams = 1000
)

// Options are the flags of the API server.
type Options struct {
	// Server holds limits, timeouts and what happens at shutdown.
	Server *genericoptions.ServerRunOptions
	// Serving needs a certificate and key file; they are read again when they
	// change.
	Serving        *genericoptions.SecureServingOptionsWithLoopback
	Authentication *genericoptions.DelegatingAuthenticationOptions
	Authorization  *genericoptions.DelegatingAuthorizationOptions
	Audit          *genericoptions.AuditOptions
	Features       *genericoptions.FeatureOptions
	// StoreTimeout bounds one question to the store.
	StoreTimeout time.Duration
	// Lists bounds what lists in flight hold in memory, in units of 2 MiB.
	Lists int64
}

// NewOptions returns the defaults.
func NewOptions() *Options {
	server := genericoptions.NewServerRunOptions()
	// While a server ends, the endpoints of its Service still name it for a while.
	server.ShutdownDelayDuration = 10 * time.Second
	// What came after that would be answered 429, which the kube-apiserver passes
	// on to its client; see leaving.
	server.ShutdownSendRetryAfter = false
	serving := genericoptions.NewSecureServingOptions()
	serving.BindPort = defaultPort
	serving.HTTP2MaxStreamsPerConnection = http2Streams
	serving.ServerCert.CertDirectory = ""
	features := genericoptions.NewFeatureOptions()
	features.EnableProfiling = false
	return &Options{
		Server:         server,
		Serving:        serving.WithLoopback(),
		Authentication: genericoptions.NewDelegatingAuthenticationOptions(),
		Authorization:  genericoptions.NewDelegatingAuthorizationOptions(),
		Audit:          genericoptions.NewAuditOptions(),
		Features:       features,
		StoreTimeout:   defaultStoreTimeout,
		Lists:          defaultLists,
	}
}

// AddFlags adds the flags, by the names that Kubernetes gives them where it has
// them.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.DurationVar(&o.Server.ShutdownDelayDuration, "shutdown-delay-duration", o.Server.ShutdownDelayDuration,
		"for how long a server that is to end still answers, while /readyz says that it ends")
	flags.DurationVar(&o.Server.RequestTimeout, "request-timeout", o.Server.RequestTimeout, "after which a request is cut off")
	flags.IntVar(&o.Server.MaxRequestsInFlight, "max-requests-inflight", o.Server.MaxRequestsInFlight,
		"how many requests are answered at the same time; priority and fairness divides it")
	flags.DurationVar(&o.StoreTimeout, "store-timeout", o.StoreTimeout,
		"how long the store may take for one question; at least 5s less than --request-timeout")
	flags.Int64Var(&o.Lists, "max-lists-inflight", o.Lists,
		"how many lists are answered at the same time, if none is larger than 2 MiB; larger ones count as several")
	o.Serving.AddFlags(flags)
	o.Authentication.AddFlags(flags)
	o.Authorization.AddFlags(flags)
	o.Audit.AddFlags(flags)
	o.Features.AddFlags(flags)
}

// UseKubeconfig has authentication and authorization ask the cluster of a
// kubeconfig, where their own flags name none. "" is the pod's own cluster.
func (o *Options) UseKubeconfig(path string) {
	if o.Authentication.RemoteKubeConfigFile == "" {
		o.Authentication.RemoteKubeConfigFile = path
	}
	if o.Authorization.RemoteKubeConfigFile == "" {
		o.Authorization.RemoteKubeConfigFile = path
	}
}

// Validate returns everything that is wrong.
func (o *Options) Validate() []error {
	var all []error
	for _, group := range [][]error{
		o.Server.Validate(), o.Serving.Validate(), o.Authentication.Validate(), o.Authorization.Validate(),
		o.Audit.Validate(), o.Features.Validate(),
	} {
		all = append(all, group...)
	}
	if o.Serving.ServerCert.CertKey.CertFile == "" || o.Serving.ServerCert.CertKey.KeyFile == "" {
		all = append(all, errors.New("--tls-cert-file and --tls-private-key-file are needed"))
	}
	if o.StoreTimeout <= 0 || o.StoreTimeout > o.Server.RequestTimeout-storeMargin {
		all = append(all, fmt.Errorf("--store-timeout is %s; it must be above 0 and at least %s below --request-timeout (%s)",
			o.StoreTimeout, storeMargin, o.Server.RequestTimeout))
	}
	if o.Lists < minListUnits {
		all = append(all, fmt.Errorf("--max-lists-inflight is %d; it must be at least %d, for the largest page", o.Lists, minListUnits))
	}
	return all
}
