// Command demo shows the main job on real components: a Kubernetes control
// plane whose audit events come to our receiver, the server on the store that
// STORE names, things that happen in the cluster, the AuditQuery objects that find
// them, and what a retention policy would erase of an archive.
//
// It keeps everything that it makes under .demo, runs until Ctrl-C (or, with
// ONCE=1, until the show is over), and leaves no process behind.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	d, err := newDemo(os.Getenv("STORE"), os.Stdout)
	if err != nil {
		return err
	}
	defer func() {
		d.say("stopping")
		err = errors.Join(err, d.stop())
	}()
	for _, step := range []step{
		{"start Elasticsearch", d.startElasticsearch},
		{"start the control plane", d.startControlPlane},
		{"install AuditQuery into the cluster", d.install},
		{"start the server", d.startServer},
		{"register its API in the cluster", d.register},
		{"make things happen in the cluster", d.makeThingsHappen},
		{"import application audits and logins", d.importSample},
		{"import an archive of old records", d.importArchive},
		{"wait for the audit events to arrive", d.awaitEvents},
		{"ask the samples of config/samples", d.applySamples},
		{"make a token for an auditor", d.makeToken},
	} {
		if err := d.do(ctx, step); err != nil {
			return interrupted(ctx, err)
		}
	}
	if err := d.show(ctx); err != nil {
		return interrupted(ctx, err)
	}
	if err := d.writeEnv(); err != nil {
		return err
	}
	if os.Getenv("ONCE") == "1" {
		return nil
	}
	d.say("running; look around with\n\n    export KUBECONFIG=%s\n    %s get auditqueries -A\n\nCtrl-C stops everything",
		d.path("kubeconfig"), d.stage.ControlPlane().KubectlPath())
	return d.serve(ctx)
}

// interrupted is nil when the user has asked the demo to end: what failed then
// failed because of it.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted before the show was over")
	}
	return err
}
