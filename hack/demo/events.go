package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"auditquery.dev/auditquery/test/builders"
)

// things are what happens in the cluster, as people do it with kubectl. Those
// who may not are refused; that is part of the show.
const things = `
as admin: create namespace shop
as admin: create namespace bank
as admin: create rolebinding alice-edits --clusterrole=edit --user=alice -n shop
as alice: create deployment web --image=registry.example/web:1 --replicas=2 -n shop
as alice: create deployment api --image=registry.example/api:1 -n shop
as alice: scale deployment web --replicas=3 -n shop
as alice: create secret generic payment --from-literal=key=not-a-real-key -n shop
as alice: get secret payment -n shop
as alice: create serviceaccount deployer -n shop
as admin: create token deployer -n shop
as alice: delete deployment web -n shop
as mallory, who is refused: get secrets -n shop
as mallory, who is refused: delete deployment api -n shop
with a bad token, who is refused: get pods -n shop
as admin: create configmap last-event -n bank
`

func (d *demo) makeThingsHappen(ctx context.Context) error {
	for _, user := range []string{"alice", "mallory"} {
		if err := d.stage.ControlPlane().WriteKubeconfig(d.path(user+".kubeconfig"), user, "system:authenticated"); err != nil {
			return err
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(things), "\n") {
		who, command, _ := strings.Cut(line, ": ")
		d.detail("%s: kubectl %s", who, command)
		who, refused := strings.CutSuffix(who, ", who is refused")
		args := strings.Fields(command)
		if user := strings.TrimPrefix(who, "as "); user == "alice" || user == "mallory" {
			args = append(args, "--kubeconfig="+d.path(user+".kubeconfig"))
		}
		if who == "with a bad token" {
			if err := d.writeBadTokenKubeconfig(); err != nil {
				return err
			}
			args = append(args, "--kubeconfig="+d.path("badtoken.kubeconfig"))
		}
		_, err := d.kubectl(ctx, args...)
		switch {
		case refused && err == nil:
			return fmt.Errorf("kubectl %s was allowed and should have been refused", command)
		case !refused && err != nil:
			return err
		}
	}
	return nil
}

func (d *demo) writeBadTokenKubeconfig() error {
	content := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: demo, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: nobody, user: {token: this-token-is-no-longer-valid}}]
contexts: [{name: demo, context: {cluster: demo, user: nobody}}]
current-context: demo
`, d.stage.ControlPlane().URL(), d.path("cluster-ca.crt"))
	return errors.Join(
		os.WriteFile(d.path("cluster-ca.crt"), d.stage.ControlPlane().CAPEM(), 0o644),
		os.WriteFile(d.path("badtoken.kubeconfig"), []byte(content), 0o600),
	)
}

// importSample gives the importer what a company's applications would have
// written in the last week.
func (d *demo) importSample(ctx context.Context) error {
	sample, err := os.Create(d.path("applications.jsonl"))
	if err != nil {
		return err
	}
	if err := errors.Join(builders.WriteSample(sample, time.Now()), sample.Close()); err != nil {
		return err
	}
	return d.importFile(ctx, sample.Name())
}

func (d *demo) importFile(ctx context.Context, path string) error {
	command := exec.CommandContext(ctx, d.source("bin", "auditquery"),
		append([]string{"import", "--cluster-name=" + clusterName, path}, d.stage.StoreArgs()...)...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("auditquery import: %w\n%s", err, output)
	}
	return d.indent(string(output))
}

// kubectl runs kubectl, as the administrator unless args say otherwise, and
// returns what it printed.
func (d *demo) kubectl(ctx context.Context, args ...string) (string, error) {
	out, _, err := d.stage.ControlPlane().Kubectl(ctx, args...)
	return out, err
}

func (d *demo) indent(text string) error {
	for line := range strings.Lines(text) {
		if _, err := io.WriteString(d.out, "    "+strings.TrimRight(line, "\n")+"\n"); err != nil {
			return err
		}
	}
	return nil
}
