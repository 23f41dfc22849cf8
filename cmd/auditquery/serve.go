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
	"auditquery.dev/auditquery/controllers/tenant"
	"auditquery.dev/auditquery/internal/apiserver"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/internal/tenancy/sliced"
)

// serveOptions are those of a process that serves a cluster.
type serveOptions struct {
	log     *logOptions
	cluster *clusterOptions
	store   *storeOptions
	manager *managerOptions
	// controllers says that the role runs queries, judges tenants and erases.
	controllers bool
	// api is nil for a role that serves no API.
	api *apiOptions
	// retention is nil for a role without controllers.
	retention *retentionOptions
	// ingest is nil for a role that receives nothing.
	ingest *ingestOptions
}

// newServeOptions returns the defaults of a role: of "all" parts, or of the one
// that is named.
func newServeOptions(role string) *serveOptions {
	all := role == roleAll
	o := &serveOptions{
		log: newLogOptions(), cluster: newClusterOptions(), store: newStoreOptions(all), manager: &managerOptions{},
		controllers: all || role == roleController,
	}
	if o.controllers {
		o.retention = newRetentionOptions()
	}
	if all || role == roleAPIServer {
		o.api = newAPIOptions()
	}
	if all {
		o.ingest = newIngestOptions()
	}
	return o
}

// The roles of a process.
const (
	roleAll        = "all"
	roleController = "controller"
	roleAPIServer  = "apiserver"
	roleIngest     = "ingest"
)

func newControllerCommand(std streams) *cobra.Command {
	return newServeCommand(std, roleController, "Run AuditQuery objects against the store", "")
}

func newAPIServerCommand(std streams) *cobra.Command {
	return newServeCommand(std, roleAPIServer, "Serve records as resources of the cluster, and as the original API's lists",
		`Serve records as the resources audits and authaudits of
records.auditquery.dev, behind the kube-apiserver, and the lists of the original
API at /v1/audits and /v1/auth_audits.`)
}

func newAllCommand(std streams) *cobra.Command {
	return newServeCommand(std, roleAll, "Run every role in one process",
		`Run every role in one process: the controllers, the API server, and the
receiver of audit events and records. With --store=sqlite everything is
kept in one file on this machine. --secure-port=0 leaves the API server out,
--ingest-address= the receiver.`)
}

func newServeCommand(std streams, role, short, long string) *cobra.Command {
	o := newServeOptions(role)
	cmd := &cobra.Command{
		Use: role, Short: short, Long: long, Args: cobra.NoArgs,
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
	o.manager.addFlags(flags, o.controllers)
	if o.api != nil {
		o.api.AddFlags(flags)
	}
	if o.retention != nil {
		o.retention.addFlags(flags)
	}
	if o.ingest != nil {
		o.ingest.addFlags(flags)
	}
}

func (o *serveOptions) validate() error {
	groups := [][]error{o.log.validate(), o.cluster.validate(), o.store.validate(), o.manager.validate()}
	if o.servesAPI() {
		groups = append(groups, o.api.Validate())
	}
	if o.retention != nil {
		groups = append(groups, o.retention.validate())
	}
	if o.ingest != nil {
		groups = append(groups, o.ingest.validate())
	}
	return invalid(groups...)
}

// servesAPI is true unless the role has no API server or, among other parts, it
// was given no port.
func (o *serveOptions) servesAPI() bool {
	return o.api != nil && (!o.controllers || o.api.Serving.BindPort != 0)
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
	api      *apiserver.Server
	receiver *receiver
	// claimants are the receiver's, which is there before the manager.
	claimants *claimants
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
	records, err := store.MeasureStore(s.store, ctrlmetrics.Registry)
	if err != nil {
		return fmt.Errorf("set up the store's metrics: %w", err)
	}
	// The receiver comes first: it takes events while all else still starts.
	if o.ingest != nil && o.ingest.enabled() {
		s.claimants = &claimants{}
		receiver, err := o.ingest.complete(ctx, ingestParts{
			cluster: o.cluster.name, config: config, claimants: s.claimants, store: records, registry: ctrlmetrics.Registry,
			log: s.log.WithName("ingest"),
		})
		if err != nil {
			return fmt.Errorf("set up the receiver: %w", err)
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
	if s.claimants != nil {
		s.claimants.directory.Store(directory)
	}
	reader := sliced.NewReader(records)
	if o.controllers {
		if err := setupControllers(s.manager, reader, cursors, directory); err != nil {
			return err
		}
		if err := o.retention.setup(s.manager, records, o.cluster.name); err != nil {
			return err
		}
	}
	if o.servesAPI() {
		s.api, err = o.api.complete(o.cluster.kubeconfig, config, apiParts{
			reader: reader, cursors: cursors, directory: directory, log: s.log.WithName("rest"),
		})
	}
	return err
}

func setupControllers(mgr ctrl.Manager, reader *sliced.Reader, cursors *store.Cursors, directory *tenancy.Directory) error {
	if err := tenant.SetupWithManager(mgr, tenant.Options{Directory: directory, Registerer: ctrlmetrics.Registry}); err != nil {
		return err
	}
	return auditquery.SetupWithManager(mgr, auditquery.Options{
		Reader: reader, Cursors: cursors, Scopes: directory,
		Guard: auditquery.PolicyGuard{Reader: mgr.GetClient()}, Registerer: ctrlmetrics.Registry,
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
// The manager ends last: its caches say who may see what, and the API server
// still answers for a while after it was told to end.
func (s *server) run(ctx context.Context) error {
	s.log.Info("starting", "version", version)
	group, ctx := errgroup.WithContext(ctx)
	behind, end := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		if err := s.manager.Start(behind); err != nil {
			return fmt.Errorf("run the manager: %w", err)
		}
		if behind.Err() == nil {
			return errors.New("the manager stopped by itself")
		}
		return nil
	})
	group.Go(func() error {
		defer end()
		return s.runFronts(ctx)
	})
	err := group.Wait()
	s.log.Info("stopped")
	return err
}

// runFronts runs what clients speak to, and returns when all of it has ended.
func (s *server) runFronts(ctx context.Context) error {
	fronts, ctx := errgroup.WithContext(ctx)
	fronts.Go(func() error {
		<-ctx.Done()
		return nil
	})
	if s.receiver != nil {
		fronts.Go(func() error { return s.receiver.run(ctx) })
	}
	if s.api != nil {
		fronts.Go(func() error {
			if err := s.api.Run(ctx); err != nil {
				return fmt.Errorf("run the API server: %w", err)
			}
			return nil
		})
	}
	return fronts.Wait()
}

func (s *server) close() error {
	var failures []error
	if s.receiver != nil {
		failures = append(failures, s.receiver.close())
	}
	return errors.Join(append(failures, s.store.Close())...)
}
