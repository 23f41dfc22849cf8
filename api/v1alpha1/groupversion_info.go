// Package v1alpha1 holds the custom resources of the API group
// auditquery.dev: questions that are asked of an audit trail, whose answers
// land in the status of the object that asked, who may see what, how long
// records are kept, and which are held.
//
// +kubebuilder:object:generate=true
// +groupName=auditquery.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every kind in this package.
const Group = "auditquery.dev"

var (
	// GroupVersion is auditquery.dev/v1alpha1.
	GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

	// SchemeBuilder collects the kinds of this package.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds the kinds of this package to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&AuditQuery{}, &AuditQueryList{},
		&ClusterAuditQuery{}, &ClusterAuditQueryList{},
		&AuditTenant{}, &AuditTenantList{},
		&RetentionPolicy{}, &RetentionPolicyList{},
		&LegalHold{}, &LegalHoldList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
