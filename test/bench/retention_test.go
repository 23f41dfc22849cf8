package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store/sqlite"
)

func TestABulkRequestThatIsSwallowedIsAnsweredAsDone(t *testing.T) {
	for name, tc := range map[string]struct{ body, want string }{
		"records that are created": {
			"{\"create\":{\"_id\":\"1\"}}\n{}\n{\"create\":{\"_id\":\"2\"}}\n{}\n",
			`{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}`,
		},
		"records that are deleted": {
			"{\"delete\":{\"_id\":\"1\"}}\n{\"delete\":{\"_id\":\"2\"}}\n",
			`{"errors":false,"items":[{"delete":{"status":200}},{"delete":{"status":200}}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			answer := httptest.NewRecorder()
			answerBulk(answer, []byte(tc.body))
			if diff := cmp.Diff(tc.want, answer.Body.String()); diff != "" || answer.Code != http.StatusOK {
				t.Errorf("the answer is %d (-want +got):\n%s", answer.Code, diff)
			}
		})
	}
}

func TestPoliciesThatArePlannedForNameEveryOtherOrganisation(t *testing.T) {
	for _, orgs := range []int{fewOrgs, manyOrgs} {
		named := map[string]bool{}
		forAll := 0
		for i := range plannedPolicies {
			rule := plannedPolicy(i, orgs).Rule
			if problem := rule.Contradiction(); problem != "" {
				t.Errorf("of %d organisations: policy %d is invalid: %s", orgs, i, problem)
			}
			if len(rule.OrgIDs) == 0 {
				forAll++
			}
			for _, org := range rule.OrgIDs {
				named[org] = true
			}
		}
		if len(named) != orgs/2 || forAll != plannedPolicies/2 {
			t.Errorf("%d of %d organisations are named, and %d policies are for all", len(named), orgs, forAll)
		}
	}
}

func TestAPlanOfManyHasStepsOfEachKind(t *testing.T) {
	now := monthEnd()
	plan := retention.NewPlan(plannedMemory(manyOrgs, now), plannedIndex(manyOrgs, now), now)
	whole := slices.IndexFunc(plan.Steps, func(s retention.Step) bool { return s.Whole })
	part := slices.IndexFunc(plan.Steps, func(s retention.Step) bool { return !s.Whole })
	later := slices.IndexFunc(plan.Shown, func(s retention.Step) bool { return !s.Due.IsZero() })
	would := slices.IndexFunc(plan.Shown, func(s retention.Step) bool { return s.Due.IsZero() })
	if whole < 0 || part < 0 || later < 0 || would < 0 || len(plan.Holds) == 0 || len(plan.Blocked) > 0 {
		t.Errorf("the first whole stretch is step %d, the first part %d; of what is shown %d is due later, and %d in dry-run; %d holds; %q",
			whole, part, later, would, len(plan.Holds), plan.Blocked)
	}
}

func TestWhatBatchesEraseIsMostOfAMonthAndNothingHeld(t *testing.T) {
	const count = 5000
	ctx := t.Context()
	records := newGenerator(count, 1).batch(count)
	want := 0
	for _, r := range records {
		if r.Base().Time.Time().Before(dueUntil()) && !heldUser().Holds(r) {
			want++
		}
	}
	if want < count/2 || want > count*3/4 {
		t.Fatalf("%d of %d records are due", want, count)
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(t.TempDir(), "records.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := appendStored(ctx, s, records); err != nil {
		t.Fatal(err)
	}
	if got, err := erase(ctx, s); err != nil || got != want {
		t.Errorf("%d records were erased, %v; want %d", got, err, want)
	}
}
