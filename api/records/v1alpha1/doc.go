// Package v1alpha1 holds the records that the aggregated API server serves in
// the API group records.auditquery.dev. They can be read only: get and list.
// There is no CRD of them; where they are stored is the server's affair.
//
// +kubebuilder:object:generate=true
// +kubebuilder:skip
// +groupName=records.auditquery.dev
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=dev.auditquery.records.v1alpha1
package v1alpha1
