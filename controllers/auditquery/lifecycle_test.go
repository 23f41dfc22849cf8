package auditquery

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/store"
)

func TestSuspend(t *testing.T) {
	b := newBench(t, auditQuery(every(time.Minute)))
	b.reader.add(audit(1))
	b.pass()
	b.edit(func(q *v1alpha1.AuditQuery) { q.Spec.Suspend = true })
	if again := b.pass().RequeueAfter; again != 0 {
		t.Errorf("requeued after %s", again)
	}
	got := b.get()
	check(t, got, status.CurrentStatus, "Ready=True Succeeded", "Matched=True RecordsMatched")
	if got.Status.NextRunTime != nil || len(got.Status.Audits) != 1 || got.Status.ObservedGeneration != 2 {
		t.Errorf("status %+v", got.Status)
	}
	b.restart()
	b.pass()
	if len(b.patches) != 2 {
		t.Errorf("wrote %d times", len(b.patches))
	}
	b.edit(func(q *v1alpha1.AuditQuery) { q.Spec.Suspend = false })
	b.pass()
	if b.reader.asked() != 2 {
		t.Error("did not run at once when it went on")
	}
	b.edit(func(q *v1alpha1.AuditQuery) { q.Spec.Suspend, q.Spec.Audits.Action = true, v1alpha1.Value("get") })
	b.pass()
	check(t, b.get(), status.InProgressStatus, "Ready=Unknown Suspended", "Matched=True RecordsMatched")
}

func TestTimeToLive(t *testing.T) {
	b := newBench(t, auditQuery(livesFor(60)))
	result := b.pass()
	if result.RequeueAfter > time.Minute || result.RequeueAfter < 59*time.Second {
		t.Errorf("looks again after %s", result.RequeueAfter)
	}
	b.restart()
	b.step(result)
	var q v1alpha1.AuditQuery
	err := b.client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "q"}, &q)
	if !apierrors.IsNotFound(err) {
		t.Errorf("still there: %v", err)
	}
}

func TestTimeToLiveSparesAnEditedQuery(t *testing.T) {
	b := newBench(t, auditQuery(livesFor(60)))
	result := b.pass()
	b.frozen = b.get()
	b.edit(func(q *v1alpha1.AuditQuery) { q.Spec.TTLSecondsAfterFinished = nil })
	b.clock.SetTime(b.clock.Now().Add(result.RequeueAfter))
	_, err := b.r.Reconcile(t.Context(), requestFor(b.frozen))
	if !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict", err)
	}
	b.frozen = nil
	b.get()
}

func TestConflictingWriteIsSentAgain(t *testing.T) {
	b := newBench(t, auditQuery())
	b.frozen = b.get()
	q := b.get()
	q.Labels = map[string]string{"team": "blue"}
	if err := b.client.Update(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	b.pass()
	b.frozen = nil
	check(t, b.get(), status.CurrentStatus, "Ready=True Succeeded", "Matched=False NoRecords")
}

func TestAnswerNeverLandsInAnotherObjectOfThatName(t *testing.T) {
	b := newBench(t, auditQuery())
	b.frozen = b.get()
	if err := b.client.Delete(t.Context(), auditQuery()); err != nil {
		t.Fatal(err)
	}
	if err := b.client.Create(t.Context(), auditQuery(func(q *v1alpha1.AuditQuery) { q.UID = "other" })); err != nil {
		t.Fatal(err)
	}
	b.pass()
	b.frozen = nil
	if got := brief(b.get()); len(got) != 0 {
		t.Errorf("the new object has %v", got)
	}
}

func TestFailedWriteIsRetriedWithAnotherRun(t *testing.T) {
	b := newBench(t, auditQuery())
	b.patchError = apierrors.NewGenericServerResponse(http.StatusInternalServerError, "patch", schema.GroupResource{}, "q", "etcd", 0, false)
	if _, err := b.r.Reconcile(t.Context(), requestFor(auditQuery())); err == nil {
		t.Fatal("the failure was swallowed")
	}
	b.pass()
	check(t, b.get(), status.CurrentStatus, "Ready=True Succeeded", "Matched=False NoRecords")
}

// A controller that stops says nothing about the store.
func TestStoppingIsNotAnOutage(t *testing.T) {
	b := newBench(t, auditQuery())
	ctx, cancel := context.WithCancel(t.Context())
	b.r.asker = askerFunc(func(context.Context, store.Question) store.Answer {
		cancel()
		return store.Answer{Err: errUnavailable}
	})
	if _, err := b.r.Reconcile(ctx, requestFor(auditQuery())); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if len(b.patches) != 0 {
		t.Errorf("wrote %s", b.patches)
	}
}

type askerFunc func(context.Context, store.Question) store.Answer

func (f askerFunc) Ask(ctx context.Context, q store.Question) store.Answer { return f(ctx, q) }
