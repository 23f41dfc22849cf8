package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// application is the ServiceAccount of a program that writes records of its own.
const application = "invoices"

// applicationLines are what it sends: one record of an organisation that its
// namespace claims, and one of another's.
const applicationLines = `{"kind":"Audit","time":"%[1]s","org_id":"globex","user_id":"erin","action":"delete","target_resource_type":"invoices","target_resource_name":"4711","outcome":"Success","description":"erin deleted the invoice 4711"}
{"kind":"Audit","time":"%[1]s","org_id":"initech","user_id":"erin","action":"delete","target_resource_type":"invoices","target_resource_name":"4712","outcome":"Success","description":"erin deleted the invoice 4712"}
`

// showIngest has an application send its records with a ServiceAccount's token.
func (d *demo) showIngest(ctx context.Context) error {
	if _, err := d.kubectl(ctx, "create", "rolebinding", application+"-writes", "-n", "shop", "--clusterrole=auditquery-writer",
		"--serviceaccount=shop:"+application); err != nil {
		return err
	}
	config, err := d.stage.TokenConfig(ctx, "shop", application)
	if err != nil {
		return err
	}
	lines := fmt.Sprintf(applicationLines, time.Now().UTC().Format(time.RFC3339Nano))
	if err := os.WriteFile(d.path("invoices.jsonl"), []byte(lines), 0o600); err != nil {
		return err
	}
	if err := d.indentAfter("cat invoices.jsonl", lines); err != nil {
		return err
	}
	url := d.stage.Server().IngestURL() + "/ingest/records"
	out, err := d.curl(ctx, config.BearerToken, url, "--header", "Content-Type: application/x-ndjson",
		"--data-binary", "@"+d.path("invoices.jsonl"))
	if err != nil {
		return err
	}
	var answer struct {
		Accepted int `json:"accepted"`
		Rejected int `json:"rejected_total"`
	}
	if err := json.Unmarshal(out, &answer); err != nil || answer.Accepted != 1 || answer.Rejected != 1 {
		return fmt.Errorf("curl %s should have had one record accepted and one rejected: %s", url, out)
	}
	return d.print(`curl --cacert $AUDITQUERY_CA -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/x-ndjson' \
    $AUDITQUERY_INGEST_URL/ingest/records --data-binary @invoices.jsonl`, string(out))
}

func (d *demo) indentAfter(command, text string) error {
	fmt.Fprintf(d.out, "\n$ %s\n", command)
	return d.indent(text)
}

// curl asks with a token, which is not for everybody's eyes, as an argument is.
func (d *demo) curl(ctx context.Context, token, url string, args ...string) ([]byte, error) {
	args = append([]string{"--silent", "--show-error", "--fail-with-body", "--cacert", d.stage.CAPath(), "--header", "@-", url}, args...)
	command := exec.CommandContext(ctx, "curl", args...)
	command.Stdin = strings.NewReader("Authorization: Bearer " + token)
	out, err := command.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("curl %s: %w\n%s", url, err, out)
	}
	return out, nil
}
