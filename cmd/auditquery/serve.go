package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"auditquery.dev/auditquery/controllers/auditquery"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy/sliced"
)

// serveOptions are those of a process that serves a cluster.
type serveOptions struct {
	log     *logOptions
	cluster *clusterOptions
	store   *storeOptions
	manager *managerOptions
	// ingest is nil for a role that receives nothing.
	ingest *ingestOptions
}

func newControllerCommand(std streams) *cobra.Command {
	o := &serveOptions{log: newLogOptions(), cluster: newClusterOptions(), store: newStoreOptions(false), manager: &managerOptions{}}
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Run AuditQuery objects against the store",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return o.validateAndRun(cmd.Context(), std) },
	}
	o.addFlags(cmd)
	return cmd
}

func newAllCommand(std streams) *cobra.Command {
	o := &serveOptions{
		log: newLogOptions(), cluster: newClusterOptions(), store: newStoreOptions(true), manager: &managerOptions{},
		ingest: newIngestOptions(),
	}
	cmd := &cobra.Command{
		Use:   "all",
		Short: "Run every role in one process",
		Long: `Run every role in one process: the controllers, and the receiver of
kube-apiserver's audit webhook. With --store=sqlite everything is kept in one
file on this machine.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.validateAndRun(cmd.Context(), std) },
	}
	o.addFlags(cmd)
	return cmd
}

func (o *serveOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.log.addFlags(flags)
	o.cluster.addFlags(flags)
	o.store.addFlags(flags)
	o.manager.addFlags(flags)
	if o.ingest != nil {
		o.ingest.addFlags(flags)
	}
}

func (o *serveOptions) validate() error {
	groups := [][]error{o.log.validate(), o.cluster.validate(), o.store.validate(), o.manager.validate()}
	if o.ingest != nil {
		groups = append(groups, o.ingest.validate())
	}
	return invalid(groups...)
}

func (o *serveOptions) validateAndRun(ctx context.Context, std streams) error {
	if err := o.validate(); err != nil {
		return err
	}
	log := o.log.logger(std.err)
	shareLogger(log)
	s, err := o.complete(ctx, log)
	if err != nil {
		return err
	}
	return errors.Join(s.run(ctx), s.close())
}

// server is everything that serves a cluster, ready to run.
type server struct {
	log      logr.Logger
	store    openedStore
	manager  ctrl.Manager
	receiver *receiver
}

// complete opens everything, or nothing.
func (o *serveOptions) complete(ctx context.Context, log logr.Logger) (*server, error) {
	config, err := o.cluster.restConfig()
	if err != nil {
		return nil, err
	}
	s := &server{log: log}
	if s.store, err = o.store.open(ctx, log); err != nil {
		return nil, err
	}
	if err := o.assemble(ctx, s, config); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (o *serveOptions) assemble(ctx context.Context, s *server, config *rest.Config) error {
	records, err := store.Measure(s.store, ctrlmetrics.Registry)
	if err != nil {
		return fmt.Errorf("set up the store's metrics: %w", err)
	}
	// The receiver comes first: it takes events while all else still starts.
	if o.ingest != nil && o.ingest.enabled() {
		receiver, err := o.ingest.complete(o.cluster.name, records, ctrlmetrics.Registry, s.log.WithName("ingest"))
		if err != nil {
			return fmt.Errorf("set up the receiver of audit events: %w", err)
		}
		s.receiver = receiver
	}
	cursors, err := o.cursors(ctx, s.store, config)
	if err != nil {
		return err
	}
	if s.manager, err = o.manager.newManager(config, s.log); err != nil {
		return fmt.Errorf("set up the controllers: %w", err)
	}
	directory, err := newDirectory(s.manager, ctrlmetrics.Registry)
	if err != nil {
		return err
	}
	return auditquery.SetupWithManager(s.manager, auditquery.Options{
		Reader:     sliced.NewReader(records),
		Cursors:    cursors,
		Scopes:     directory,
		Guard:      auditquery.PolicyGuard{Reader: s.manager.GetClient()},
		Registerer: ctrlmetrics.Registry,
	})
}

func (o *serveOptions) cursors(ctx context.Context, opened openedStore, config *rest.Config) (*store.Cursors, error) {
	key, err := o.cursorKey(ctx, opened, config)
	if err != nil {
		return nil, err
	}
	return store.NewCursors(key, time.Now)
}

func (o *serveOptions) cursorKey(ctx context.Context, opened openedStore, config *rest.Config) ([]byte, error) {
	if o.manager.cursorKeyFile != "" {
		return cursorKeyFile(o.manager.cursorKeyFile)
	}
	if opened.cursorKey != nil {
		return opened.cursorKey(ctx)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return cursorKeySecret(ctx, client.CoreV1())
}

// run serves until ctx is done or a part fails; then the other parts end too.
func (s *server) run(ctx context.Context) error {
	s.log.Info("starting", "version", version)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := s.manager.Start(ctx); err != nil {
			return fmt.Errorf("run the controllers: %w", err)
		}
		if ctx.Err() == nil {
			return errors.New("the controllers stopped by themselves")
		}
		return nil
	})
	if s.receiver != nil {
		group.Go(func() error { return s.receiver.server.Start(ctx) })
	}
	err := group.Wait()
	s.log.Info("stopped")
	return err
}

func (s *server) close() error {
	var failures []error
	if s.receiver != nil {
		failures = append(failures, s.receiver.close())
	}
	return errors.Join(append(failures, s.store.Close())...)
}
