package auditquery

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/store"
)

// The conditions that there were before a pass.
func had(modify ...func(*v1alpha1.AuditQuery)) *scope {
	q := auditQuery(modify...)
	return newScope(q, memo{asked: questionDigest(&q.Spec)}, epoch)
}

func condition(kind, value, reason string) func(*v1alpha1.AuditQuery) {
	return func(q *v1alpha1.AuditQuery) {
		q.Status.Conditions = append(q.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionStatus(value), Reason: reason})
	}
}

func handled(q *v1alpha1.AuditQuery) { q.Status.ObservedGeneration = q.Generation }

func TestEachCondition(t *testing.T) {
	ran := func(s *scope) { s.found = &found{count: store.Count{Records: 1, Exact: true}} }
	foundNone := func(s *scope) { s.found = &found{} }
	broken := func(s *scope) { s.failure = storeFailure(errUnavailable) }
	bad := func(s *scope) { s.failure = stall(v1alpha1.ReasonInvalidTime, "x") }
	held := func(s *scope) { s.held = true }
	off := func(s *scope) { s.suspended = true }
	other := func(s *scope) { s.suspended, s.memo.asked = true, "another question" }
	idle := func(*scope) {}
	was := func(kind, value, reason string) *scope { return had(condition(kind, value, reason)) }
	ready, reconciling, stalledOne, matched := (*scope).setReady, (*scope).setReconciling, (*scope).setStalled, (*scope).setMatched

	tests := map[string]struct {
		scope *scope
		pass  func(*scope)
		set   func(*scope, *v1alpha1.AuditQueryStatus)
		want  string
	}{
		"an answer makes it ready":                        {had(), ran, ready, "Ready=True Succeeded"},
		"a refused spec is not ready":                     {had(), bad, ready, "Ready=False InvalidTime"},
		"a failure leaves open whether it is ready":       {was("Ready", "True", "Succeeded"), broken, ready, "Ready=Unknown StoreUnavailable"},
		"a first run that is held back leaves it open":    {had(), held, ready, "Ready=Unknown Progressing"},
		"a later run that is held back leaves it ready":   {had(handled, condition("Ready", "True", "Succeeded")), held, ready, "Ready=True Succeeded"},
		"suspending an answered question leaves it ready": {was("Ready", "True", "Succeeded"), off, ready, "Ready=True Succeeded"},
		"suspending another question doesn't":             {was("Ready", "True", "Succeeded"), other, ready, "Ready=Unknown Suspended"},
		"suspending during an outage says suspended":      {was("Ready", "Unknown", "StoreUnavailable"), off, ready, "Ready=Unknown Suspended"},
		"a suspended query stays as it is":                {had(handled, condition("Ready", "True", "Succeeded")), other, ready, "Ready=True Succeeded"},
		"an idle pass leaves ready":                       {was("Ready", "True", "Succeeded"), idle, ready, "Ready=True Succeeded"},
		"an answer ends reconciling":                      {was("Reconciling", "True", "StoreTimeout"), ran, reconciling, ""},
		"a refused spec ends reconciling":                 {was("Reconciling", "True", "StoreTimeout"), bad, reconciling, ""},
		"suspending ends reconciling":                     {was("Reconciling", "True", "StoreTimeout"), off, reconciling, ""},
		"a failure is reconciled":                         {had(), broken, reconciling, "Reconciling=True StoreUnavailable"},
		"a run that is held back is reconciled":           {had(), held, reconciling, "Reconciling=True StatusBudget"},
		"an idle pass leaves reconciling":                 {was("Reconciling", "True", "StoreTimeout"), idle, reconciling, "Reconciling=True StoreTimeout"},
		"a refused spec stalls":                           {had(), bad, stalledOne, "Stalled=True InvalidTime"},
		"an answer ends stalled":                          {was("Stalled", "True", "InvalidTime"), ran, stalledOne, ""},
		"a failure ends stalled":                          {was("Stalled", "True", "InvalidTime"), broken, stalledOne, ""},
		"suspending a bad question leaves it stalled":     {was("Stalled", "True", "InvalidTime"), off, stalledOne, "Stalled=True InvalidTime"},
		"suspending another question ends stalled":        {was("Stalled", "True", "InvalidTime"), other, stalledOne, ""},
		"a record makes it matched":                       {had(), ran, matched, "Matched=True RecordsMatched"},
		"no record makes it not matched":                  {was("Matched", "True", "RecordsMatched"), foundNone, matched, "Matched=False NoRecords"},
		"a failure leaves matched":                        {was("Matched", "True", "RecordsMatched"), broken, matched, "Matched=True RecordsMatched"},
		"a refused spec leaves matched, as results do":    {was("Matched", "True", "RecordsMatched"), bad, matched, "Matched=True RecordsMatched"},
		"nothing is matched before a run":                 {had(), broken, matched, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.pass(tc.scope)
			next := tc.scope.base.DeepCopy()
			tc.set(tc.scope, next)
			var want []string
			if tc.want != "" {
				want = []string{tc.want}
			}
			if diff := cmp.Diff(want, brief(&v1alpha1.AuditQuery{Status: *next})); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStepsDecide(t *testing.T) {
	b := newBench(t)
	tests := map[string]struct {
		scope *scope
		step  step
		want  bool
	}{
		"a suspended query stops":             {had(func(q *v1alpha1.AuditQuery) { q.Spec.Suspend = true }), b.r.stopWhenSuspended, false},
		"another goes on":                     {had(), b.r.stopWhenSuspended, true},
		"a new spec is due":                   {had(), b.r.stopUntilDue, true},
		"a finished one-shot is not":          {had(handled), b.r.stopUntilDue, false},
		"a stalled standing query is not":     {had(handled, every(minInterval), condition("Stalled", "True", "InvalidTime")), b.r.stopUntilDue, false},
		"a query without a ttl stays":         {had(handled), b.r.deleteExpired, true},
		"a spec that has not run stays":       {had(livesFor(0), func(q *v1alpha1.AuditQuery) { q.Status.CompletionTime = &metav1.Time{} }), b.r.deleteExpired, true},
		"a standing query stays":              {had(handled, livesFor(0), every(minInterval), func(q *v1alpha1.AuditQuery) { q.Status.CompletionTime = &metav1.Time{} }), b.r.deleteExpired, true},
		"a query that has not finished stays": {had(handled, livesFor(0)), b.r.deleteExpired, true},
		"with budget a run goes on":           {had(), b.r.stopWithoutBudget, true},
		"a good spec is understood":           {had(), b.r.understand, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tc.step(t.Context(), tc.scope)
			if err != nil || got != tc.want {
				t.Errorf("proceeds %v, %v; want %v", got, err, tc.want)
			}
		})
	}
}

func TestShorten(t *testing.T) {
	long := string(make([]byte, maxMessageBytes-1)) + "ééé"
	if got := shorten(long); len(got) > maxMessageBytes || got[len(got)-3:] != "…" {
		t.Errorf("%d bytes, ends in %q", len(got), got[len(got)-4:])
	}
	if got := shorten("short"); got != "short" {
		t.Errorf("%q", got)
	}
}
