package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"auditquery.dev/auditquery/controllers/retention"
)

// Bounds of a run: shorter ones would end before they have erased anything, longer
// ones are what a schedule is for.
const (
	minRetentionRun = time.Minute
	maxRetentionRun = 24 * time.Hour
)

// retentionOptions say whether records are erased, and how gently.
type retentionOptions struct {
	enabled   bool
	batchSize int
	throttle  float64
	maxRun    time.Duration
}

func newRetentionOptions() *retentionOptions {
	return &retentionOptions{
		enabled: true, batchSize: retention.DefaultBatchSize, throttle: retention.DefaultThrottle, maxRun: retention.DefaultMaxRun,
	}
}

func (o *retentionOptions) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.enabled, "retention", o.enabled,
		"follow RetentionPolicies and LegalHolds: without a policy that enforces nothing is ever erased")
	flags.IntVar(&o.batchSize, "retention-batch-size", o.batchSize, "how many records one batch erases at most")
	flags.Float64Var(&o.throttle, "retention-throttle", o.throttle,
		"the pause after a batch, as a part of the time that it took: 1 makes a run take twice as long as it could; 0: none")
	flags.DurationVar(&o.maxRun, "retention-max-run", o.maxRun, "how long one run may take; the next one goes on")
}

func (o *retentionOptions) validate() []error {
	var all []error
	if o.batchSize < 1 || o.batchSize > retention.MaxBatchSize {
		all = append(all, fmt.Errorf("--retention-batch-size is %d; it is 1 to %d", o.batchSize, retention.MaxBatchSize))
	}
	if !(o.throttle >= 0 && o.throttle <= retention.MaxThrottle) {
		all = append(all, fmt.Errorf("--retention-throttle is %v; it is 0 to %v", o.throttle, retention.MaxThrottle))
	}
	if o.maxRun < minRetentionRun || o.maxRun > maxRetentionRun {
		all = append(all, fmt.Errorf("--retention-max-run is %s; it is %s to %s", o.maxRun, minRetentionRun, maxRetentionRun))
	}
	return all
}

func (o *retentionOptions) setup(mgr ctrl.Manager, records retention.Store, cluster string) error {
	if !o.enabled {
		return nil
	}
	throttle := o.throttle
	if throttle == 0 {
		throttle = -1
	}
	return retention.SetupWithManager(mgr, retention.Options{
		Store: records, ClusterName: cluster, Namespace: systemNamespace, Registerer: ctrlmetrics.Registry,
		BatchSize: o.batchSize, Throttle: throttle, MaxRun: o.maxRun,
	})
}
