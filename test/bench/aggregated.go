package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"auditquery.dev/auditquery/test/stage"
)

// throughKubeAPIServer measures a list of records that the kube-apiserver passes
// on beside as many custom resources that it has itself.
func throughKubeAPIServer(ctx context.Context, b *bench) ([]figure, error) {
	if err := errors.Join(b.load(ctx), b.startStage(ctx)); err != nil {
		return nil, err
	}
	onElasticsearch, err := b.ownServer(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.closeSQLite(); err != nil {
		return nil, err
	}
	onSQLite := b.stage.Server()
	// The server writes into its file; what -dir keeps must stay as it is.
	b.progress.step("copying the records for the server")
	err = copyFile(b.sqlitePath(), b.stage.Dir()+"/auditquery.db")
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := onSQLite.Start(ctx); err != nil {
		return nil, err
	}
	var figures []figure
	for _, on := range []struct {
		store  string
		server *stage.Server
		bound  float64
	}{{"Elasticsearch", onElasticsearch, 0.8}, {"SQLite", onSQLite, 0.6}} {
		if err := b.stage.Register(ctx, stage.Registration{Port: on.server.Port()}); err != nil {
			return nil, err
		}
		plain, err := b.passedOn(ctx, on.store, on.server, identity, on.bound)
		if err != nil {
			return nil, fmt.Errorf("on %s: %w", on.store, err)
		}
		figures = append(figures, plain)
		// With gzip each side compresses its own list, and that is most of what
		// is compared. It is told, and no bound is set to it.
		packed, err := b.passedOn(ctx, on.store, on.server, compressed, on.bound)
		if err != nil {
			return nil, fmt.Errorf("on %s: %w", on.store, err)
		}
		b.note("%s: %s; no bound is set to this", packed.Name, packed.Measured()+" ("+packed.Medians+")")
	}
	return figures, errors.Join(onSQLite.Stop(ctx), os.Remove(b.stage.Dir()+"/auditquery.db"))
}

// passedOn measures one server behind the kube-apiserver.
func (b *bench) passedOn(ctx context.Context, store string, server *stage.Server, encoding string, bound float64) (figure, error) {
	config, err := b.reader(ctx, benchReader)
	if err != nil {
		return figure{}, err
	}
	l, t := lister{ctx: ctx, config: config}, transport{http2: true, gzip: encoding == compressed}
	if err := b.reached(ctx, server, l, t); err != nil {
		return figure{}, err
	}
	records, recordsAsked, err := l.side("records", recordsPage(), "items", t)
	if err != nil {
		return figure{}, err
	}
	defer recordsAsked.caller.close()
	made, err := b.makeCopies(ctx, recordsAsked)
	if err != nil {
		return figure{}, err
	}
	copies, copiesAsked, err := l.side("custom resources", made, "items", t)
	if err != nil {
		return figure{}, err
	}
	defer copiesAsked.caller.close()
	b.progress.step("measuring lists through the kube-apiserver, on %s", store)
	done := b.profileServer(ctx, server, "aggregated-"+server.Name()+"-"+encoding)
	err = b.interleave(ctx, "a list", b.settings.iterations, records, copies)
	if err := errors.Join(err, done()); err != nil {
		return figure{}, err
	}
	b.note("through the kube-apiserver: HTTP/2, limit=500 and no resourceVersion, as kubectl and client-go list; "+
		"the custom resources are the same records, one to an object, without details and with a longer description, %d kB in all; the list of records is %d kB", copiesAsked.bytes>>10, recordsAsked.bytes>>10)
	return quotient(fmt.Sprintf("through the kube-apiserver (%s), 500 records on %s ÷ 500 custom resources", encoding, store), bound, *records, *copies), nil
}

// reached waits until it is this server that the kube-apiserver passes lists on to.
func (b *bench) reached(ctx context.Context, server *stage.Server, l lister, t transport) error {
	c, err := newCaller(l.config, t)
	if err != nil {
		return err
	}
	defer c.close()
	return server.Process().WaitUntil(ctx, "the kube-apiserver asks "+server.Name(), func(ctx context.Context) error {
		before, err := b.listsAnswered(ctx, server)
		if err != nil {
			return err
		}
		if _, err := c.prepare(ctx, recordsPage(), "items"); err != nil {
			return err
		}
		after, err := b.listsAnswered(ctx, server)
		if err == nil && after == before {
			err = errors.New("it asks another one")
		}
		return err
	})
}

// listsAnswered is how many questions a server's store was asked.
func (b *bench) listsAnswered(ctx context.Context, server *stage.Server) (float64, error) {
	now, err := scrapeFrom(ctx, server.MetricsURL())
	return now.sum("auditquery_store_operation_duration_seconds_count", `operation="list"`), err
}
