package contract_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/test/builders"
	"auditquery.dev/auditquery/test/repository"
)

// health is what a health check of Argo CD returns.
type health struct{ Status, Message string }

// auditQuery returns a query of the second generation that has been handled to the end.
func auditQuery(conditions ...metav1.Condition) v1alpha1.AuditQuery {
	q := v1alpha1.AuditQuery{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AuditQuery"},
		ObjectMeta: metav1.ObjectMeta{Name: "q", Namespace: "shop", Generation: 2},
	}
	q.Status.ObservedGeneration = 2
	for _, c := range conditions {
		c.ObservedGeneration = 2
		q.Status.Conditions = append(q.Status.Conditions, c)
	}
	return q
}

func condition(kind string, is metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: is, Reason: reason, Message: "of " + kind}
}

// TestArgoCDSeesWhatKstatusSees compares the check in Lua with kstatus.
func TestArgoCDSeesWhatKstatusSees(t *testing.T) {
	ready := condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	notReady := condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidTime)
	unknown := condition(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonStoreUnavailable)
	stalled := condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalidTime)
	reconciling := condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonStoreUnavailable)
	unmatched := condition(v1alpha1.ConditionMatched, metav1.ConditionFalse, v1alpha1.ReasonNoRecords)
	suspended := condition(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonSuspended)
	outdated := auditQuery(ready)
	outdated.Generation = 3
	fresh := auditQuery()
	fresh.Status.ObservedGeneration = -1
	deleted := auditQuery(ready)
	deleted.DeletionTimestamp, deleted.Finalizers = &metav1.Time{Time: builders.Time()}, []string{"example.com/held"}
	heldBack := auditQuery(suspended)
	heldBack.Status.ObservedGeneration = 1
	table := map[string]struct {
		query v1alpha1.AuditQuery
		want  health
		// kstatus knows nothing of what is suspended.
		wantKstatus status.Status
	}{
		"not looked at yet":         {query: fresh, want: health{"Progressing", "The controller has not looked at it yet."}, wantKstatus: status.InProgressStatus},
		"answered":                  {query: auditQuery(ready), want: health{"Healthy", "of Ready"}, wantKstatus: status.CurrentStatus},
		"answered without a record": {query: auditQuery(ready, unmatched), want: health{"Healthy", "of Ready"}, wantKstatus: status.CurrentStatus},
		"answered before a change":  {query: outdated, want: health{"Progressing", "The controller has not looked at it yet."}, wantKstatus: status.InProgressStatus},
		"wrong":                     {query: auditQuery(notReady, stalled), want: health{"Degraded", "of Stalled"}, wantKstatus: status.FailedStatus},
		"tried again":               {query: auditQuery(unknown, reconciling), want: health{"Progressing", "of Reconciling"}, wantKstatus: status.InProgressStatus},
		"tried again with an answer": {
			query: auditQuery(ready, reconciling), want: health{"Progressing", "of Reconciling"}, wantKstatus: status.InProgressStatus,
		},
		"suspended before its first run": {query: heldBack, want: health{"Suspended", "of Ready"}, wantKstatus: status.InProgressStatus},
		"being deleted":                  {query: deleted, want: health{"Progressing", "It is being deleted."}, wantKstatus: status.TerminatingStatus},
	}
	names := slices.Sorted(maps.Keys(table))
	var objects []v1alpha1.AuditQuery
	for _, name := range names {
		objects = append(objects, table[name].query)
	}
	for kind, file := range healthChecks(t) {
		got := runScript[v1alpha1.AuditQuery, health](t, "health.py", objects, file)
		for i, name := range names {
			t.Run(kind+": "+name, func(t *testing.T) {
				if want := table[name].want; got[i] != want {
					t.Errorf("got %+v, want %+v", got[i], want)
				}
				if kstatus := kstatusOf(t, objects[i]); kstatus != table[name].wantKstatus {
					t.Errorf("kstatus says %s, want %s", kstatus, table[name].wantKstatus)
				}
			})
		}
	}
}

// healthChecks writes each check of config/argocd into a file, by kind.
func healthChecks(t *testing.T) map[string]string {
	t.Helper()
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "config", "argocd", "health.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var configMap struct{ Data map[string]string }
	if err := yaml.Unmarshal(text, &configMap); err != nil {
		t.Fatal(err)
	}
	checks := map[string]string{}
	dir := t.TempDir()
	for _, kind := range []string{"AuditQuery", "ClusterAuditQuery", "AuditTenant", "RetentionPolicy", "LegalHold"} {
		checks[kind] = filepath.Join(dir, kind+".lua")
		check, ok := configMap.Data["resource.customizations.health."+v1alpha1.GroupVersion.Group+"_"+kind]
		if !ok {
			t.Fatalf("there is no check of %s", kind)
		}
		if err := os.WriteFile(checks[kind], []byte(check), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return checks
}

func kstatusOf(t *testing.T, q v1alpha1.AuditQuery) status.Status {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&q)
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}
