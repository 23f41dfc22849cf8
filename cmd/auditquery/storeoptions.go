package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"

	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/store/elasticsearch"
	"auditquery.dev/auditquery/internal/store/sqlite"
)

const (
	storeSQLite        = "sqlite"
	storeElasticsearch = "elasticsearch"
)

// storeOptions say where records are kept.
type storeOptions struct {
	kind                   string
	sqlitePath             string
	elasticsearchURLs      []string
	elasticsearchSecretDir string
	elasticsearchPrefix    string
	// embedded says that the command may open the embedded store.
	embedded bool
}

// newStoreOptions returns the defaults of a command. The embedded store is for
// commands that run on its host; for others Elasticsearch is the only choice.
func newStoreOptions(embedded bool) *storeOptions {
	o := &storeOptions{
		kind: storeElasticsearch, sqlitePath: "auditquery.db", embedded: embedded,
		elasticsearchPrefix: elasticsearch.DefaultIndexPrefix,
	}
	if embedded {
		o.kind = storeSQLite
	}
	return o
}

func (o *storeOptions) addFlags(flags *pflag.FlagSet) {
	usage := "where records are kept: elasticsearch"
	if o.embedded {
		usage = "where records are kept: sqlite (a file on this machine) or elasticsearch"
		flags.StringVar(&o.sqlitePath, "sqlite-path", o.sqlitePath, "the file of the embedded store")
	}
	flags.StringVar(&o.kind, "store", o.kind, usage)
	flags.StringSliceVar(&o.elasticsearchURLs, "elasticsearch-url", o.elasticsearchURLs,
		"an Elasticsearch that needs no credentials, as http://host:9200; more of one cluster with commas")
	flags.StringVar(&o.elasticsearchSecretDir, "elasticsearch-secret-dir", o.elasticsearchSecretDir,
		"a folder with the files url, username and password or api-key, and ca.crt; they are read again when they change")
	flags.StringVar(&o.elasticsearchPrefix, "elasticsearch-index-prefix", o.elasticsearchPrefix,
		"what the names of our indices begin with")
}

func (o *storeOptions) validate() []error {
	switch o.kind {
	case storeSQLite:
		return o.validateSQLite()
	case storeElasticsearch:
		return o.validateElasticsearch()
	default:
		return []error{fmt.Errorf("--store is %q; it is sqlite or elasticsearch", o.kind)}
	}
}

func (o *storeOptions) validateSQLite() []error {
	var all []error
	if !o.embedded {
		return append(all, errors.New("--store=sqlite is for `auditquery all`, which does everything in one process; "+
			"this role needs --store=elasticsearch"))
	}
	if o.sqlitePath == "" {
		all = append(all, errors.New("--sqlite-path is empty; name the file of the embedded store"))
	}
	if len(o.elasticsearchURLs) > 0 || o.elasticsearchSecretDir != "" {
		all = append(all, errors.New("--elasticsearch-url and --elasticsearch-secret-dir need --store=elasticsearch"))
	}
	return all
}

func (o *storeOptions) validateElasticsearch() []error {
	var all []error
	if (len(o.elasticsearchURLs) == 0) == (o.elasticsearchSecretDir == "") {
		all = append(all, errors.New("--store=elasticsearch needs one of --elasticsearch-secret-dir and --elasticsearch-url"))
	}
	for i, text := range o.elasticsearchURLs {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
			all = append(all, fmt.Errorf("--elasticsearch-url, number %d: write it as https://host:9200", i+1))
		case u.User != nil:
			all = append(all, fmt.Errorf("--elasticsearch-url, number %d, holds credentials, which everybody on the machine "+
				"could read; put them into --elasticsearch-secret-dir", i+1))
		}
	}
	return all
}

// recordStore is what both backends can do.
type recordStore interface {
	store.Store
	io.Closer
}

// openedStore is a store and what comes with it.
type openedStore struct {
	recordStore
	// cursorKey is the embedded store's; nil for others.
	cursorKey func(context.Context) ([]byte, error)
}

func (o *storeOptions) open(ctx context.Context, log logr.Logger) (openedStore, error) {
	if o.kind == storeSQLite {
		s, err := sqlite.Open(ctx, sqlite.Options{Path: o.sqlitePath})
		if err != nil {
			return openedStore{}, fmt.Errorf("open the embedded store %s: %w", o.sqlitePath, err)
		}
		return openedStore{recordStore: s, cursorKey: s.CursorKey}, nil
	}
	s, err := elasticsearch.Open(ctx, elasticsearch.Options{
		Directory:   o.elasticsearchSecretDir,
		Connection:  elasticsearch.Connection{URLs: o.elasticsearchURLs},
		IndexPrefix: o.elasticsearchPrefix,
		Log:         log.WithName("elasticsearch"),
	})
	if err != nil {
		return openedStore{}, fmt.Errorf("open the store: %w", err)
	}
	return openedStore{recordStore: s}, nil
}
