package auditquery

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/store"
)

var errUnavailable = &store.Error{
	Reason: store.Unavailable, Op: "list Audit", Message: "no node answers",
	Err: errors.New("dial tcp https://elastic:hunter2@10.0.0.7:9200: connection refused"),
}

// brief is a status in one line per condition: "Ready=True Succeeded".
func brief(q *v1alpha1.AuditQuery) []string {
	var out []string
	for _, name := range []string{"Ready", "Reconciling", "Stalled", "Matched"} {
		if c := meta.FindStatusCondition(q.Status.Conditions, name); c != nil {
			out = append(out, name+"="+string(c.Status)+" "+c.Reason)
		}
	}
	return out
}

func kstatusOf(t *testing.T, q *v1alpha1.AuditQuery) status.Status {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(q)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AuditQuery"))
	result, err := status.Compute(object)
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

func check(t *testing.T, q *v1alpha1.AuditQuery, wantKstatus status.Status, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, brief(q)); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	if got := kstatusOf(t, q); got != wantKstatus {
		t.Errorf("kstatus %s, want %s", got, wantKstatus)
	}
}

func TestOutcomes(t *testing.T) {
	tests := map[string]struct {
		query       *v1alpha1.AuditQuery
		failing     error
		records     int
		wantKstatus status.Status
		want        []string
		wantMessage string
		wantAgain   bool
		wantHandled int64
	}{
		"an answered query is ready": {
			query: auditQuery(), records: 3, wantKstatus: status.CurrentStatus, wantHandled: 1,
			want: []string{"Ready=True Succeeded", "Matched=True RecordsMatched"}, wantMessage: "Status holds",
		},
		"a query that found nothing is ready and not matched": {
			query: auditQuery(), wantKstatus: status.CurrentStatus, wantHandled: 1,
			want: []string{"Ready=True Succeeded", "Matched=False NoRecords"}, wantMessage: "Status holds",
		},
		"an invalid time stalls": {
			query: auditQuery(fromTo("now-1dya", "")), wantKstatus: status.FailedStatus, wantHandled: 1,
			want: []string{"Ready=False InvalidTime", "Stalled=True InvalidTime"}, wantMessage: "spec.from: invalid time",
		},
		"a window that ends before it starts stalls": {
			query: auditQuery(fromTo("now", "now-1h")), wantKstatus: status.FailedStatus, wantHandled: 1,
			want: []string{"Ready=False InvalidTime", "Stalled=True InvalidTime"}, wantMessage: "not before to",
		},
		"an invalid filter stalls": {
			query: auditQuery(func(q *v1alpha1.AuditQuery) { q.Spec.Audits.SourceIP = v1alpha1.Value("10.0.0") }),
			want:  []string{"Ready=False InvalidFilter", "Stalled=True InvalidFilter"}, wantHandled: 1,
			wantKstatus: status.FailedStatus, wantMessage: "spec.audits.sourceIP: ",
		},
		"a query that the store refuses stalls": {
			query: auditQuery(), failing: &store.Error{Reason: store.Invalid, Message: "too many terms"}, wantHandled: 1,
			want:        []string{"Ready=False InvalidFilter", "Stalled=True InvalidFilter"},
			wantKstatus: status.FailedStatus, wantMessage: "too many terms",
		},
		"an unreachable store leaves it open": {
			query: auditQuery(), failing: errUnavailable, wantAgain: true, wantHandled: -1,
			want:        []string{"Ready=Unknown StoreUnavailable", "Reconciling=True StoreUnavailable"},
			wantKstatus: status.InProgressStatus, wantMessage: "no node answers",
		},
		"a slow store leaves it open": {
			query: auditQuery(), failing: &store.Error{Reason: store.Timeout, Message: "30s are over"}, wantAgain: true, wantHandled: -1,
			want:        []string{"Ready=Unknown StoreTimeout", "Reconciling=True StoreTimeout"},
			wantKstatus: status.InProgressStatus, wantMessage: "30s are over",
		},
		"an error of no known kind leaves it open and is not quoted": {
			query: auditQuery(), failing: errors.New("https://elastic:hunter2@10.0.0.7"), wantAgain: true, wantHandled: -1,
			want:        []string{"Ready=Unknown QueryFailed", "Reconciling=True QueryFailed"},
			wantKstatus: status.InProgressStatus, wantMessage: "unexpected",
		},
		"a suspended query that has not run says so": {
			query:       auditQuery(func(q *v1alpha1.AuditQuery) { q.Spec.Suspend = true }),
			wantKstatus: status.InProgressStatus, wantHandled: 1,
			want: []string{"Ready=Unknown Suspended"}, wantMessage: "suspended",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tc.query)
			for n := range tc.records {
				b.reader.add(audit(n))
			}
			b.reader.fail(tc.failing)
			result := b.pass()
			got := b.get()
			check(t, got, tc.wantKstatus, tc.want...)
			message := meta.FindStatusCondition(got.Status.Conditions, "Ready").Message
			if !strings.Contains(message, tc.wantMessage) || strings.Contains(message, "hunter2") || strings.Contains(message, "10.0.0.7") {
				t.Errorf("message %q, want it to hold %q and no address", message, tc.wantMessage)
			}
			if again := result.RequeueAfter > 0; again != tc.wantAgain {
				t.Errorf("run again: %v, want %v", again, tc.wantAgain)
			}
			if got.Status.ObservedGeneration != tc.wantHandled {
				t.Errorf("observedGeneration %d, want %d", got.Status.ObservedGeneration, tc.wantHandled)
			}
			if e := b.nextEvent(); e == "" || strings.Contains(e, "hunter2") {
				t.Errorf("event %q", e)
			}
		})
	}
}

func TestAnswerInStatus(t *testing.T) {
	b := newBench(t, auditQuery(limited(2), fromTo("now-1h", "now")))
	for n := range 5 {
		b.reader.add(audit(n + 1))
	}
	b.pass()
	got := b.get().Status
	from, to := metav1.NewMicroTime(epoch.Add(-time.Hour)), metav1.NewMicroTime(epoch)
	if diff := cmp.Diff(&v1alpha1.Window{From: &from, To: &to}, got.Window); diff != "" {
		t.Errorf("window (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&v1alpha1.MatchCount{Count: 5, Relation: "Exact", Text: "5"}, got.Matched); diff != "" {
		t.Errorf("matched (-want +got):\n%s", diff)
	}
	if len(got.Audits) != 2 || got.Audits[0].ID != audit(1).ID.String() || *got.Returned != 2 || got.Truncated {
		t.Errorf("rows %v, returned %v, truncated %v", got.Audits, *got.Returned, got.Truncated)
	}
	cursor, err := newCursors(t, b.clock.Now).Decode(got.Continue)
	if err != nil {
		t.Fatal(err)
	}
	want := store.Cursor{
		Kind: "Audit", Scope: "namespace/shop", From: from.Time, To: to.Time, After: store.PositionOf(audit(2)), Rows: 2, Issued: epoch,
	}
	if diff := cmp.Diff(want, cursor); diff != "" {
		t.Errorf("cursor (-want +got):\n%s", diff)
	}
	if got.CompletionTime == nil || got.NextRunTime != nil {
		t.Errorf("completion %v, next run %v", got.CompletionTime, got.NextRunTime)
	}
	if data, _ := json.Marshal(got); strings.Contains(string(data), "secret") {
		t.Error("details are in status")
	}
	if q := b.reader.last(); q.CountAtMost != MaxCounted || q.Query.Scope.Restrict == nil {
		t.Errorf("question %+v", q)
	}
}

func TestNamespaceSeesOnlyItsOwn(t *testing.T) {
	foreign := audit(1)
	foreign.OrgID = "bank"
	before := audit(int((25 * time.Hour).Seconds()))
	bulk := audit(2)
	bulk.SourceType = "Bulk"
	b := newBench(t, auditQuery())
	b.reader.add(foreign, before, bulk, audit(3))
	b.pass()
	if got := b.get().Status.Audits; len(got) != 1 || got[0].ID != audit(3).ID.String() {
		t.Errorf("rows %v", got)
	}
}

func TestUnknownNamespaceRunsNothing(t *testing.T) {
	b := newBench(t, auditQuery())
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	ns.SetName("shop")
	if err := b.client.Delete(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	b.pass()
	check(t, b.get(), status.InProgressStatus, "Ready=Unknown ScopeUnknown", "Reconciling=True ScopeUnknown")
	if b.reader.asked() != 0 {
		t.Error("the store was asked")
	}
}

func TestOneShotRunsOncePerGeneration(t *testing.T) {
	b := newBench(t, auditQuery())
	b.reader.add(audit(1))
	if again := b.pass().RequeueAfter; again != 0 {
		t.Errorf("requeued after %s", again)
	}
	b.clock.SetTime(epoch.Add(time.Hour))
	b.pass()
	b.restart()
	b.pass()
	if b.reader.asked() != 1 || len(b.patches) != 1 {
		t.Fatalf("asked %d times, wrote %d times; want once", b.reader.asked(), len(b.patches))
	}
	b.edit(func(q *v1alpha1.AuditQuery) { q.Spec.Limit = 5 })
	b.pass()
	if b.reader.asked() != 2 || b.get().Status.ObservedGeneration != 2 {
		t.Error("a new spec did not run at once")
	}
}

func TestStaleCacheDoesNotRunAgain(t *testing.T) {
	b := newBench(t, auditQuery())
	b.frozen = b.get()
	b.pass()
	b.pass()
	if b.reader.asked() != 1 || len(b.patches) != 1 {
		t.Errorf("asked %d times, wrote %d times; want once", b.reader.asked(), len(b.patches))
	}
}

func TestStalledIsNotRetriedUntilTheSpecChanges(t *testing.T) {
	b := newBench(t, auditQuery(every(time.Minute), fromTo("nwo", "")))
	if again := b.pass().RequeueAfter; again != 0 {
		t.Errorf("requeued after %s", again)
	}
	b.clock.SetTime(epoch.Add(time.Hour))
	b.restart()
	b.pass()
	if len(b.patches) != 1 {
		t.Errorf("wrote %d times", len(b.patches))
	}
	b.edit(func(q *v1alpha1.AuditQuery) { q.Spec.From = "now-1h" })
	b.pass()
	check(t, b.get(), status.CurrentStatus, "Ready=True Succeeded", "Matched=False NoRecords")
}

func TestOutageKeepsResultsAndRecovers(t *testing.T) {
	b := newBench(t, auditQuery(every(time.Minute)))
	b.reader.add(audit(1))
	result := b.pass()
	ran := b.get().Status
	b.nextEvent()
	b.reader.fail(errUnavailable)
	for range 8 {
		result = b.step(result)
		if result.RequeueAfter > maxPause+maxPause/2 {
			t.Errorf("pause %s", result.RequeueAfter)
		}
	}
	down := b.get()
	check(t, down, status.InProgressStatus, "Ready=Unknown StoreUnavailable", "Reconciling=True StoreUnavailable", "Matched=True RecordsMatched")
	if diff := cmp.Diff(ran.Audits, down.Status.Audits); diff != "" || !down.Status.LastRunTime.Equal(ran.LastRunTime) {
		t.Errorf("results were not kept:\n%s", diff)
	}
	if len(b.patches) != 2 {
		t.Errorf("wrote %d times, want once for the answer and once for the outage", len(b.patches))
	}
	if e := b.nextEvent(); !strings.HasPrefix(e, "Warning StoreUnavailable") {
		t.Errorf("event %q", e)
	}
	b.reader.fail(nil)
	b.step(result)
	check(t, b.get(), status.CurrentStatus, "Ready=True Succeeded", "Matched=True RecordsMatched")
	if e := b.nextEvent(); !strings.HasPrefix(e, "Normal Succeeded") {
		t.Errorf("event %q", e)
	}
	if e := b.nextEvent(); e != "" {
		t.Errorf("further event %q", e)
	}
	if strings.Contains(b.patches[2], `"audits"`) {
		t.Error("the same rows were written again")
	}
}

func TestSpecChangeDoesNotWaitForTheBackOff(t *testing.T) {
	b := newBench(t, auditQuery())
	b.reader.fail(errUnavailable)
	b.pass()
	b.reader.fail(nil)
	b.pass()
	if b.reader.asked() != 1 {
		t.Fatal("asked before the pause was over")
	}
	b.edit(func(q *v1alpha1.AuditQuery) { q.Spec.Limit = 5 })
	b.pass()
	check(t, b.get(), status.CurrentStatus, "Ready=True Succeeded", "Matched=False NoRecords")
}

func TestStandingQueryWritesOnlyWhatChanged(t *testing.T) {
	b := newBench(t, auditQuery(every(time.Minute), fromTo("now-30d", "")))
	b.reader.add(audit(1), audit(2))
	result := b.pass()
	for range 9 {
		result = b.step(result)
	}
	if b.reader.asked() != 10 || len(b.patches) != 1 {
		t.Fatalf("asked %d times, wrote %d times; want 10 and 1", b.reader.asked(), len(b.patches))
	}
	for range 3 {
		result = b.step(result)
	}
	if len(b.patches) != 2 || strings.Contains(b.patches[1], `"audits"`) {
		t.Fatalf("after 10 minutes want one small write more, got %d: %.300s", len(b.patches), b.patches[len(b.patches)-1])
	}
	b.reader.add(audit(0))
	b.step(result)
	if got := b.get().Status; len(b.patches) != 3 || len(got.Audits) != 3 || got.Matched.Count != 3 {
		t.Fatalf("wrote %d times, rows %d", len(b.patches), len(got.Audits))
	}
	b.restart()
	result = b.step(b.pass())
	if len(b.patches) != 3 {
		t.Error("after a restart the same rows were written again")
	}
	b.reader.clear()
	b.step(result)
	got := b.get().Status
	if len(got.Audits) != 0 || got.Matched.Count != 0 || *got.Returned != 0 {
		t.Errorf("rows that are gone are still there: %+v", got.Audits)
	}
}

func TestIntervalKeepsToItsGrid(t *testing.T) {
	b := newBench(t, auditQuery(every(time.Minute)))
	result := b.pass()
	first := b.clock.Now().Add(result.RequeueAfter)
	if gap := first.Sub(epoch); gap < 30*time.Second || gap > 90*time.Second {
		t.Errorf("the second run is %s after the first", gap)
	}
	for n := range 5 {
		result = b.step(result)
		if late := b.clock.Now().Sub(first.Add(time.Duration(n) * time.Minute)); late != 0 {
			t.Errorf("run %d is off by %s", n, late)
		}
	}
}

func TestMetrics(t *testing.T) {
	b := newBench(t, auditQuery(every(time.Minute)))
	result := b.pass()
	b.reader.fail(errUnavailable)
	b.step(result)
	want := `
# HELP auditquery_runs_total Runs of queries, by how they ended.
# TYPE auditquery_runs_total counter
auditquery_runs_total{kind="AuditQuery",result="store_unavailable"} 1
auditquery_runs_total{kind="AuditQuery",result="succeeded"} 1
`
	if err := testutil.GatherAndCompare(b.registry, strings.NewReader(want), "auditquery_runs_total"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(b.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}
