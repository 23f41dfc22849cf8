package auditquery

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// row is one record as it stands in a status.
type row struct {
	// at is its place in the order of records.
	at query.Position
	id string
	// bytes is the length of its JSON.
	bytes int
	// audit or auth is set, by the kind of the query.
	audit *v1alpha1.AuditRow
	auth  *v1alpha1.AuthAuditRow
}

// newRows decodes a page's documents. Details and bodies end here.
func newRows(kind record.Kind, documents [][]byte) ([]row, error) {
	records, err := record.DecodeAll(kind, documents)
	if err != nil {
		return nil, err
	}
	rows := make([]row, 0, len(records))
	for _, r := range records {
		shown, err := newRow(r)
		if err != nil {
			return nil, err
		}
		rows = append(rows, shown)
	}
	return rows, nil
}

func newRow(r record.Record) (row, error) {
	out := row{at: store.PositionOf(r), id: r.Base().ID.String()}
	var shown any
	switch r := r.(type) {
	case *record.Audit:
		out.audit = auditRow(r)
		shown = out.audit
	case *record.AuthAudit:
		out.auth = authAuditRow(r)
		shown = out.auth
	default:
		return row{}, fmt.Errorf("%T has no row in a status", r)
	}
	data, err := json.Marshal(shown)
	out.bytes = len(data)
	return out, err
}

func auditRow(a *record.Audit) *v1alpha1.AuditRow {
	return &v1alpha1.AuditRow{
		ID:                  a.ID.String(),
		Time:                microTime(a.Time),
		IngestTime:          optionalTime(a.IngestTime),
		UserID:              a.UserID,
		ActorType:           a.ActorType,
		Action:              a.Action,
		Outcome:             a.Outcome,
		ResponseCode:        int32(a.ResponseCode), //nolint:gosec // three digits by the schema of records
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

func authAuditRow(a *record.AuthAudit) *v1alpha1.AuthAuditRow {
	return &v1alpha1.AuthAuditRow{
		ID:              a.ID.String(),
		Time:            microTime(a.Time),
		IngestTime:      optionalTime(a.IngestTime),
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
	}
}

func microTime(t record.Timestamp) metav1.MicroTime { return metav1.NewMicroTime(t.Time()) }

func optionalTime(t record.Timestamp) *metav1.MicroTime {
	if t == 0 {
		return nil
	}
	at := microTime(t)
	return &at
}
