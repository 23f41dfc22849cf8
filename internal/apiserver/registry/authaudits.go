package registry

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
)

// AuthAudits serves authaudits.
type AuthAudits struct{ *storage }

// What AuthAudits can do is what discovery advertises; a test holds what it cannot.
var (
	_ rest.Storage              = (*AuthAudits)(nil)
	_ rest.Scoper               = (*AuthAudits)(nil)
	_ rest.SingularNameProvider = (*AuthAudits)(nil)
	_ rest.Getter               = (*AuthAudits)(nil)
	_ rest.Lister               = (*AuthAudits)(nil)
	_ rest.TableConvertor       = (*AuthAudits)(nil)
)

// NewAuthAudits returns the storage of authaudits.
func NewAuthAudits(d Dependencies) (*AuthAudits, error) {
	s, err := newStorage(d, shape{
		kind: record.KindAuthAudit, listKind: "AuthAuditList", plural: "authaudits", singular: "authaudit",
		columns:   authAuditColumns(),
		newObject: func() runtime.Object { return &v1alpha1.AuthAudit{} },
		newList:   func() runtime.Object { return &v1alpha1.AuthAuditList{} },
		object:    authAuditObject,
		list:      authAuditList,
		spliced:   func(h head, s splicedBody) runtime.Object { return newSplicedAuthAudits(h, s) },
		rows:      authAuditRows,
	})
	if err != nil {
		return nil, err
	}
	return &AuthAudits{s}, nil
}

func authAuditObject(r record.Record, namespace string) runtime.Object {
	out := &v1alpha1.AuthAudit{}
	fillAuthAudit(out, r, namespace)
	return out
}

func authAuditList(h head, records []record.Record, namespaces []string) runtime.Object {
	list := &v1alpha1.AuthAuditList{
		ListMeta: h.ListMeta, Truncation: h.truncation, Items: make([]v1alpha1.AuthAudit, len(records)),
	}
	for i, r := range records {
		fillAuthAudit(&list.Items[i], r, namespaces[i])
	}
	return list
}

func fillAuthAudit(out *v1alpha1.AuthAudit, r record.Record, namespace string) {
	a, ok := r.(*record.AuthAudit)
	if !ok {
		return
	}
	*out = v1alpha1.AuthAudit{
		ObjectMeta:      objectMeta(&a.Common, a.Result, namespace),
		ID:              a.ID.String(),
		Time:            microTime(a.Time),
		IngestTime:      microTime(a.IngestTime),
		UserID:          a.UserID,
		ActorType:       a.ActorType,
		UpstreamUserID:  a.UpstreamUserID,
		UpstreamIDP:     a.UpstreamIDP,
		OrgID:           a.OrgID,
		OrgName:         a.OrgName,
		LoginOrgID:      a.LoginOrgID,
		LoginOrgName:    a.LoginOrgName,
		EventName:       a.EventName,
		Result:          a.Result,
		Event:           a.Event,
		Stage:           a.Stage,
		ClientID:        a.ClientID,
		ApplicationName: a.ApplicationName,
		Issuer:          a.Issuer,
		Session:         a.Session,
		TraceID:         a.TraceID,
		RequestID:       a.RequestID,
		TokenID:         a.TokenID,
		SourceIP:        a.SourceIP,
		UserAgent:       a.UserAgent,
		SourceType:      a.SourceType,
		Cluster:         a.Cluster,
		Details:         detailsOf(&a.Common),
	}
}

func authAuditColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		column("Time", "string", "When it happened, in UTC.", 0),
		column("User", "string", "Who logged in.", 0),
		column("Event", "string", "What happened.", 0),
		column("Result", "string", "How it ended.", 0),
		column("Org", "string", "The organisation that the record belongs to.", 0),
		column("Application", "string", "The application that was logged in to.", 0),
		column("Source", "string", "The address that the request came from.", 1),
		column("Agent", "string", "The client program's name for itself.", 1),
		column("Token", "string", "The id of the token.", 1),
		column("Trace", "string", "The id of the request.", 1),
		idColumn(),
	}
}

func authAuditRows(object runtime.Object) []metav1.TableRow {
	row := func(a *v1alpha1.AuthAudit) metav1.TableRow {
		return metav1.TableRow{
			Cells: []any{
				timeCell(a.Time), a.UserID, a.EventName, a.Result, a.OrgID, a.ApplicationName,
				a.SourceIP, a.UserAgent, a.TokenID, a.TraceID, a.ID,
			},
			Object: runtime.RawExtension{Object: a},
		}
	}
	switch object := object.(type) {
	case *v1alpha1.AuthAudit:
		return []metav1.TableRow{row(object)}
	case *v1alpha1.AuthAuditList:
		rows := make([]metav1.TableRow, 0, len(object.Items))
		for i := range object.Items {
			rows = append(rows, row(&object.Items[i]))
		}
		return rows
	default:
		return nil
	}
}
