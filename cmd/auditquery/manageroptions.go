package main

import (
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"auditquery.dev/auditquery/api/v1alpha1"

	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
)

const (
	leaderElectionID = "auditquery-controller"
	// gracefulStop is what runs under way have to end.
	gracefulStop = 20 * time.Second
	// nowhere is what controller-runtime calls an address that is not served.
	nowhere = "0"
)

// managerOptions say how the controllers' process shows itself.
type managerOptions struct {
	metricsAddress string
	healthAddress  string
	leaderElect    bool
	cursorKeyFile  string
}

func (o *managerOptions) addFlags(flags *pflag.FlagSet, elects bool) {
	flags.StringVar(&o.metricsAddress, "metrics-address", o.metricsAddress, "where Prometheus metrics are served, as :8080, by plain HTTP; empty: nowhere")
	flags.StringVar(&o.healthAddress, "health-address", o.healthAddress, "where /healthz and /readyz are served, as :8081; empty: nowhere")
	if elects {
		flags.BoolVar(&o.leaderElect, "leader-elect", o.leaderElect, "of several such processes only one runs queries; needed with more than one")
	}
	flags.StringVar(&o.cursorKeyFile, "cursor-key-file", o.cursorKeyFile,
		"the key that signs continue tokens, 32 random bytes or more; empty: the embedded store's own, "+
			"else the one in the Secret "+systemNamespace+"/"+cursorSecretName+", which is made if it is not there")
}

func (o *managerOptions) validate() []error {
	var all []error
	if o.metricsAddress != "" {
		all = append(all, address("--metrics-address", o.metricsAddress)...)
	}
	if o.healthAddress != "" {
		all = append(all, address("--health-address", o.healthAddress)...)
	}
	return all
}

// newManager returns a manager without controllers.
func (o *managerOptions) newManager(config *rest.Config, log logr.Logger) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	stop := gracefulStop
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                  scheme,
		Logger:                  log,
		Cache:                   cache.Options{ByObject: cacheOptions()},
		Metrics:                 metricsserver.Options{BindAddress: orNowhere(o.metricsAddress)},
		HealthProbeBindAddress:  orNowhere(o.healthAddress),
		LeaderElection:          o.leaderElect,
		LeaderElectionID:        leaderElectionID,
		LeaderElectionNamespace: systemNamespace,
		// The process ends when its manager does.
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &stop,
	})
	if err != nil {
		return nil, err
	}
	// Neither depends on the store: to restart us would not bring it back.
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("ping", healthz.Ping)
}

func orNowhere(address string) string {
	if address == "" {
		return nowhere
	}
	return address
}
