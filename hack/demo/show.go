package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// probe asks once for records that must be there.
const probe = `apiVersion: auditquery.dev/v1alpha1
kind: ClusterAuditQuery
metadata:
  name: last-event-%d
spec:
  %s
  limit: 1
`

// arrivals are what must be found before queries that run once find everything: the
// last of the things that happened (kube-apiserver sends its events in the order in
// which they ended), the refused token, and what was imported. Elasticsearch shows
// each index what came a moment later, so that one says nothing of another.
var arrivals = []string{
	"audits: {targetResourceType: configmaps, targetResourceName: last-event, action: create}",
	"authAudits: {eventName: Authentication Request, result: Denied}",
	"authAudits: {eventName: Login, result: [Failure, Denied]}",
	"audits: {sourceType: Import}",
}

// awaitEvents asks until everything has arrived. kubectl's own wait polls the
// condition.
func (d *demo) awaitEvents(ctx context.Context) error {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i, found := 0, 0; found < len(arrivals); i++ {
		manifest := fmt.Sprintf(probe, i, arrivals[found])
		if _, _, err := d.stage.ControlPlane().KubectlInput(ctx, strings.NewReader(manifest), "apply", "-f", "-"); err != nil {
			return err
		}
		name := fmt.Sprintf("clusterauditquery/last-event-%d", i)
		if _, err := d.kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=20s", name); err != nil {
			return fmt.Errorf("the server does not answer (its log is %s): %w", d.stage.Server().LogPath(), err)
		}
		returned, err := d.kubectl(ctx, "get", name, "-o", "jsonpath={.status.returned}")
		if err != nil {
			return err
		}
		if _, err := d.kubectl(ctx, "delete", name, "--wait=false"); err != nil {
			return err
		}
		if returned == "1" {
			found++
		}
	}
	return nil
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
					q.kind, q.name, condition, d.stage.Server().LogPath(), err)
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
		{"get", "audits", "-n", "shop"},
		{"get", "audits", "-A", "--field-selector", "action=delete,actorType=Human,from=now-1hour"},
		{"get", "authaudits", "-A", "--field-selector", "result=Denied,from=now-1hour"},
	} {
		if err := d.showView(ctx, view...); err != nil {
			return err
		}
	}
	for _, part := range []func(context.Context) error{d.showREST, d.showIngest, d.showRetention} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// showView shows a kubectl command and what it prints.
func (d *demo) showView(ctx context.Context, args ...string) error {
	out, err := d.kubectl(ctx, args...)
	if err != nil {
		return err
	}
	return d.print("kubectl "+shown(args), out)
}

// showREST asks the original API as its clients do: with a bearer token, at the
// server's own address.
func (d *demo) showREST(ctx context.Context) error {
	url := d.stage.Server().URL() + "/v1/audits?limit=1&action=delete&target_resource_type=deployments&dt_from=now-1hour"
	out, err := d.curl(ctx, d.token, url)
	if err != nil {
		return err
	}
	var answer struct {
		Audits []json.RawMessage `json:"audits"`
	}
	if err := json.Unmarshal(out, &answer); err != nil || len(answer.Audits) != 1 {
		return fmt.Errorf("curl %s found no audit: %s", url, out)
	}
	shown := strings.ReplaceAll(url, d.stage.Server().URL(), "$AUDITQUERY_URL")
	return d.print(`curl --cacert $AUDITQUERY_CA -H "Authorization: Bearer $AUDITQUERY_TOKEN" "`+shown+`"`, string(out)+"\n")
}

// print shows a command and the beginning of what it printed.
func (d *demo) print(command, out string) error {
	const most = 12
	fmt.Fprintf(d.out, "\n$ %s\n", command)
	lines := strings.SplitAfter(out, "\n")
	if len(lines) > most+1 {
		lines = append(lines[:most], fmt.Sprintf("… and %d more\n", len(lines)-most-1))
	}
	return d.indent(strings.Join(lines, ""))
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
