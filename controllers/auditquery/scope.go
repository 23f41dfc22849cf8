package auditquery

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/store"
)

// Object is an AuditQuery or a ClusterAuditQuery.
type Object interface {
	client.Object
	QuerySpec() *v1alpha1.AuditQuerySpec
	QueryStatus() *v1alpha1.AuditQueryStatus
}

// scope is what one pass over one object knows. Steps read what is above the
// line and set what is below; the writer of status reads all of it.
type scope struct {
	// obj is as the cache shows it and is never changed.
	obj  Object
	spec *v1alpha1.AuditQuerySpec
	key  types.NamespacedName
	// now is the pass's one reading of the clock.
	now time.Time
	// base is the status as it was last written, without rows; rows says which
	// rows it has. version is the resourceVersion that they were read at.
	base    v1alpha1.AuditQueryStatus
	rows    rowSet
	version string
	// asked is the digest of what the spec asks, apart from when.
	asked string
	// memo is what is remembered, to be remembered again at the end.
	memo memo

	// ---- set by steps

	// suspended: the pass ended because the spec says so.
	suspended bool
	// held: the budget has held the run back for so long that status says so.
	held bool
	// due is when the run of this pass was due.
	due time.Time
	// query is the question, once the spec has been understood.
	query query.Query
	// found is the answer, when the run succeeded.
	found *found
	// failure is why a step failed.
	failure *failure
	// deleted: the object's time to live is over, and it was deleted.
	deleted bool
	// wakeAt is when to look at the object again; zero for not before it
	// changes.
	wakeAt time.Time
}

// found is the answer to a query.
type found struct {
	// finished is when it was there.
	finished time.Time
	// rows are the newest records, at most limit of them.
	rows []row
	// more is true when the store has further records behind rows.
	more bool
	// count is how many match.
	count store.Count
	// truncated: rows were left out, since status would be too large.
	truncated bool
	// noContinue: a continue token is needed, and the filter is too large for
	// one.
	noContinue bool
}

// outcome is what a pass came to.
type outcome int

const (
	// unchanged: there was nothing to do.
	unchanged outcome = iota
	answered
	refused
	failed
	heldBack
	suspended
)

func (s *scope) outcome() outcome {
	switch {
	case s.failure != nil && s.failure.class == stalled:
		return refused
	case s.failure != nil:
		return failed
	case s.found != nil:
		return answered
	case s.held:
		return heldBack
	case s.suspended:
		return suspended
	default:
		return unchanged
	}
}

// newScope puts together what is known of an object: what the cache shows or, if
// that is newer, what was last written.
func newScope(obj Object, known memo, now time.Time) *scope {
	s := &scope{
		obj: obj, spec: obj.QuerySpec(), key: client.ObjectKeyFromObject(obj), now: now,
		memo: known, asked: questionDigest(obj.QuerySpec()),
	}
	if known.newerThan(obj.GetResourceVersion()) {
		s.base, s.rows, s.version = known.status, known.rows, known.version
	} else {
		s.rows, s.version = rowSetOf(obj.QueryStatus()), obj.GetResourceVersion()
		s.base = withoutRows(obj.QueryStatus())
	}
	if len(s.base.Conditions) == 0 && s.base.ObservedGeneration == 0 {
		s.base.ObservedGeneration = -1
	}
	if s.handled() && (s.is(v1alpha1.ConditionReady) || s.is(v1alpha1.ConditionStalled)) {
		s.memo.asked = s.asked
	}
	return s
}

func withoutRows(status *v1alpha1.AuditQueryStatus) v1alpha1.AuditQueryStatus {
	shallow := *status
	shallow.Audits, shallow.AuthAudits = nil, nil
	return *shallow.DeepCopy()
}

// questionDigest is the same for two specs that ask the same and differ only in
// when, how often, and how long the answer is kept.
func questionDigest(spec *v1alpha1.AuditQuerySpec) string {
	asked := *spec
	asked.Suspend, asked.Interval, asked.TTLSecondsAfterFinished = false, nil, nil
	data, err := json.Marshal(asked)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// handled tells whether the current spec was handled to its end before.
func (s *scope) handled() bool { return s.base.ObservedGeneration == s.obj.GetGeneration() }

// sameQuestion tells whether the results in status are known to answer what the
// current spec asks.
func (s *scope) sameQuestion() bool { return s.memo.asked != "" && s.memo.asked == s.asked }

// is tells whether a condition was True before this pass.
func (s *scope) is(condition string) bool {
	return meta.IsStatusConditionTrue(s.base.Conditions, condition)
}

// interval is the time between two runs; 0 for a query that runs once.
func (s *scope) interval() time.Duration {
	if s.spec.Interval == nil {
		return 0
	}
	return max(s.spec.Interval.Duration, minInterval)
}

// expiry is when a finished query is to be deleted; false when it is not.
func (s *scope) expiry(completion *metav1.Time) (time.Time, bool) {
	if s.spec.TTLSecondsAfterFinished == nil || s.interval() > 0 || completion == nil {
		return time.Time{}, false
	}
	return completion.Add(time.Duration(*s.spec.TTLSecondsAfterFinished) * time.Second), true
}

// wake asks to look at the object again at an instant, or earlier.
func (s *scope) wake(at time.Time) {
	if s.wakeAt.IsZero() || at.Before(s.wakeAt) {
		s.wakeAt = at
	}
}

// set sets a condition of a status that is being composed.
func (s *scope) set(status *v1alpha1.AuditQueryStatus, kind string, value metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: kind, Status: value, Reason: reason, Message: message,
		ObservedGeneration: s.obj.GetGeneration(), LastTransitionTime: wholeSeconds(s.now),
	})
}

// wholeSeconds is an instant as the API server gives it back.
func wholeSeconds(t time.Time) metav1.Time { return metav1.NewTime(t.UTC().Truncate(time.Second)) }
