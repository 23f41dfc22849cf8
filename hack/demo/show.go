package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// probe asks for the last of the things that happened, once. kube-apiserver
// sends its events in the order in which they ended, a batch a second.
const probe = `apiVersion: auditquery.dev/v1alpha1
kind: ClusterAuditQuery
metadata:
  name: last-event-%d
spec:
  audits: {targetResourceType: configmaps, targetResourceName: last-event, action: create}
  limit: 1
`

// awaitEvents asks until the last event is there, so that queries that run
// once find everything. kubectl's own wait polls the condition.
func (d *demo) awaitEvents(ctx context.Context) error {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i := 0; ; i++ {
		manifest := fmt.Sprintf(probe, i)
		if _, _, err := d.control.KubectlInput(ctx, strings.NewReader(manifest), "apply", "-f", "-"); err != nil {
			return err
		}
		name := fmt.Sprintf("clusterauditquery/last-event-%d", i)
		if _, err := d.kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=20s", name); err != nil {
			return fmt.Errorf("the server does not answer (its log is %s): %w", d.server.LogPath(), err)
		}
		returned, err := d.kubectl(ctx, "get", name, "-o", "jsonpath={.status.returned}")
		if err != nil {
			return err
		}
		if _, err := d.kubectl(ctx, "delete", name, "--wait=false"); err != nil {
			return err
		}
		if returned == "1" {
			return nil
		}
	}
}

// sampleQueries are the objects of config/samples.
var sampleQueries = []struct{ kind, namespace, name string }{
	{"auditquery", "shop", "who-deleted-web"},
	{"auditquery", "shop", "denied"},
	{"auditquery", "shop", "secrets-touched"},
	{"clusterauditquery", "", "failed-logins"},
	{"clusterauditquery", "", "recent-deletions"},
}

// applySamples applies config/samples and fails unless each became Ready and
// found something.
func (d *demo) applySamples(ctx context.Context) error {
	if _, err := d.kubectl(ctx, "apply", "-k", d.source("config", "samples")); err != nil {
		return err
	}
	for _, q := range sampleQueries {
		args := []string{q.kind + "/" + q.name, "--timeout=30s"}
		if q.namespace != "" {
			args = append(args, "-n", q.namespace)
		}
		for _, condition := range []string{"Ready", "Matched"} {
			if _, err := d.kubectl(ctx, append([]string{"wait", "--for=condition=" + condition}, args...)...); err != nil {
				return fmt.Errorf("%s %s did not become %s (the server's log is %s): %w",
					q.kind, q.name, condition, d.server.LogPath(), err)
			}
		}
	}
	return nil
}

// The records of a status, as a person reads them.
const (
	auditRows = `{range .status.audits[*]}{.time}{"  "}{.description}{"\n"}{end}`
	loginRows = `{{range .status.authAudits}}{{printf "%s  %-22s  %-7s  %-5s  %s\n" .time .eventName .result (or .userID "-") .sourceIP}}{{end}}`
)

// show prints what an operator would want to see, with the commands for it.
func (d *demo) show(ctx context.Context) error {
	for _, view := range [][]string{
		{"get", "auditqueries", "-A"},
		{"get", "clusterauditqueries"},
		{"get", "auditquery", "who-deleted-web", "-n", "shop", "-o", "jsonpath=" + auditRows},
		{"get", "auditquery", "denied", "-n", "shop", "-o", "jsonpath=" + auditRows},
		{"get", "auditquery", "secrets-touched", "-n", "shop", "-o", "jsonpath=" + auditRows},
		{"get", "clusterauditquery", "failed-logins", "-o", "go-template=" + loginRows},
	} {
		out, err := d.kubectl(ctx, view...)
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, "\n$ kubectl %s\n", shown(view))
		const most = 12
		lines := strings.SplitAfter(out, "\n")
		if len(lines) > most+1 {
			lines = append(lines[:most], fmt.Sprintf("… and %d more\n", len(lines)-most-1))
		}
		if err := d.indent(strings.Join(lines, "")); err != nil {
			return err
		}
	}
	fmt.Fprintln(d.out)
	return nil
}

// shown is a command as a person would type it.
func shown(args []string) string {
	words := make([]string, 0, len(args))
	for _, arg := range args {
		if strings.ContainsAny(arg, `{}" `) {
			arg = "'" + arg + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}
