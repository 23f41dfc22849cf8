package auditquery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/tenancy"
)

func TestOptionsNameWhatIsMissing(t *testing.T) {
	complete := func() Options {
		return Options{
			Reader: &fakeReader{}, Cursors: newCursors(t, nil), Scopes: tenancy.NewDirectory(), Guard: Unguarded{},
			Registerer: prometheus.NewRegistry(),
		}
	}
	tests := map[string]struct {
		modify func(*Options)
		want   string
	}{
		"nothing is missing":    {modify: func(*Options) {}},
		"a store":               {modify: func(o *Options) { o.Reader = nil }, want: "option Reader is missing"},
		"a signer of cursors":   {modify: func(o *Options) { o.Cursors = nil }, want: "option Cursors is missing"},
		"a resolver of scopes":  {modify: func(o *Options) { o.Scopes = nil }, want: "option Scopes is missing"},
		"a guard":               {modify: func(o *Options) { o.Guard = nil }, want: "option Guard is missing"},
		"a registry of metrics": {modify: func(o *Options) { o.Registerer = nil }, want: "option Registerer is missing"},
		"a positive budget":     {modify: func(o *Options) { o.StatusBytesPerSecond = -1 }, want: "cannot be negative"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o := complete()
			tc.modify(&o)
			err := o.complete()
			if (err != nil) != (tc.want != "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if err == nil && (o.Clock == nil || o.MaxConcurrentRuns == 0 || o.RunTimeout == 0 || o.StatusBytesPerSecond == 0) {
				t.Errorf("defaults are missing: %+v", o)
			}
		})
	}
	if err := SetupWithManager(nil, Options{}); err == nil {
		t.Error("a setup without dependencies succeeded")
	}
}

// shippedPolicies are the objects of config/admission.
func shippedPolicies(t *testing.T) []client.Object {
	t.Helper()
	files, err := filepath.Glob("../../config/admission/policy*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no policies: %v", err)
	}
	decoder := serializer.NewCodecFactory(newScheme(t)).UniversalDeserializer()
	var out []client.Object
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(data), "\n---\n") {
			object, err := runtime.Decode(decoder, []byte(document))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, object.(client.Object))
		}
	}
	return out
}

func TestPolicyGuard(t *testing.T) {
	edit := func(change func(client.Object) bool) func([]client.Object) []client.Object {
		return func(objects []client.Object) []client.Object {
			var kept []client.Object
			for _, o := range objects {
				if change(o) {
					kept = append(kept, o)
				}
			}
			return kept
		}
	}
	tests := map[string]struct {
		change func([]client.Object) []client.Object
		kind   string
		want   bool
	}{
		"the shipped policy guards AuditQuery":        {kind: "AuditQuery", want: true},
		"the shipped policy guards ClusterAuditQuery": {kind: "ClusterAuditQuery", want: true},
		"nothing guards another kind":                 {kind: "Secret"},
		"without its binding it guards nothing": {kind: "AuditQuery", change: edit(func(o client.Object) bool {
			_, binding := o.(*admissionv1.ValidatingAdmissionPolicyBinding)
			return !binding
		})},
		"without the policy nothing is guarded": {kind: "AuditQuery", change: edit(func(o client.Object) bool {
			_, binding := o.(*admissionv1.ValidatingAdmissionPolicyBinding)
			return binding
		})},
		"a binding that only warns does not guard": {kind: "AuditQuery", change: edit(func(o client.Object) bool {
			if b, ok := o.(*admissionv1.ValidatingAdmissionPolicyBinding); ok {
				b.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn}
			}
			return true
		})},
		"a policy whose failure is ignored does not guard": {kind: "AuditQuery", change: edit(func(o client.Object) bool {
			if p, ok := o.(*admissionv1.ValidatingAdmissionPolicy); ok {
				p.Spec.FailurePolicy = ptr.To(admissionv1.Ignore)
			}
			return true
		})},
		"a policy about another kind does not guard": {kind: "AuditQuery", change: edit(func(o client.Object) bool {
			if p, ok := o.(*admissionv1.ValidatingAdmissionPolicy); ok {
				p.Spec.MatchConstraints.ResourceRules[0].Resources = []string{"clusterauditqueries"}
			}
			return true
		})},
		"a policy about creation alone does not guard": {kind: "AuditQuery", change: edit(func(o client.Object) bool {
			if p, ok := o.(*admissionv1.ValidatingAdmissionPolicy); ok {
				p.Spec.MatchConstraints.ResourceRules[0].Operations = []admissionv1.OperationType{admissionv1.Create}
			}
			return true
		})},
		"a binding for some namespaces does not guard": {kind: "AuditQuery", change: edit(func(o client.Object) bool {
			if b, ok := o.(*admissionv1.ValidatingAdmissionPolicyBinding); ok {
				b.Spec.MatchResources = &admissionv1.MatchResources{}
			}
			return true
		})},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			objects := shippedPolicies(t)
			if tc.change != nil {
				objects = tc.change(objects)
			}
			reader := fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(objects...).Build()
			got, err := PolicyGuard{Reader: reader}.InForce(t.Context(), tc.kind)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("in force (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNothingRunsUnguarded(t *testing.T) {
	b := newBench(t, auditQuery())
	b.r.guard = PolicyGuard{Reader: b.client}
	result := b.pass()
	check(t, b.get(), status.InProgressStatus, "Ready=Unknown AdmissionPolicyMissing", "Reconciling=True AdmissionPolicyMissing")
	if b.reader.asked() != 0 {
		t.Error("the store was asked")
	}
	for _, o := range shippedPolicies(t) {
		if err := b.client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	b.step(result)
	check(t, b.get(), status.CurrentStatus, "Ready=True Succeeded", "Matched=False NoRecords")
}

func TestClusterAuditQuerySeesEverything(t *testing.T) {
	q := &v1alpha1.ClusterAuditQuery{ObjectMeta: auditQuery().ObjectMeta, Spec: auditQuery().Spec}
	q.Namespace = ""
	b := newBench(t, q)
	foreign := audit(1)
	foreign.OrgID = "bank"
	b.reader.add(foreign, audit(2))
	b.r.kind, b.r.newObject = "ClusterAuditQuery", func() Object { return &v1alpha1.ClusterAuditQuery{} }
	request := requestFor(auditQuery())
	request.Namespace = ""
	if _, err := b.r.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	b.stripped = false
	if err := b.client.Get(t.Context(), client.ObjectKeyFromObject(q), q); err != nil {
		t.Fatal(err)
	}
	if len(q.Status.Audits) != 2 {
		t.Errorf("%d rows", len(q.Status.Audits))
	}
}
