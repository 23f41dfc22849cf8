package registry

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
)

// Audits serves audits.
type Audits struct{ *storage }

// What Audits can do is what discovery advertises; a test holds what it cannot.
var (
	_ rest.Storage              = (*Audits)(nil)
	_ rest.Scoper               = (*Audits)(nil)
	_ rest.SingularNameProvider = (*Audits)(nil)
	_ rest.Getter               = (*Audits)(nil)
	_ rest.Lister               = (*Audits)(nil)
	_ rest.TableConvertor       = (*Audits)(nil)
)

// NewAudits returns the storage of audits.
func NewAudits(d Dependencies) (*Audits, error) {
	s, err := newStorage(d, shape{
		kind: record.KindAudit, listKind: "AuditList", plural: "audits", singular: "audit",
		columns:   auditColumns(),
		newObject: func() runtime.Object { return &v1alpha1.Audit{} },
		newList:   func() runtime.Object { return &v1alpha1.AuditList{} },
		object:    auditObject,
		list:      auditList,
		spliced:   func(h head, s splicedBody) runtime.Object { return newSplicedAudits(h, s) },
		rows:      auditRows,
	})
	if err != nil {
		return nil, err
	}
	return &Audits{s}, nil
}

func auditObject(r record.Record, namespace string) runtime.Object {
	out := &v1alpha1.Audit{}
	fillAudit(out, r, namespace)
	return out
}

func auditList(h head, records []record.Record, namespaces []string) runtime.Object {
	list := &v1alpha1.AuditList{ListMeta: h.ListMeta, Truncation: h.truncation, Items: make([]v1alpha1.Audit, len(records))}
	for i, r := range records {
		fillAudit(&list.Items[i], r, namespaces[i])
	}
	return list
}

func fillAudit(out *v1alpha1.Audit, r record.Record, namespace string) {
	a, ok := r.(*record.Audit)
	if !ok {
		return
	}
	*out = v1alpha1.Audit{
		ObjectMeta:          objectMeta(&a.Common, a.Outcome, namespace),
		ID:                  a.ID.String(),
		Time:                microTime(a.Time),
		IngestTime:          microTime(a.IngestTime),
		UserID:              a.UserID,
		ActorType:           a.ActorType,
		Action:              a.Action,
		Outcome:             a.Outcome,
		ResponseCode:        a.ResponseCode,
		APIName:             a.APIName,
		TargetResourceType:  a.TargetResourceType,
		TargetResourceName:  a.TargetResourceName,
		TargetResourceOrgID: a.TargetResourceOrgID,
		TargetID:            a.TargetID,
		SecondaryID:         a.SecondaryID,
		TertiaryID:          a.TertiaryID,
		ParentID:            a.ParentID,
		GrandparentID:       a.GrandparentID,
		OrgID:               a.OrgID,
		TokenID:             a.TokenID,
		Session:             a.Session,
		TraceID:             a.TraceID,
		SourceIP:            a.SourceIP,
		UserAgent:           a.UserAgent,
		SourceType:          a.SourceType,
		Cluster:             a.Cluster,
		Description:         a.Description,
		AuditAttributes:     attributes(a.Attributes),
		Details:             detailsOf(&a.Common),
	}
}

func attributes(in []record.Attribute) []v1alpha1.AuditAttribute {
	var out []v1alpha1.AuditAttribute
	for _, a := range in {
		out = append(out, v1alpha1.AuditAttribute{
			AttributeType: a.Type, AttributeID: a.ID, AttributeOrgID: a.OrgID, AttributeName: a.Name,
		})
	}
	return out
}

func auditColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		column("Time", "string", "When it happened, in UTC.", 0),
		column("User", "string", "Who acted.", 0),
		column("Action", "string", "What was done.", 0),
		column("Resource", "string", "The type of thing acted on.", 0),
		column("Name", "string", "The name of the thing acted on.", 0),
		column("Outcome", "string", "How it ended.", 0),
		column("Code", "integer", "The HTTP status code of the answer.", 0),
		column("Source", "string", "The address that the request came from.", 1),
		column("Agent", "string", "The client program's name for itself.", 1),
		column("Token", "string", "The id of the bearer token that was used.", 1),
		column("Trace", "string", "The id of the request.", 1),
		idColumn(),
	}
}

func auditRows(object runtime.Object) []metav1.TableRow {
	row := func(a *v1alpha1.Audit) metav1.TableRow {
		var code any
		if a.ResponseCode != 0 {
			code = a.ResponseCode
		}
		return metav1.TableRow{
			Cells: []any{
				timeCell(a.Time), a.UserID, a.Action, a.TargetResourceType, a.TargetResourceName, a.Outcome, code,
				a.SourceIP, a.UserAgent, a.TokenID, a.TraceID, a.ID,
			},
			Object: runtime.RawExtension{Object: a},
		}
	}
	switch object := object.(type) {
	case *v1alpha1.Audit:
		return []metav1.TableRow{row(object)}
	case *v1alpha1.AuditList:
		rows := make([]metav1.TableRow, 0, len(object.Items))
		for i := range object.Items {
			rows = append(rows, row(&object.Items[i]))
		}
		return rows
	default:
		return nil
	}
}
