package auditquery

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"auditquery.dev/auditquery/api/v1alpha1"
)

const (
	// refreshEvery is how often lastRunTime, and what else moves with every run,
	// is written while the rows stay the same.
	refreshEvery = 10 * time.Minute
	// maxConflicts is how often one write is tried.
	maxConflicts = 3
)

// composed is a status that may be written.
type composed struct {
	// status has rows if and only if withRows.
	status v1alpha1.AuditQueryStatus
	rows   rowSet
	// withRows: the rows differ from those that the API server holds.
	withRows bool
	// needed: something differs that is worth a write.
	needed bool
}

// compose makes the status that follows from what the pass came to.
func (r *reconciler) compose(s *scope) composed {
	next := composed{status: *s.base.DeepCopy(), rows: s.rows}
	if !s.handled() {
		next.status.CompletionTime, next.status.NextRunTime = nil, nil
	}
	switch s.outcome() {
	case answered:
		r.composeAnswer(s, &next)
		return next
	case refused:
		next.status.ObservedGeneration = s.obj.GetGeneration()
		next.status.CompletionTime, next.status.NextRunTime = nil, nil
	case suspended:
		if !s.handled() && s.sameQuestion() && s.interval() == 0 {
			next.status.CompletionTime = s.base.CompletionTime
		}
		next.status.ObservedGeneration = s.obj.GetGeneration()
		next.status.NextRunTime = nil
	case unchanged:
		// Clearing what belongs to an earlier spec waits for a write that has
		// something to say.
		return composed{status: s.base, rows: s.rows}
	case failed, heldBack:
	}
	s.setConditions(&next.status)
	next.needed = !equality.Semantic.DeepEqual(s.base, next.status)
	return next
}

func (r *reconciler) composeAnswer(s *scope, next *composed) {
	status := &next.status
	started := wholeSeconds(s.now)
	status.ObservedGeneration = s.obj.GetGeneration()
	status.Window = window(s.query.From, s.query.To)
	status.Matched = v1alpha1.NewMatchCount(s.found.count.Records, s.found.count.Exact)
	status.LastRunTime = &started
	status.NextRunTime, status.CompletionTime = nil, nil
	if s.interval() > 0 {
		due := wholeSeconds(s.memo.due)
		status.NextRunTime = &due
	} else {
		finished := wholeSeconds(s.found.finished)
		status.CompletionTime = &finished
	}
	token, tooLarge := continueToken(r.cursors, s.query, s.found.rows)
	s.setConditions(status)
	kept := fit(status, s.found.rows, s.found.more, token, MaxStatusBytes-remarks)
	s.found.truncated = status.Truncated
	s.found.noContinue = tooLarge && (s.found.more || status.Truncated)
	s.setReady(status)
	next.rows = put(status, s.query.Kind, s.found.rows[:kept])
	next.withRows = next.rows.digest != s.rows.digest
	if !next.withRows {
		status.Audits, status.AuthAudits = nil, nil
	}
	next.needed = next.withRows || worthWriting(&s.base, status)
}

// worthWriting tells whether a run whose rows are the same as before is written:
// when something differs that doesn't move with every run, or when it was last
// written long ago. What a status says always belongs to one run.
func worthWriting(base, next *v1alpha1.AuditQueryStatus) bool {
	if base.LastRunTime == nil || next.LastRunTime.Sub(base.LastRunTime.Time) >= refreshEvery {
		return true
	}
	if (base.NextRunTime == nil) != (next.NextRunTime == nil) || (base.Continue == "") != (next.Continue == "") {
		return true
	}
	still := *next
	still.LastRunTime, still.Window, still.Matched = base.LastRunTime, base.Window, base.Matched
	still.NextRunTime, still.Continue = base.NextRunTime, base.Continue
	return !equality.Semantic.DeepEqual(*base, still)
}

func window(from, to time.Time) *v1alpha1.Window {
	var w v1alpha1.Window
	if !from.IsZero() {
		at := metav1.NewMicroTime(from)
		w.From = &at
	}
	if !to.IsZero() {
		at := metav1.NewMicroTime(to)
		w.To = &at
	}
	return &w
}

// writeStatus is the only place that writes status. It writes what differs in one
// patch, or nothing.
func (r *reconciler) writeStatus(ctx context.Context, s *scope) error {
	next := r.compose(s)
	if !next.needed {
		return nil
	}
	version, gone, err := r.patchStatus(ctx, s, next)
	if err != nil || gone {
		return err
	}
	bytes := jsonLength(next.status)
	if !next.withRows {
		// The API server stores the whole object for every change of it.
		bytes += next.rows.bytes
	}
	r.budget.spend(s.now, bytes)
	r.metrics.wrote(r.kind, len(next.status.Audits)+len(next.status.AuthAudits), bytes)
	r.announce(ctx, s, &next.status)
	s.memo.version, s.memo.rows, s.memo.status = version, next.rows, withoutRows(&next.status)
	return nil
}

// patchStatus sends the patch. It holds the object's resourceVersion, so that the
// results of a deleted object never land in another one of its name; when only
// other parts of the object have changed meanwhile, it is sent again.
func (r *reconciler) patchStatus(ctx context.Context, s *scope, next composed) (version string, gone bool, err error) {
	version = s.version
	for range maxConflicts {
		var body []byte
		if body, err = statusPatch(version, &next.status, next.withRows); err != nil {
			return "", false, err
		}
		target := r.newObject()
		target.SetName(s.key.Name)
		target.SetNamespace(s.key.Namespace)
		err = r.client.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, body), client.FieldOwner(FieldOwner))
		if err == nil {
			return target.GetResourceVersion(), false, nil
		}
		if apierrors.IsNotFound(err) {
			return "", true, nil
		}
		if !apierrors.IsConflict(err) {
			return "", false, fmt.Errorf("write status: %w", err)
		}
		var again bool
		if version, again, err = r.liveVersion(ctx, s); err != nil || !again {
			return "", !again, err
		}
	}
	return "", false, fmt.Errorf("write status: the object changes too often")
}

// liveVersion returns the current resourceVersion of the pass's object; false
// when it is gone.
func (r *reconciler) liveVersion(ctx context.Context, s *scope) (string, bool, error) {
	gvk, err := apiutil.GVKForObject(s.obj, r.client.Scheme())
	if err != nil {
		return "", false, err
	}
	current := &metav1.PartialObjectMetadata{}
	current.SetGroupVersionKind(gvk)
	err = r.live.Get(ctx, s.key, current)
	switch {
	case apierrors.IsNotFound(err):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("read again after a conflict: %w", err)
	}
	return current.ResourceVersion, current.UID == s.obj.GetUID(), nil
}

// statusPatch is a merge patch that names every field of a status: absent ones as
// null, so that they are dropped. Without rows it does not name the rows, so that
// they stay; the cache that a pass reads from doesn't hold them.
func statusPatch(version string, status *v1alpha1.AuditQueryStatus, withRows bool) ([]byte, error) {
	data, err := json.Marshal(status)
	if err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	var present map[string]json.RawMessage
	if err := json.Unmarshal(data, &present); err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	fields := map[string]json.RawMessage{}
	for field := range reflect.TypeFor[v1alpha1.AuditQueryStatus]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !withRows && (name == "audits" || name == "authAudits") {
			continue
		}
		fields[name] = json.RawMessage("null")
		if value, ok := present[name]; ok {
			fields[name] = value
		}
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": version},
		"status":   fields,
	})
}
