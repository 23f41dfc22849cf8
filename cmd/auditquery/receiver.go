package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/internal/ingest"
	"auditquery.dev/auditquery/internal/ingest/auth"
	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/ledger"
	"auditquery.dev/auditquery/internal/ingest/ship"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/store/elasticsearch"
)

// ingestParts are what a receiver is made of, besides its options.
type ingestParts struct {
	// cluster is the name of the server's own cluster.
	cluster string
	// config leads to the cluster that judges tokens.
	config    *rest.Config
	claimants *claimants
	store     store.ReadWriter
	registry  prometheus.Registerer
	log       logr.Logger
}

// receiver takes records in and ships them into the store.
type receiver struct {
	server  *ingest.Server
	spool   *spool.Spool
	shipper *ship.Shipper
}

// run serves until ctx is done. The shipper ends after the server, so that what
// was acknowledged last is tried as well; the rest stays on the disk.
func (r *receiver) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	behind, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group.Go(func() error {
		defer end()
		return r.server.Start(ctx)
	})
	group.Go(func() error {
		if err := r.shipper.Run(behind); err != nil {
			return fmt.Errorf("ship records into the store: %w", err)
		}
		return nil
	})
	return group.Wait()
}

func (r *receiver) close() error { return errors.Join(r.server.Close(), r.spool.Close()) }

// complete opens the address, the spool and the dead letters, or nothing.
// Validate was called.
func (o *ingestOptions) complete(ctx context.Context, p ingestParts) (*receiver, error) {
	letters, err := deadletter.Open(deadletter.Options{Dir: o.letterDir, MaxBytes: o.letterBytes.Value()})
	if err != nil {
		return nil, err
	}
	books := ledger.New(time.Now)
	r := &receiver{}
	r.spool, err = spool.Open(ctx, spool.Options{
		Dir: o.spoolDir, MaxBytes: o.spoolBytes.Value(), SegmentBytes: o.segmentBytes.Value(),
		Damaged: ship.SetAside(letters, books, time.Now), Log: p.log.WithName("spool"),
	})
	if err != nil {
		return nil, err
	}
	books.Watch(func() ledger.SpoolState { return spoolState(r.spool.Stats()) })
	books.WatchLetters(letters.Usage)
	known := ingest.NewKnown()
	r.shipper, err = ship.New(ship.Options{
		Spool: r.spool, Writer: p.store, Letters: letters, Ledger: books, Forget: known.Forget,
		Searchable: finder(p.store), Registerer: p.registry, Log: p.log.WithName("ship"),
		// One more than Elasticsearch is given at once gets ready meanwhile.
		Workers: elasticsearch.DefaultBulkRequests + 1,
	})
	if err == nil {
		err = p.registry.Register(books)
	}
	if err == nil {
		r.server, err = o.serve(p, ingest.Options{
			Spool: r.spool, Letters: letters, Ledger: books, Known: known, Events: o.events.complete(p.cluster),
			MemoryBytes: o.memory.Value(), Registry: p.registry, Log: p.log,
		})
	}
	if err != nil {
		return nil, errors.Join(err, r.spool.Close())
	}
	return r, nil
}

func (o *ingestOptions) serve(p ingestParts, options ingest.Options) (*ingest.Server, error) {
	var err error
	if options.Senders, err = o.senders(p); err != nil {
		return nil, err
	}
	handler, err := ingest.NewReceiver(options)
	if err != nil {
		return nil, err
	}
	return ingest.NewServer(ingest.ServerOptions{Address: o.address, TLS: o.files, Handler: handler, Log: p.log})
}

func (o *ingestOptions) senders(p ingestParts) (*auth.Senders, error) {
	clusters, err := o.clusters()
	if err != nil {
		return nil, err
	}
	orgs, err := o.orgs()
	if err != nil {
		return nil, err
	}
	options := auth.Options{ClientClusters: clusters, ClientOrgs: orgs, AllowAnonymous: o.anyone}
	if o.tokens {
		judge, err := newTokenSenders(p.config)
		if err != nil {
			return nil, err
		}
		options.Tokens, options.Authorizer, options.Claimant = judge.tokens, judge.authorizer, p.claimants
	}
	return auth.New(options)
}

func spoolState(s spool.Stats) ledger.SpoolState {
	return ledger.SpoolState{Records: s.Records, Bytes: s.Bytes, MaxBytes: s.MaxBytes, Found: s.Found, Oldest: s.OldestAppended}
}

// finder asks the store for one record, at the instant of its time.
func finder(reader store.Reader) ship.Finder {
	return func(ctx context.Context, kind record.Kind, id record.ID, at record.Timestamp) (bool, error) {
		page, err := reader.List(ctx, query.Query{
			Kind: kind, Scope: query.All(), Limit: 1, From: at.Time(), To: at.Time().Add(time.Microsecond),
			Filter: query.Equal{Field: "id", Value: id.String()},
		})
		return len(page.Documents) > 0, err
	}
}
