package rules_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/stage"
)

// The organisations that the world's records belong to, each the only one of the
// namespace of its name.
const (
	// smallOrg has smallAudits audits and smallLogins auth audits.
	smallOrg    = "small"
	smallAudits = 40
	smallLogins = 10
	// hugeOrg has so many that a list of it has many pages.
	hugeOrg    = "huge"
	hugeAudits = 100_000
)

// The window of all records that are made here, as a time expression and as the
// instant itself.
const windowFrom = "2026-11-01"

// at is when the record of a number happened: the first at the builders' time,
// each next a second earlier, so that they are all in one window.
func at(number int) record.Timestamp {
	return record.At(builders.Time().Add(-time.Duration(number) * time.Second))
}

// audits makes records of an organisation, whose target ids are a word and a
// number that counts on from begin.
func audits(org, word string, begin, count int, when func(number int) record.Timestamp) []record.Record {
	records := make([]record.Record, count)
	for i := range records {
		number := begin + i
		records[i] = builders.Audit(func(a *record.Audit) {
			a.OrgID, a.TargetID, a.Time = org, fmt.Sprintf("%s-%d", word, number), when(number)
		})
	}
	return records
}

func logins(org string, count int) []record.Record {
	records := make([]record.Record, count)
	for i := range records {
		records[i] = builders.AuthAudit(func(a *record.AuthAudit) {
			a.OrgID, a.RequestID, a.Time = org, fmt.Sprintf("request-%d", i), at(i)
		})
	}
	return records
}

// fill stores the records of smallOrg, and gives them to its namespace.
func fill(ctx context.Context, s *stage.Stage) error {
	records := append(audits(smallOrg, "thing", 0, smallAudits, at), logins(smallOrg, smallLogins)...)
	if err := s.Append(ctx, records...); err != nil {
		return err
	}
	return claim(ctx, s, smallOrg)
}

// claim makes a namespace of an organisation's name, which its records belong to.
func claim(ctx context.Context, s *stage.Stage, org string) error {
	if _, _, err := s.ControlPlane().Kubectl(ctx, "create", "namespace", org); err != nil {
		return err
	}
	_, _, err := s.ControlPlane().KubectlInput(ctx, strings.NewReader(fmt.Sprintf(`
apiVersion: auditquery.dev/v1alpha1
kind: AuditTenant
metadata: {name: %s}
spec: {namespace: %s, orgIDs: [%s]}
`, org, org, org)), "apply", "-f", "-")
	return err
}

// claimed is claim for a test, which takes it back after itself.
func (w *world) claimed(t *testing.T, org string) {
	t.Helper()
	if err := claim(t.Context(), w.Stage, org); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, what := range []string{"namespace", "audittenant"} {
			if _, _, err := w.ControlPlane().Kubectl(context.Background(), "delete", what, org, "--ignore-not-found", "--wait=false"); err != nil {
				t.Error(err)
			}
		}
	})
}

// seen returns when records that were stored can be found.
func seen(t *testing.T, y way) {
	t.Helper()
	await.Nil(t, "the records can be found", func(ctx context.Context) error { return y.good(y.ask(ctx)) })
}
