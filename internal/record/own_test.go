package record

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSniff(t *testing.T) {
	for name, test := range map[string]struct {
		data      string
		want      Document
		wantError string
	}{
		"an event":                    {`{"kind":"Event","apiVersion":"audit.k8s.io/v1"}`, DocumentEvent, ""},
		"a list of events":            {`{"items":[],"apiVersion":"audit.k8s.io/v1","kind":"EventList"}`, DocumentEventList, ""},
		"an Audit by kind":            {`{"kind":"Audit"}`, DocumentAudit, ""},
		"an AuthAudit by kind":        {`{"kind":"AuthAudit","action":"x"}`, DocumentAuthAudit, ""},
		"an Audit by a field":         {`{"time":"x","action":"login"}`, DocumentAudit, ""},
		"an AuthAudit by a field":     {`{"time":"x","event_name":"Login"}`, DocumentAuthAudit, ""},
		"fields of both":              {`{"action":"x","stage":"y"}`, "", `unknown document: it has both action, of an Audit, and stage, of an AuthAudit; add "kind"`},
		"fields of neither":           {`{"time":"x","user_id":"y"}`, "", `unknown document: it has no field that tells an Audit from an AuthAudit; add "kind"`},
		"an event of the core group":  {`{"kind":"Event","apiVersion":"v1"}`, "", "unknown document: Event of v1 is not taken in"},
		"an old version":              {`{"kind":"Event","apiVersion":"audit.k8s.io/v1beta1"}`, "", "unknown document: Event of audit.k8s.io/v1beta1 is not taken in"},
		"an event without apiVersion": {`{"kind":"Event","auditID":"a"}`, "", "unknown document: kind is Event, but there is no apiVersion: audit.k8s.io/v1"},
		"another kind":                {`{"kind":"Pod"}`, "", `unknown document: kind is "Pod"; it can be Audit, AuthAudit, or Event or EventList of audit.k8s.io/v1`},
		"a kind that is no text":      {`{"kind":1}`, "", "unknown document: kind is no string"},
		"no object":                   {`[]`, "", "unknown document: it is no JSON object"},
		"no JSON":                     {`hello`, "", "invalid JSON after 0 bytes"},
		"nothing":                     {``, "", "JSON ends too early, after 0 bytes"},
		"cut off":                     {`{"kind":"Audit"`, "", "JSON ends too early, after 15 bytes"},
		"two objects":                 {`{"kind":"Audit"}{}`, "", "invalid JSON after 17 bytes"},
	} {
		got, err := Sniff([]byte(test.data))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != test.want || text != test.wantError {
			t.Errorf("%s: got %q, %q; want %q, %q", name, got, text, test.want, test.wantError)
		}
	}
}

func TestDecodeOwnReadsEveryField(t *testing.T) {
	for _, kind := range Kinds() {
		var members []string
		for _, f := range Fields(kind) {
			value := `"` + f.Name + `-value"`
			switch f.Pointer(New(kind)).(type) {
			case *Timestamp:
				value = `"2026-11-24T08:00:00.5+01:00"`
			case *ID:
				value = `"000102030405060708090a0b0c0d0e0f"`
			case *int64:
				value = "201"
			case *[]Attribute:
				value = `[{"attribute_type":"t","attribute_id":"i","attribute_org_id":"o","attribute_name":"n"}]`
			case *string:
			default:
				value = `{ "a": [1] }`
			}
			members = append(members, `"`+f.Name+`":`+value)
		}
		data := `{"kind":"` + string(kind) + `",` + strings.Join(members, ",") + `}`
		r, err := DecodeOwn([]byte(data))
		if err != nil {
			t.Fatal(err)
		}
		base := r.Base()
		if !base.ID.IsZero() || base.IngestTime != 0 || base.SourceType != SourceImport {
			t.Errorf("%s: id %s, ingest time %s and source %q are the sender's", kind, base.ID, base.IngestTime, base.SourceType)
		}
		if got := base.Time.String(); got != "2026-11-24T07:00:00.500000Z" || string(base.Details) != `{"a":[1]}` {
			t.Errorf("%s: time %s, details %s", kind, got, base.Details)
		}
		for _, f := range Fields(kind) {
			if text, ok := f.Pointer(r).(*string); ok && f.Name != "source_type" && *text != f.Name+"-value" {
				t.Errorf("%s: %s is %q", kind, f.Name, *text)
			}
		}
		if a, ok := r.(*Audit); ok {
			want := []Attribute{{Type: "t", ID: "i", OrgID: "o", Name: "n"}}
			if diff := cmp.Diff(want, a.Attributes); diff != "" || a.ResponseCode != 201 {
				t.Errorf("response code %d, attributes (-want +got):\n%s", a.ResponseCode, diff)
			}
		}
	}
}

func TestDecodeOwnNamesWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct{ members, want string }{
		"an unknown member":                  {`"colour":"red"`, "colour is not a field of Audit"},
		"a field of the other kind":          {`"stage":"x"`, "stage is not a field of Audit"},
		"a number for a text":                {`"user_id":1`, "user_id must be a string"},
		"a text for a number":                {`"response_code":"200"`, "response_code must be a whole number"},
		"a fraction":                         {`"response_code":1.5`, "response_code must be a whole number"},
		"a time that is none":                {`"time":"today"`, `time is wrong: "today" is not a time; write it as 2026-11-01T10:00:00Z`},
		"a time that is a number":            {`"time":1}`[:8], "time must be a string"},
		"no time":                            {`"user_id":"x"`, "time is missing"},
		"a time that is null":                {`"time":null`, "time is missing"},
		"an id that is none":                 {`"id":"x"`, `id is wrong: "x" is not a record id; an id is 32 hex digits in lower case`},
		"details that are no object":         {`"details":[]`, "details must be an object"},
		"attributes that are no list":        {`"audit_attributes":{}`, "audit_attributes must be a list"},
		"an attribute that is no object":     {`"audit_attributes":[{},1]`, "audit_attributes[1] must be an object"},
		"an unknown member of an attribute":  {`"audit_attributes":[{"id":"x"}]`, "audit_attributes[0].id is not a field of an attribute"},
		"a wrong type inside an attribute":   {`"audit_attributes":[{"attribute_id":1}]`, "audit_attributes[0].attribute_id must be a string"},
		"a member that occurs twice":         {`"user_id":"a","user_id":"b"`, "user_id occurs twice"},
		"an attribute's member occurs twice": {`"audit_attributes":[{"attribute_id":"a","attribute_id":"b"}]`, "audit_attributes[0].attribute_id occurs twice"},
	} {
		r, err := DecodeOwn([]byte(`{"kind":"Audit",` + test.members + `}`))
		var field *FieldError
		if !errors.As(err, &field) || err.Error() != test.want || r != nil {
			t.Errorf("%s: got %v, %v; want %q", name, r, err, test.want)
		}
	}
	if _, err := DecodeOwn([]byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1"}`)); err == nil {
		t.Error("an event was taken for a record of ours")
	}
}

func TestAnExportCanBeImportedAgainAndAgain(t *testing.T) {
	var file [][]byte
	for _, event := range realEvents(t) {
		records, _, err := KubernetesRecords(event, local())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			data, err := Encode(r)
			if err != nil {
				t.Fatal(err)
			}
			file = append(file, append([]byte(`{"kind":"`+string(r.Kind())+`",`), data[1:]...))
		}
	}
	for _, line := range file {
		first := imported(t, line)
		again, err := Encode(first)
		if err != nil {
			t.Fatal(err)
		}
		second := imported(t, append([]byte(`{"kind":"`+string(first.Kind())+`",`), again[1:]...))
		if first.Base().ID != second.Base().ID {
			t.Errorf("%s became %s:\n%s", first.Base().ID, second.Base().ID, line)
		}
	}
}

func imported(t *testing.T, line []byte) Record {
	t.Helper()
	r, err := DecodeOwn(line)
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := Canonical(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Base().ID = ContentID(r.Kind(), canonical, 0)
	return r
}
