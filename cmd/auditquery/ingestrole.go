package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"auditquery.dev/auditquery/internal/store"
)

// ingestRole is a process that takes records in and does nothing else. It starts
// and takes records in without the cluster and without the store: the cluster's
// API server may be the sender that waits for it.
type ingestRole struct {
	log            *logOptions
	cluster        *clusterOptions
	store          *storeOptions
	ingest         *ingestOptions
	metricsAddress string
}

func newIngestCommand(std streams) *cobra.Command {
	o := &ingestRole{log: newLogOptions(), cluster: newClusterOptions(), store: newStoreOptions(false), ingest: newIngestOptions()}
	cmd := &cobra.Command{
		Use: roleIngest, Short: "Take records in, and lose none", Args: cobra.NoArgs,
		Long: `Take records in: from the audit webhook of kube-apiserver, by the original
API's bulk call, and as JSON lines. What was acknowledged is on this machine's
disk and goes into the store from there, however long the store is away.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.validateAndRun(cmd.Context(), std) },
	}
	flags := cmd.Flags()
	o.log.addFlags(flags)
	o.cluster.addFlags(flags)
	o.store.addFlags(flags)
	o.ingest.addFlags(flags)
	flags.StringVar(&o.metricsAddress, "metrics-address", o.metricsAddress, "where Prometheus metrics are served, as :8080, by plain HTTP; empty: nowhere")
	return cmd
}

func (o *ingestRole) validate() error {
	var all []error
	if o.metricsAddress != "" {
		all = append(all, address("--metrics-address", o.metricsAddress)...)
	}
	if !o.ingest.enabled() {
		all = append(all, errors.New("--ingest-address is empty, so this process would do nothing"))
	}
	return invalid(o.log.validate(), o.cluster.validate(), o.store.validate(), o.ingest.validate(), all)
}

func (o *ingestRole) validateAndRun(ctx context.Context, std streams) error {
	if err := o.validate(); err != nil {
		return err
	}
	log := o.log.logger(std.err)
	shareLogger(log)
	opened, err := o.store.open(ctx, log)
	if err != nil {
		return err
	}
	return errors.Join(o.run(ctx, opened, log), opened.Close())
}

func (o *ingestRole) run(ctx context.Context, opened openedStore, log logr.Logger) error {
	records, err := store.Measure(opened, ctrlmetrics.Registry)
	if err != nil {
		return fmt.Errorf("set up the store's metrics: %w", err)
	}
	var config *rest.Config
	if o.ingest.tokens {
		if config, err = o.cluster.restConfig(); err != nil {
			return fmt.Errorf("%w; or turn senders with tokens off by --ingest-tokens=false", err)
		}
	}
	known := &claimants{}
	r, err := o.ingest.complete(ctx, ingestParts{
		cluster: o.cluster.name, config: config, claimants: known, store: records, registry: ctrlmetrics.Registry,
		log: log.WithName("ingest"),
	})
	if err != nil {
		return fmt.Errorf("set up the receiver: %w", err)
	}
	tuneGarbage(o.ingest.memory.Value())
	log.Info("starting", "version", version)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.run(ctx) })
	if config != nil {
		group.Go(func() error { return known.follow(ctx, config, log.WithName("tenancy")) })
	}
	if o.metricsAddress != "" {
		group.Go(func() error { return serveMetrics(ctx, o.metricsAddress) })
	}
	err = errors.Join(group.Wait(), r.close())
	log.Info("stopped")
	return err
}

const (
	// garbagePercent lets the heap grow further between two collections than Go
	// does by itself: what comes in is garbage soon. Up to 400 each step saved CPU
	// time when it was measured; the memory limit bounds what this one takes.
	garbagePercent = 600
	// ownMemory is what the process takes besides what its requests may hold.
	ownMemory = 104 << 20
)

// tuneGarbage sets the collector up for a process that only takes records in,
// unless the environment does (GOGC, GOMEMLIMIT).
func tuneGarbage(requests int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(ownMemory + requests)
	}
}

func serveMetrics(ctx context.Context, address string) error {
	server, err := metricsserver.NewServer(metricsserver.Options{BindAddress: address}, nil, nil)
	if err != nil {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return server.Start(ctx)
}
