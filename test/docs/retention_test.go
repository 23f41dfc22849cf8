package docs_test

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/yaml"

	"auditquery.dev/auditquery/api/v1alpha1"
	controller "auditquery.dev/auditquery/controllers/retention"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/retention/oracle"
)

func retentionPage(t *testing.T) string {
	t.Helper()
	return read(t, filepath.Join(repositoryRoot(t), "docs", "retention.md"))
}

// TestWorkedExamplesOfRetention asks the controller's decision, and the oracle of
// its tests, about each row of the page.
func TestWorkedExamplesOfRetention(t *testing.T) {
	_, examples, _ := strings.Cut(section(t, retentionPage(t), "## Worked examples"), "\n### ")
	rows := 0
	for example := range strings.SplitSeq(examples, "\n### ") {
		title, text, _ := strings.Cut(example, "\n")
		manifests := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(text)
		if manifests == nil {
			continue
		}
		t.Run(title, func(t *testing.T) { rows += checkExample(t, manifests[1], text) })
	}
	if rows < 15 {
		t.Errorf("only %d rows", rows)
	}
}

// checkExample returns how many rows the example has.
func checkExample(t *testing.T, manifests, text string) int {
	policies, holds := decode(t, manifests)
	declared := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := time.Date(2026, 11, 24, 15, 30, 0, 0, time.UTC)
	var judge oracle.Oracle
	judge.Observe(policies, holds, declared)
	judge.Observe(policies, holds, now)
	memory := retention.Observe(retention.Memory{}, policies, holds, declared)
	memory = retention.Observe(memory, policies, holds, now)

	rows := regexp.MustCompile("(?m)^\\| `(Audit|AuthAudit)` of (no organisation|`\\w+`)(?: by `(\\w+)`)? \\| (never|`\\w+`) \\|").FindAllStringSubmatch(text, -1)
	for _, row := range rows {
		at := func(when time.Time) record.Record { return recordOf(row[1], row[2], row[3], when) }
		decisions := map[time.Time]bool{time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC): false}
		if row[4] != "never" {
			due := parseAge(t, strings.Trim(row[4], "`")).Before(now)
			decisions = map[time.Time]bool{due: false, due.Add(-time.Microsecond): true}
		}
		for when, want := range decisions {
			if got := judge.Due(at(when), now); got != want {
				t.Errorf("%s: of %s, the oracle says %v", row[0], when, got)
			}
			if got := memory.Due(at(when), now); got != want {
				t.Errorf("%s: of %s, the controller says %v", row[0], when, got)
			}
		}
	}
	checkConflicts(t, memory, text)
	return len(rows)
}

// checkConflicts compares the line on conflicts, if there is one.
func checkConflicts(t *testing.T, memory retention.Memory, text string) {
	t.Helper()
	var got, want []string
	for _, state := range memory.Policies() {
		if len(state.Conflicts) > 0 {
			got = append(got, state.Name)
		}
	}
	if line := regexp.MustCompile(`Conflict is True on: ([^.]*)\.`).FindStringSubmatch(text); line != nil {
		want = strings.Split(strings.ReplaceAll(line[1], "`", ""), ", ")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("conflicts (-page +controller):\n%s", diff)
	}
}

// decode reads manifests as the API server would default them.
func decode(t *testing.T, manifests string) (policies []retention.Policy, holds []retention.Hold) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	for {
		var object struct {
			Kind     string
			Metadata struct{ Name string }
			Spec     struct {
				v1alpha1.RetentionPolicySpec `json:",inline"`
				UserIDs                      []string
			}
		}
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return policies, holds
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds := []record.Kind{record.KindAudit, record.KindAuthAudit}
		if len(object.Spec.Records) > 0 {
			kinds = nil
			for _, kind := range object.Spec.Records {
				kinds = append(kinds, record.Kind(kind))
			}
		}
		if object.Kind == "LegalHold" {
			holds = append(holds, retention.Hold{Name: object.Metadata.Name, Spec: retention.HoldSpec{
				Kinds: kinds, OrgIDs: object.Spec.OrgIDs, UserIDs: object.Spec.UserIDs, ReleaseDelay: time.Hour,
			}})
			continue
		}
		policies = append(policies, retention.Policy{Name: object.Metadata.Name, Rule: ruleOf(t, kinds, &object.Spec.RetentionPolicySpec)})
	}
}

func ruleOf(t *testing.T, kinds []record.Kind, spec *v1alpha1.RetentionPolicySpec) retention.Rule {
	t.Helper()
	rule := retention.Rule{
		Kinds: kinds, OrgIDs: slices.Sorted(slices.Values(spec.OrgIDs)), Keep: parseAge(t, spec.Keep),
		Mode: retention.DryRun, ChangeDelay: 24 * time.Hour,
	}
	if spec.Mode != "" {
		rule.Mode = retention.Mode(spec.Mode)
	}
	if spec.MinKeep != "" {
		rule.MinKeep = parseAge(t, spec.MinKeep)
	}
	if spec.MaxKeep != "" {
		rule.MaxKeep = parseAge(t, spec.MaxKeep)
	}
	if floor, ok := retention.Profile(string(spec.Profile)); ok && floor.Covers(rule.MinKeep) {
		rule.MinKeep = floor
	}
	return rule
}

func recordOf(kind, org, user string, when time.Time) record.Record {
	common := record.Common{Time: record.At(when), UserID: user}
	if org != "no organisation" {
		common.OrgID = strings.Trim(org, "`")
	}
	if kind == string(record.KindAuthAudit) {
		return &record.AuthAudit{Common: common}
	}
	return &record.Audit{Common: common}
}

func parseAge(t *testing.T, text string) retention.Age {
	t.Helper()
	age, err := retention.ParseAge(text)
	if err != nil {
		t.Fatal(err)
	}
	return age
}

// TestAgesOfTheDocumentation computes the tables of ages of both pages.
func TestAgesOfTheDocumentation(t *testing.T) {
	instants := regexp.MustCompile("(?m)^\\| `([0-9TZ:-]{20})` \\| `(\\w+)` \\| `([0-9TZ:-]{20})` \\|$").FindAllStringSubmatch(section(t, retentionPage(t), "### Months"), -1)
	for _, row := range instants {
		now, err := time.Parse(time.RFC3339, row[1])
		if err != nil {
			t.Fatal(err)
		}
		if got := parseAge(t, row[2]).Before(now).Format(time.RFC3339); got != row[3] {
			t.Errorf("%s before %s is %s, the page says %s", row[2], row[1], got, row[3])
		}
	}
	page := read(t, filepath.Join(repositoryRoot(t), "docs", "spec", "retentionpolicy.md"))
	locks := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `(\\w+)` \\| (accepted|refused)").FindAllStringSubmatch(section(t, page, "### Locking"), -1)
	for _, row := range locks {
		if got, want := parseAge(t, row[2]).Covers(parseAge(t, row[1])), row[3] == "accepted"; got != want {
			t.Errorf("a lock that goes from %s to %s: accepted is %v, the page says %s", row[1], row[2], got, row[3])
		}
	}
	profiles := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| `(\\w+)` \\|").FindAllStringSubmatch(section(t, page, "### Profiles"), -1)
	for _, row := range profiles {
		if got, ok := retention.Profile(row[1]); !ok || got != parseAge(t, row[2]) {
			t.Errorf("profile %s is %s, the page says %s", row[1], got, row[2])
		}
	}
	if len(instants) < 5 || len(locks) < 9 || len(profiles) != len(retention.Profiles()) {
		t.Errorf("%d instants, %d locks, %d profiles", len(instants), len(locks), len(profiles))
	}
}

// TestFlagsOfRetention compares the table of flags with what they default to.
func TestFlagsOfRetention(t *testing.T) {
	text := section(t, retentionPage(t), "## Operating it")
	for _, row := range []string{
		fmt.Sprintf("| `--retention-batch-size` | `%d` |", controller.DefaultBatchSize),
		fmt.Sprintf("| `--retention-throttle` | `%v` |", controller.DefaultThrottle),
		fmt.Sprintf("| `--retention-max-run` | `%v` |", controller.DefaultMaxRun),
	} {
		if !strings.Contains(text, "\n"+row) {
			t.Errorf("no row %s", row)
		}
	}
}

// TestMetricsOfRetentionExist looks for the metrics of the alerts, and of the page,
// in the code, and for those of the code in the page.
func TestMetricsOfRetentionExist(t *testing.T) {
	root := repositoryRoot(t)
	metric := regexp.MustCompile(`\bauditquery_retention_[a-z_]+`)
	known := metric.FindAllString(read(t, filepath.Join(root, "controllers", "retention", "metrics.go")), -1)
	shown := metric.FindAllString(section(t, retentionPage(t), "## Operating it"), -1)
	if diff := cmp.Diff(slices.Sorted(slices.Values(known)), slices.Sorted(slices.Values(shown))); diff != "" {
		t.Errorf("metrics (-code +page):\n%s", diff)
	}
	alerts := metric.FindAllString(read(t, filepath.Join(root, "config", "prometheus", "retention_rules.yaml")), -1)
	if len(alerts) < 4 {
		t.Errorf("the alerts have only the metrics %v", alerts)
	}
	for _, name := range alerts {
		if !slices.Contains(known, strings.TrimSuffix(name, "_bucket")) {
			t.Errorf("an alert goes by %s, which there is not", name)
		}
	}
}
