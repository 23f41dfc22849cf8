package auditquery

import (
	"encoding/json"
	"reflect"
	"testing"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
)

// filled returns a record of a kind in which every field has a value of its own.
func filled(t *testing.T, kind record.Kind) record.Record {
	t.Helper()
	r := record.New(kind)
	for i, f := range record.Fields(kind) {
		switch p := f.Pointer(r).(type) {
		case *string:
			*p = "value of " + f.Name
		case *int64:
			*p = int64(200 + i)
		case *record.Timestamp:
			*p = record.At(epoch) + record.Timestamp(i)
		case *record.ID:
			p[0] = 0xab
		case *json.RawMessage:
			*p = json.RawMessage(`{"a":1}`)
		case *[]record.Attribute:
			*p = []record.Attribute{{Type: "t", ID: "i", OrgID: "o", Name: "n"}}
		default:
			t.Fatalf("%s has a type that this test does not know", f.Name)
		}
	}
	return r
}

// A row shows every field of its record under the record's camelCase name, except
// details.
func TestRowsShowEveryField(t *testing.T) {
	for _, kind := range record.Kinds() {
		r := filled(t, kind)
		got, err := newRow(r)
		if err != nil {
			t.Fatal(err)
		}
		var shown any = got.audit
		if kind == record.KindAuthAudit {
			shown = got.auth
		}
		data, err := json.Marshal(shown)
		if err != nil {
			t.Fatal(err)
		}
		if got.bytes != len(data) {
			t.Errorf("%s: %d bytes, want %d", kind, got.bytes, len(data))
		}
		var row map[string]any
		if err := json.Unmarshal(data, &row); err != nil {
			t.Fatal(err)
		}
		for _, f := range record.Fields(kind) {
			value, ok := row[f.CamelName]
			delete(row, f.CamelName)
			switch want := reflect.ValueOf(f.Pointer(r)).Elem(); {
			case f.Name == "details":
				if ok {
					t.Errorf("%s: details are shown", kind)
				}
			case !ok:
				t.Errorf("%s: %s is not shown", kind, f.Name)
			case want.Kind() == reflect.String && value != want.String():
				t.Errorf("%s: %s is %v, want %v", kind, f.Name, value, want)
			case want.Type() == reflect.TypeFor[record.Timestamp]():
				if text, _ := f.Value(r); value != text {
					t.Errorf("%s: %s is %v, want %v", kind, f.Name, value, text)
				}
			}
		}
		if len(row) > 0 {
			t.Errorf("%s: rows show %v, which records do not have", kind, row)
		}
	}
}

func TestStripRowsKeepsWhatTellsRowsApart(t *testing.T) {
	rowsOf := func(ids ...string) *v1alpha1.AuditQuery {
		return auditQuery(func(q *v1alpha1.AuditQuery) {
			for _, id := range ids {
				q.Status.Audits = append(q.Status.Audits, v1alpha1.AuditRow{ID: id})
			}
		})
	}
	whole := rowSetOf(rowsOf("a", "b").QueryStatus())
	stripped := rowsOf("a", "b")
	for range 2 {
		if _, err := StripRows(stripped); err != nil {
			t.Fatal(err)
		}
		if got := rowSetOf(stripped.QueryStatus()); got != whole || len(stripped.Status.Audits) != 1 {
			t.Errorf("stripped %v, whole %v", got, whole)
		}
	}
	for _, other := range [][]string{{"a"}, {"b", "a"}, {"a", "c"}, {}} {
		if got := rowSetOf(rowsOf(other...).QueryStatus()); got.digest == whole.digest {
			t.Errorf("%v has the digest of a, b", other)
		}
	}
	auth := auditQuery(func(q *v1alpha1.AuditQuery) { q.Status.AuthAudits = []v1alpha1.AuthAuditRow{{ID: "a"}, {ID: "b"}} })
	if got := rowSetOf(auth.QueryStatus()); got.digest == whole.digest || got.digest == "" {
		t.Errorf("rows of another kind have the digest %q", got.digest)
	}
	if got, err := StripRows("a tombstone"); got != "a tombstone" || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// The digest of an answer and of the status that holds it are the same.
func TestDigestOfAnswerAndStatusAgree(t *testing.T) {
	documents := make([][]byte, 0, 3)
	for n := range 3 {
		document, err := record.Encode(audit(n))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, document)
	}
	rows, err := newRows(record.KindAudit, documents)
	if err != nil {
		t.Fatal(err)
	}
	var status v1alpha1.AuditQueryStatus
	if put, read := put(&status, record.KindAudit, rows), rowSetOf(&status); put.digest != read.digest {
		t.Errorf("%v and %v", put, read)
	}
}
