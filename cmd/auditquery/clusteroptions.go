package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// defaultClusterName is the cluster's name where nobody gave it one.
const defaultClusterName = "local"

// clusterOptions say which cluster the process serves.
type clusterOptions struct {
	name       string
	kubeconfig string
}

func newClusterOptions() *clusterOptions { return &clusterOptions{name: defaultClusterName} }

func (o *clusterOptions) addFlags(flags *pflag.FlagSet) {
	o.addNameFlag(flags)
	flags.StringVar(&o.kubeconfig, "kubeconfig", o.kubeconfig,
		"the file that says how to reach the cluster; empty: the pod's own account, else KUBECONFIG or ~/.kube/config")
}

func (o *clusterOptions) addNameFlag(flags *pflag.FlagSet) {
	flags.StringVar(&o.name, "cluster-name", o.name,
		"the name of this cluster in records; never change it once records are stored")
}

func (o *clusterOptions) validate() []error {
	return clusterName("--cluster-name", o.name)
}

func clusterName(flag, name string) []error {
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return []error{fmt.Errorf("%s is %q: %s", flag, name, strings.Join(problems, "; "))}
	}
	return nil
}

// restConfig says how to reach the cluster. It sets no rate of requests: the
// library's default of 5 a second is less than a thousand standing queries need,
// and the cluster's own priority and fairness knows better.
func (o *clusterOptions) restConfig() (*rest.Config, error) {
	config, err := o.findCluster()
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return config, nil
}

func (o *clusterOptions) findCluster() (*rest.Config, error) {
	if o.kubeconfig == "" && os.Getenv(clientcmd.RecommendedConfigPathEnvVar) == "" {
		config, err := rest.InClusterConfig()
		if err == nil || !errors.Is(err, rest.ErrNotInCluster) {
			return config, err
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find out how to reach the cluster (give --kubeconfig FILE): %w", err)
	}
	return config, nil
}
