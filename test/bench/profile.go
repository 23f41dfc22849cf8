package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/test/stage"
)

// profileSeconds is how long a server is watched.
const profileSeconds = 8

// profilingArgs have servers answer for profiles, if these are asked for.
func (b *bench) profilingArgs() []string {
	if b.settings.profile == "" {
		return nil
	}
	return []string{"--profiling=true"}
}

// profileServer watches a server if profiles are asked for: one file a figure,
// PREFIX.NAME.pprof. Call done when the figure was measured.
func (b *bench) profileServer(ctx context.Context, server *stage.Server, name string) (done func() error) {
	if b.settings.profile == "" {
		return func() error { return nil }
	}
	ended := make(chan error, 1)
	go func() { ended <- b.writeProfile(ctx, server, b.settings.profile+"."+name+".pprof") }()
	return func() error { return <-ended }
}

func (b *bench) writeProfile(ctx context.Context, server *stage.Server, path string) (err error) {
	config := rest.CopyConfig(b.stage.ControlPlane().RESTConfig())
	client, err := rest.HTTPClientFor(server.Config(config))
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	c := &caller{client: client, url: server.URL(), gzip: true}
	response, err := c.open(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", profileSeconds))
	if err != nil {
		return fmt.Errorf("profile %s: %w", server.Name(), err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, response.Body)
	return errors.Join(err, file.Close())
}
