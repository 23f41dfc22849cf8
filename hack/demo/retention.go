package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// Names in what is shown of retention.
const (
	archiveOrg  = "initech"
	defaultRule = "default"
	heldUser    = "carol"
)

// archived are records from long before the demo, as an older system kept them: so
// many of an organisation and a user, so many months ago.
var archived = []struct {
	months, records int
	org, user       string
}{
	{months: 30, records: 25, org: archiveOrg, user: "erin"},
	{months: 30, records: 10, org: archiveOrg, user: heldUser},
	{months: 20, records: 15, org: archiveOrg, user: "erin"},
	{months: 100, records: 8, org: "globex", user: "erin"},
}

// archivedAt is when the records of so many months ago are of.
func archivedAt(now time.Time, months int) time.Time {
	return time.Date(now.Year(), now.Month()-time.Month(months), 15, 9, 0, 0, 0, time.UTC)
}

// importArchive gives the importer records that are older than policies keep them.
func (d *demo) importArchive(ctx context.Context) error {
	file, err := os.Create(d.path("archive.jsonl"))
	if err != nil {
		return err
	}
	encode := json.NewEncoder(file)
	for _, a := range archived {
		for i := range a.records {
			if err := encode.Encode(map[string]any{
				"kind": "Audit", "time": archivedAt(d.began, a.months).Add(time.Duration(i) * time.Hour),
				"org_id": a.org, "user_id": a.user, "action": "update", "outcome": "Success",
				"target_resource_type": "ledgers", "target_resource_name": fmt.Sprintf("ledger-%d", i),
				"description": fmt.Sprintf("%s updated the ledger %d", a.user, i),
			}); err != nil {
				return err
			}
		}
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := d.importFile(ctx, file.Name()); err != nil {
		return err
	}
	return d.awaitArchive(ctx)
}

// awaitArchive asks until the store shows a record of each month of the archive:
// nothing is planned for what it does not show yet.
func (d *demo) awaitArchive(ctx context.Context) error {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i := 0; i < len(archived); {
		from := archivedAt(d.began, archived[i].months)
		window := "from=" + from.Format(time.RFC3339) + ",to=" + from.AddDate(0, 0, 7).Format(time.RFC3339)
		found, err := d.kubectl(ctx, "get", "audits", "-A", "-o", "name", "--field-selector", window)
		if err != nil {
			return err
		}
		if found != "" {
			i++
		}
	}
	return nil
}

// hold keeps what a user has done.
const hold = `apiVersion: auditquery.dev/v1alpha1
kind: LegalHold
metadata:
  name: case-0815
spec:
  reason: The auditors ask for what carol changed.
  userIDs: [carol]
`

// plan is a policy's plan as a person reads it.
const plan = `{{with .status.plan}}{{.records}} records would be erased, {{or .heldRecords 0}} are held
{{range .entries}}{{printf "%d %s records of %s, all before %s\n" .records .record .orgID (slice .before 0 10)}}{{end -}}
{{range .holds}}{{printf "the hold %s keeps %d of them\n" .name .records}}{{end}}{{end}}`

// showRetention shows what policies would erase that are not enforced yet, and what a
// hold keeps from them.
func (d *demo) showRetention(ctx context.Context) error {
	if err := os.WriteFile(d.path("plan.tmpl"), []byte(plan), 0o644); err != nil {
		return err
	}
	if err := d.awaitPlan(ctx, "{.status.plan.records}", archivedOf(archiveOrg)); err != nil {
		return err
	}
	if err := d.showView(ctx, "get", "retentionpolicies"); err != nil {
		return err
	}
	if err := d.showPlan(ctx); err != nil {
		return err
	}
	if _, _, err := d.stage.ControlPlane().KubectlInput(ctx, strings.NewReader(hold), "apply", "-f", "-"); err != nil {
		return err
	}
	if err := d.indentAfter("kubectl apply -f - <<END", hold+"END\n"); err != nil {
		return err
	}
	if err := d.awaitPlan(ctx, "{.status.plan.heldRecords}", archivedBy(heldUser)); err != nil {
		return err
	}
	if err := d.showPlan(ctx); err != nil {
		return err
	}
	return d.showView(ctx, "get", "legalholds")
}

// archivedOf is how many records the archive has of an organisation, archivedBy of
// a user.
func archivedOf(org string) (records int) {
	for _, a := range archived {
		if a.org == org {
			records += a.records
		}
	}
	return records
}

func archivedBy(user string) (records int) {
	for _, a := range archived {
		if a.user == user {
			records += a.records
		}
	}
	return records
}

func (d *demo) awaitPlan(ctx context.Context, field string, want int) error {
	_, err := d.kubectl(ctx, "wait", fmt.Sprintf("--for=jsonpath=%s=%d", field, want), "--timeout=30s", "retentionpolicy/"+defaultRule)
	if err != nil {
		return fmt.Errorf("the plan of the policy %s is not as it should be (the server's log is %s): %w",
			defaultRule, d.stage.Server().LogPath(), err)
	}
	return nil
}

// showPlan shows the plan of the policy for all.
func (d *demo) showPlan(ctx context.Context) error {
	out, err := d.kubectl(ctx, "get", "retentionpolicy", defaultRule, "-o", "go-template-file="+d.path("plan.tmpl"))
	if err != nil {
		return err
	}
	return d.print("kubectl get retentionpolicy "+defaultRule+" -o go-template-file=.demo/plan.tmpl", out)
}
