package main

import (
	"context"
	"os"

	"auditquery.dev/auditquery/test/elastic"
	"auditquery.dev/auditquery/test/stage"
)

func (d *demo) startElasticsearch(ctx context.Context) error {
	if d.store != storeElasticsearch {
		d.detail("not needed: the store is embedded (STORE=elasticsearch takes a real one)")
		return nil
	}
	var err error
	d.elastic, err = elastic.Start(ctx, elastic.Options{Progress: d.progress})
	return err
}

// startControlPlane starts the cluster first: its audit webhook tries again
// until the receiver is up.
func (d *demo) startControlPlane(ctx context.Context) error {
	options := stage.Options{
		Dir: d.dir, Cluster: clusterName, Audit: true, Binary: d.source("bin", "auditquery"), Progress: d.progress,
	}
	if d.elastic != nil {
		options.ElasticsearchURL = d.elastic.URL()
	}
	var err error
	if d.stage, err = stage.New(options); err != nil {
		return err
	}
	if err := d.stage.StartControlPlane(ctx); err != nil {
		return err
	}
	kubeconfig, err := os.ReadFile(d.stage.ControlPlane().Kubeconfig())
	if err != nil {
		return err
	}
	return os.WriteFile(d.path("kubeconfig"), kubeconfig, 0o600)
}

func (d *demo) progress(line string) { d.detail("%s", line) }

func (d *demo) install(ctx context.Context) error { return d.stage.Install(ctx) }

func (d *demo) startServer(ctx context.Context) error { return d.stage.StartServers(ctx) }

func (d *demo) register(ctx context.Context) error {
	return d.stage.Register(ctx, stage.Registration{})
}

// makeToken makes an account that may read every record, and its token.
func (d *demo) makeToken(ctx context.Context) error {
	const reader = "auditor"
	if _, err := d.kubectl(ctx, "create", "clusterrolebinding", reader, "--clusterrole=auditquery-reader",
		"--serviceaccount="+stage.SystemNamespace+":"+reader); err != nil {
		return err
	}
	config, err := d.stage.TokenConfig(ctx, stage.SystemNamespace, reader)
	if err != nil {
		return err
	}
	d.token = config.BearerToken
	return nil
}
