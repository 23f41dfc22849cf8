package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every kind in this package.
const Group = "records.auditquery.dev"

// The labels that served records have. Each is absent where the record lacks the
// field, or has a value that no label can hold.
const (
	// LabelActorType holds actorType.
	LabelActorType = "auditquery.dev/actor-type"
	// LabelOutcome holds outcome, for an AuthAudit its result.
	LabelOutcome = "auditquery.dev/outcome"
)

var (
	// GroupVersion is records.auditquery.dev/v1alpha1.
	GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

	// SchemeBuilder collects the kinds of this package.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds the kinds of this package to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Audit{}, &AuditList{},
		&AuthAudit{}, &AuthAuditList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
