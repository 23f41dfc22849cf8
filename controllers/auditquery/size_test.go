package auditquery

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

func TestStatusIsBounded(t *testing.T) {
	sized := func(count, bytes int) []record.Record {
		var out []record.Record
		for n := range count {
			out = append(out, audit(n, describedBy(bytes)))
		}
		return out
	}
	tests := map[string]struct {
		records       []record.Record
		limit         int32
		pageBytes     int
		wantRows      int
		wantTruncated v1alpha1.TruncatedReason
		wantContinue  bool
		// wantNext is the record that the token goes on with.
		wantNext int
	}{
		"500 small rows all fit": {records: sized(500, 1), limit: 500, wantRows: 500},
		"500 of 600 leave a token for the rest": {
			records: sized(600, 1), limit: 500, wantRows: 500, wantContinue: true, wantNext: 500,
		},
		"rows that pass 256 KiB are dropped whole": {
			records: sized(500, 2000), limit: 500, wantRows: 114, wantTruncated: v1alpha1.TruncatedStatusSize, wantContinue: true, wantNext: 114,
		},
		"a record larger than the bound alone leaves none": {
			records: sized(2, 300_000), limit: 20, wantTruncated: v1alpha1.TruncatedRecordSize, wantContinue: true,
		},
		"rows before such a record stay, and none after it": {
			records: []record.Record{audit(1), audit(2), audit(3, describedBy(300_000)), audit(4)},
			limit:   20, wantRows: 2, wantTruncated: v1alpha1.TruncatedRecordSize, wantContinue: true, wantNext: 2,
		},
		"a page that the store ends early is followed by another": {
			records: sized(30, 1), limit: 30, pageBytes: 3000, wantRows: 30,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, auditQuery(limited(tc.limit)))
			b.reader.pageBytes = tc.pageBytes
			b.reader.add(tc.records...)
			b.pass()
			q := b.get()
			got := q.Status
			if data, _ := json.Marshal(got); len(data) > MaxStatusBytes {
				t.Errorf("status has %d bytes", len(data))
			} else if tc.wantTruncated == v1alpha1.TruncatedStatusSize && len(data) < MaxStatusBytes-3000 {
				t.Errorf("status has only %d bytes", len(data))
			}
			if len(got.Audits) != tc.wantRows || int(*got.Returned) != tc.wantRows {
				t.Errorf("%d rows, returned %d, want %d", len(got.Audits), *got.Returned, tc.wantRows)
			}
			if got.TruncatedReason != tc.wantTruncated || got.Truncated != (tc.wantTruncated != "") {
				t.Errorf("truncated %v %q, want %q", got.Truncated, got.TruncatedReason, tc.wantTruncated)
			}
			if got.Matched.Count != int64(len(tc.records)) {
				t.Errorf("matched %v, want %d", got.Matched, len(tc.records))
			}
			if told := strings.Contains(got.Conditions[0].Message, messageTruncated); told != got.Truncated {
				t.Errorf("message %q", got.Conditions[0].Message)
			}
			if kstatusOf(t, q) != status.CurrentStatus {
				t.Errorf("kstatus %s", kstatusOf(t, q))
			}
			if (got.Continue != "") != tc.wantContinue {
				t.Fatalf("continue %q", got.Continue)
			}
			if tc.wantContinue {
				b.goesOn(got.Continue, tc.records[tc.wantNext])
			}
		})
	}
}

// goesOn checks that a continue token gives want first.
func (b *bench) goesOn(token string, want record.Record) {
	b.t.Helper()
	cursor, err := newCursors(b.t, b.clock.Now).Decode(token)
	if err != nil {
		b.t.Fatal(err)
	}
	q, err := cursor.Query(record.KindAudit, b.reader.last().Query.Scope, 1)
	if err != nil {
		b.t.Fatal(err)
	}
	page := b.reader.answer(b.t.Context(), store.Question{Query: q}).Page
	if len(page.Documents) != 1 || !strings.Contains(string(page.Documents[0]), want.Base().ID.String()) {
		b.t.Errorf("the token does not go on with %s", want.Base().ID)
	}
}

func TestCountBeyondItsBoundIsAtLeast(t *testing.T) {
	s := answeredScope(MaxCounted, false)
	b := newBench(t, auditQuery())
	next := composed{}
	b.r.composeAnswer(s, &next)
	if diff := cmp.Diff(&v1alpha1.MatchCount{Count: 10_000, Relation: "AtLeast", Text: "10000+"}, next.status.Matched); diff != "" {
		t.Errorf("matched (-want +got):\n%s", diff)
	}
}

func answeredScope(count int64, exact bool) *scope {
	s := newScope(auditQuery(), memo{}, epoch)
	s.query.Kind, s.query.Scope.Name = record.KindAudit, "namespace/shop"
	s.found = &found{finished: epoch, count: store.Count{Records: count, Exact: exact}}
	return s
}

func TestFilterTooLargeForATokenIsTold(t *testing.T) {
	tests := map[string]struct {
		records     int
		wantMessage string
	}{
		"when there are more records":           {records: 3, wantMessage: messageSucceeded + messageNoContinue},
		"but not when a token would be useless": {records: 2, wantMessage: messageSucceeded},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			users := []string{"alice"}
			for n := range 99 {
				users = append(users, fmt.Sprintf("%03d%s", n, strings.Repeat("u", 100)))
			}
			b := newBench(t, auditQuery(limited(2), func(q *v1alpha1.AuditQuery) { q.Spec.Audits.UserID = v1alpha1.AnyOf(users...) }))
			for n := range tc.records {
				b.reader.add(audit(n))
			}
			b.pass()
			got := b.get().Status
			if got.Conditions[0].Message != tc.wantMessage || got.Continue != "" || len(got.Audits) != 2 {
				t.Errorf("message %q, continue %q, %d rows", got.Conditions[0].Message, got.Continue, len(got.Audits))
			}
		})
	}
}

func TestStatusBudgetHoldsRunsBack(t *testing.T) {
	b := newBench(t, auditQuery(every(time.Minute)))
	result := b.pass()
	b.clock.SetTime(b.clock.Now().Add(result.RequeueAfter))
	b.r.budget.spend(b.clock.Now(), burstBytes)
	for range 20 {
		b.r.budget.spend(b.clock.Now(), DefaultStatusBytesPerSecond)
	}

	result = b.pass()
	if b.reader.asked() != 1 || len(b.patches) != 1 {
		t.Fatal("the run was not held back, or a short hold was told")
	}
	if result.RequeueAfter < 19*time.Second || result.RequeueAfter > 21*time.Second {
		t.Errorf("looks again after %s", result.RequeueAfter)
	}
	b.clock.SetTime(b.clock.Now().Add(budgetNotice))
	b.pass()
	check(t, b.get(), status.InProgressStatus, "Ready=True Succeeded", "Reconciling=True StatusBudget", "Matched=False NoRecords")
	b.clock.SetTime(b.clock.Now().Add(time.Minute))
	b.pass()
	check(t, b.get(), status.CurrentStatus, "Ready=True Succeeded", "Matched=False NoRecords")
}

func TestBudget(t *testing.T) {
	b := newBudget(1000)
	now := epoch
	if got := b.delay(now); got != 0 {
		t.Errorf("a full budget delays by %s", got)
	}
	b.spend(now, burstBytes)
	b.spend(now, 5000)
	if got := b.delay(now); got != 5*time.Second {
		t.Errorf("a debt of 5,000 bytes at 1,000 a second delays by %s", got)
	}
	if got := b.delay(now.Add(5 * time.Second)); got != 0 {
		t.Errorf("a paid debt delays by %s", got)
	}
	b.spend(now, 100*burstBytes)
	if got := b.delay(now); got > 5*time.Second+burstBytes*time.Millisecond {
		t.Errorf("one write delays by %s", got)
	}
}

// A small write makes the API server store the whole object, so it costs as much.
func TestBudgetCountsRowsThatAreNotSent(t *testing.T) {
	b := newBench(t, auditQuery(every(time.Minute)))
	b.reader.add(audit(1, describedBy(100_000)))
	b.pass()
	b.reader.fail(errUnavailable)
	b.restart()
	b.step(b.pass())
	if before := burstBytes - b.r.budget.bucket.TokensAt(b.clock.Now()); before < 90_000 {
		t.Errorf("the second write cost %.0f bytes", before)
	}
}

func TestStatusPatchNamesEveryField(t *testing.T) {
	body, err := statusPatch("7", &v1alpha1.AuditQueryStatus{}, true)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"metadata":{"resourceVersion":"7"},"status":{"audits":null,"authAudits":null,"completionTime":null,` +
		`"conditions":null,"continue":null,"lastRunTime":null,"matched":null,"nextRunTime":null,"observedGeneration":null,` +
		`"returned":null,"truncated":null,"truncatedReason":null,"window":null}}`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Errorf("patch (-want +got):\n%s", diff)
	}
	at := metav1.NewTime(epoch)
	body, err = statusPatch("7", &v1alpha1.AuditQueryStatus{LastRunTime: &at}, false)
	if err != nil || strings.Contains(string(body), "udits") || !strings.Contains(string(body), `"lastRunTime":"2026`) {
		t.Errorf("patch without rows: %s, %v", body, err)
	}
}
