package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Bounds of an AuditTenant.
const (
	// MaxTenantOrgIDs is how many org ids one AuditTenant binds. Several of
	// them may bind to the same namespace.
	MaxTenantOrgIDs = 5000
	// MaxTenantConflicts is how many conflicts a status names.
	MaxTenantConflicts = 20
)

// AuditTenantSpec binds organisations to a namespace.
type AuditTenantSpec struct {
	// Namespace is the namespace that may see the organisations' records, all
	// of them, from every source and of any time. While it does not exist
	// nothing is claimed. 1 to 63 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace"`

	// OrgIDs are the organisations whose records the namespace may see, each
	// exactly as in the records' org_id. Namespaces of this cluster are
	// organisations of their own name, namespaces of another cluster are
	// `CLUSTER/NAMESPACE`. 1 to 5,000, none twice, each of 1 to 512
	// characters, without white space at its ends.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^\S(.*\S)?$`
	OrgIDs []string `json:"orgIDs"`
}

// AuditTenantStatus says what came of the bindings.
type AuditTenantStatus struct {
	// ObservedGeneration is the metadata.generation of the spec that the rest
	// of status is about; -1 before the first.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions are Ready, Reconciling, Stalled and Conflict.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Claimed is how many of the org ids the namespace sees the records of.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Claimed *int32 `json:"claimed,omitempty"`

	// Conflicting is how many of the org ids an earlier AuditTenant binds to
	// another namespace.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Conflicting *int32 `json:"conflicting,omitempty"`

	// Conflicts are the first 20 conflicts, ordered by org id.
	// +optional
	// +listType=map
	// +listMapKey=orgID
	// +kubebuilder:validation:MaxItems=20
	Conflicts []TenantConflict `json:"conflicts,omitempty"`
}

// TenantConflict is an org id that belongs to another namespace.
type TenantConflict struct {
	// OrgID is the org id that was asked for.
	// +kubebuilder:validation:MaxLength=512
	OrgID string `json:"orgID"`

	// Tenant is the name of the AuditTenant that binds it.
	// +kubebuilder:validation:MaxLength=253
	Tenant string `json:"tenant"`

	// Namespace is the namespace that it is bound to.
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
}

// AuditTenant binds organisations to a namespace, which then sees their
// records. An organisation belongs to at most one namespace: of two AuditTenants
// that bind it to different ones the earlier stands (by creationTimestamp, then
// by uid).
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=at
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.spec.namespace`,description="Namespace that sees the records"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="True when every org id is claimed"
// +kubebuilder:printcolumn:name="Claimed",type=integer,JSONPath=`.status.claimed`,description="Number of org ids that the namespace sees"
// +kubebuilder:printcolumn:name="Conflicting",type=integer,JSONPath=`.status.conflicting`,description="Number of org ids that belong to another namespace"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,description="What the controller says"
type AuditTenant struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says who sees what.
	// +required
	Spec AuditTenantSpec `json:"spec"`

	// Status says what came of it.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status AuditTenantStatus `json:"status,omitempty"`
}

// AuditTenantList is a list of AuditTenant.
//
// +kubebuilder:object:root=true
type AuditTenantList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AuditTenant `json:"items"`
}
