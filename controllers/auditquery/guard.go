package auditquery

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/api/v1alpha1"
)

// Guard tells whether writing the spec of a kind of query needs the right to list
// its records. While it does not, a query could show its writer what they may not
// read, so nothing is run. An error means that nothing is run either.
type Guard interface {
	InForce(ctx context.Context, kind string) (bool, error)
}

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=get;list;watch

// PolicyName is the name of the ValidatingAdmissionPolicy of config/admission, and
// of its binding.
const PolicyName = "queries." + v1alpha1.Group

// PolicyGuard looks for the policy of that name, and for the binding that puts it
// in force.
type PolicyGuard struct{ Reader client.Reader }

var _ Guard = PolicyGuard{}

// InForce is true while both objects exist, are about the kind, and refuse whom
// they do not admit, everywhere.
func (g PolicyGuard) InForce(ctx context.Context, kind string) (bool, error) {
	var policy admissionv1.ValidatingAdmissionPolicy
	if ok, err := g.get(ctx, PolicyName, &policy); !ok {
		return false, err
	}
	var binding admissionv1.ValidatingAdmissionPolicyBinding
	if ok, err := g.get(ctx, PolicyName, &binding); !ok {
		return false, err
	}
	fails := policy.Spec.FailurePolicy == nil || *policy.Spec.FailurePolicy == admissionv1.Fail
	denies := slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny)
	everywhere := binding.Spec.MatchResources == nil
	return fails && denies && everywhere && binding.Spec.PolicyName == PolicyName && guards(&policy, kind), nil
}

// guards tells whether a policy has something to say about every write of a kind.
func guards(policy *admissionv1.ValidatingAdmissionPolicy, kind string) bool {
	match := policy.Spec.MatchConstraints
	if match == nil || len(policy.Spec.Validations) == 0 || len(match.ExcludeResourceRules) > 0 ||
		!selectsAll(match.NamespaceSelector) || !selectsAll(match.ObjectSelector) {
		return false
	}
	resource := strings.TrimSuffix(strings.ToLower(kind), "y") + "ies"
	return slices.ContainsFunc(match.ResourceRules, func(rule admissionv1.NamedRuleWithOperations) bool {
		writes := slices.Contains(rule.Operations, admissionv1.Create) && slices.Contains(rule.Operations, admissionv1.Update)
		return len(rule.ResourceNames) == 0 && (writes || slices.Contains(rule.Operations, admissionv1.OperationAll)) &&
			slices.Contains(rule.APIGroups, v1alpha1.Group) && slices.Contains(rule.Resources, resource)
	})
}

// selectsAll tells whether a selector selects everything. The API server fills an
// absent one in as an empty one.
func selectsAll(s *metav1.LabelSelector) bool {
	return s == nil || len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0
}

func (g PolicyGuard) get(ctx context.Context, name string, obj client.Object) (bool, error) {
	err := g.Reader.Get(ctx, client.ObjectKey{Name: name}, obj)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read %s: %w", name, err)
	}
	return true, nil
}

// Unguarded is a Guard for where only those who may read every record can write
// queries, such as a demo or a test. It must be chosen by name.
type Unguarded struct{}

var _ Guard = Unguarded{}

// InForce is always true.
func (Unguarded) InForce(context.Context, string) (bool, error) { return true, nil }
