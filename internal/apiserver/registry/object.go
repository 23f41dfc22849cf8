package registry

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
)

// objectMeta is the metadata of a record. There is no resourceVersion: nothing
// here can be watched or written, and a client that is given none asks for none.
func objectMeta(base *record.Common, outcome, namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:              base.ID.String(),
		Namespace:         namespace,
		UID:               uid(base.ID),
		CreationTimestamp: metav1.NewTime(base.Time.Time()),
		Labels:            labelsOf(base.ActorType, outcome),
	}
}

// uid is the record's id in the form that uids have.
func uid(id record.ID) types.UID {
	s := id.String()
	return types.UID(s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:])
}

func labelsOf(actorType, outcome string) map[string]string {
	labels := map[string]string{}
	if isLabel(actorType) {
		labels[v1alpha1.LabelActorType] = actorType
	}
	if isLabel(outcome) {
		labels[v1alpha1.LabelOutcome] = outcome
	}
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// isLabel tells whether a value becomes a label. An absent field has none.
func isLabel(value string) bool {
	return value != "" && len(validation.IsValidLabelValue(value)) == 0
}

func microTime(t record.Timestamp) metav1.MicroTime { return metav1.NewMicroTime(t.Time()) }

func detailsOf(base *record.Common) *runtime.RawExtension {
	if len(base.Details) == 0 {
		return nil
	}
	return &runtime.RawExtension{Raw: base.Details}
}

// times are the first column of every table. Whole seconds are what a person
// reads; the object has the rest.
func timeCell(t metav1.MicroTime) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// column describes a column; those that are wide are shown by `kubectl -o wide`.
func column(name, kind, description string, wide int32) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: kind, Description: description, Priority: wide}
}

// idColumn comes last: an id tells a person nothing.
func idColumn() metav1.TableColumnDefinition {
	c := column("ID", "string", "The record's name: kubectl get ... NAME.", 1)
	c.Format = "name"
	return c
}
