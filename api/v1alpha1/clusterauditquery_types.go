package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ClusterAuditQuery asks the audit trail for records of every namespace and
// organisation, once or at an interval, and holds the answer in its status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=caq
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="True when status holds the answer"
// +kubebuilder:printcolumn:name="Matched",type=string,JSONPath=`.status.matched.text`,description="Number of matching records"
// +kubebuilder:printcolumn:name="Returned",type=integer,JSONPath=`.status.returned`,description="Number of records in status"
// +kubebuilder:printcolumn:name="Last-Run",type=date,JSONPath=`.status.lastRunTime`,description="Age of the results"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="From",type=string,priority=1,JSONPath=`.status.window.from`,description="Start of the window"
// +kubebuilder:printcolumn:name="To",type=string,priority=1,JSONPath=`.status.window.to`,description="End of the window"
// +kubebuilder:printcolumn:name="Next-Run",type=string,priority=1,JSONPath=`.status.nextRunTime`,description="When the next run is due"
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,description="What the controller says"
type ClusterAuditQuery struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the question.
	// +required
	Spec AuditQuerySpec `json:"spec"`

	// Status is the answer.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status AuditQueryStatus `json:"status,omitempty"`
}

// QuerySpec returns the spec, to change or read in place.
func (q *ClusterAuditQuery) QuerySpec() *AuditQuerySpec { return &q.Spec }

// QueryStatus returns the status, to change or read in place.
func (q *ClusterAuditQuery) QueryStatus() *AuditQueryStatus { return &q.Status }

// ClusterAuditQueryList is a list of ClusterAuditQuery.
//
// +kubebuilder:object:root=true
type ClusterAuditQueryList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterAuditQuery `json:"items"`
}
