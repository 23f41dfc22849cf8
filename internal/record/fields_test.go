package record_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// camelNames is the public API: the name of each field in Kubernetes types and
// field selectors. A name in it never changes.
func camelNames() map[string]string {
	return map[string]string{
		"id": "id", "time": "time", "ingest_time": "ingestTime", "source_type": "sourceType", "cluster": "cluster",
		"org_id": "orgID", "user_id": "userID", "actor_type": "actorType", "action": "action", "outcome": "outcome",
		"response_code": "responseCode", "api_name": "apiName", "target_resource_type": "targetResourceType",
		"target_resource_name": "targetResourceName", "target_resource_org_id": "targetResourceOrgID",
		"target_id": "targetID", "secondary_id": "secondaryID", "tertiary_id": "tertiaryID", "parent_id": "parentID",
		"grandparent_id": "grandparentID", "source_ip": "sourceIP", "user_agent": "userAgent", "token_id": "tokenID",
		"trace_id": "traceID", "session": "session", "description": "description", "audit_attributes": "auditAttributes",
		"org_name": "orgName", "upstream_user_id": "upstreamUserID", "upstream_idp": "upstreamIDP",
		"login_org_id": "loginOrgID", "login_org_name": "loginOrgName", "event": "event", "event_name": "eventName",
		"stage": "stage", "result": "result", "request_id": "requestID", "issuer": "issuer", "client_id": "clientID",
		"application_name": "applicationName", "details": "details",
	}
}

// members maps the JSON names of a struct to pointers to its fields, in which
// embedded structs count as their fields.
func members(t *testing.T, v reflect.Value) map[string]any {
	t.Helper()
	out := map[string]any{}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			maps.Copy(out, members(t, v.Field(i)))
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			t.Errorf("%s.%s has no JSON name", v.Type(), field.Name)
		}
		if _, twice := out[name]; twice {
			t.Errorf("%s has two members named %q", v.Type(), name)
		}
		out[name] = v.Field(i).Addr().Interface()
	}
	return out
}

func TestFieldTableMatchesTheStructs(t *testing.T) {
	for _, kind := range record.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			r := record.New(kind)
			want := members(t, reflect.ValueOf(r).Elem())
			got := map[string]any{}
			for _, field := range record.Fields(kind) {
				if _, twice := got[field.Name]; twice {
					t.Errorf("the table names %q twice", field.Name)
				}
				got[field.Name] = field.Pointer(r)
				if !field.In(kind) {
					t.Errorf("%s says that it is not in its own kind", field.Name)
				}
			}
			if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
				t.Fatalf("names in structs (-) and table (+):\n%s", diff)
			}
			for name, pointer := range got {
				if pointer != want[name] {
					t.Errorf("the table's %q points at another member of the struct", name)
				}
			}
		})
	}
}

func TestFieldTableNamesEachFieldOnceAndInCamelCase(t *testing.T) {
	want, got := camelNames(), map[string]string{}
	for _, kind := range record.Kinds() {
		camel := map[string]bool{}
		for _, field := range record.Fields(kind) {
			got[field.Name] = field.CamelName
			if camel[field.CamelName] {
				t.Errorf("%s: two fields are called %q", kind, field.CamelName)
			}
			camel[field.CamelName] = true
			if made := camelCase(field.Name); made != field.CamelName {
				t.Errorf("%s is called %q, by the rule %q", field.Name, field.CamelName, made)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// camelCase is the rule: initials of abbreviations are all capitals, except at
// the beginning.
func camelCase(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words[1:] {
		if slices.Contains([]string{"id", "ip", "idp"}, word) {
			words[i+1] = strings.ToUpper(word)
			continue
		}
		words[i+1] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, "")
}

func TestEveryFieldButThreeCanBeFiltered(t *testing.T) {
	unfiltered := map[record.Kind][]string{
		record.KindAudit:     {"audit_attributes", "description", "details"},
		record.KindAuthAudit: {"details"},
	}
	for kind, want := range unfiltered {
		schema := record.NewSchema(kind)
		var got []string
		for _, field := range record.Fields(kind) {
			fieldType, ok := schema.FieldType(field.Name)
			if ok != field.Filterable() || fieldType != field.Type {
				t.Errorf("%s %s: schema says %v (%t), table %v", kind, field.Name, fieldType, ok, field.Type)
			}
			if !ok {
				got = append(got, field.Name)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: fields that can't be filtered (-want +got):\n%s", kind, diff)
		}
		if !slices.IsSorted(schema.FieldNames()) || len(schema.FieldNames()) != len(record.Fields(kind))-len(want) {
			t.Errorf("%s: field names %v", kind, schema.FieldNames())
		}
	}
}

func TestFieldTypesFitTheStructs(t *testing.T) {
	for _, kind := range record.Kinds() {
		for _, field := range record.Fields(kind) {
			fits := false
			switch field.Pointer(record.New(kind)).(type) {
			case *string:
				fits = field.Type == query.Keyword || field.Type == query.IP || field.Name == "description"
			case *int64:
				fits = field.Type == query.Integer
			case *record.Timestamp:
				fits = field.Type == query.Time
			case *record.ID:
				fits = field.Type == query.Keyword
			case *json.RawMessage, *[]record.Attribute:
				fits = field.Type == 0
			}
			if !fits {
				t.Errorf("%s %s has the type %s for a %T", kind, field.Name, field.Type, field.Pointer(record.New(kind)))
			}
		}
	}
}

func TestAbsentFieldsAreLeftOutOfDocuments(t *testing.T) {
	for _, kind := range record.Kinds() {
		document, err := record.Encode(record.New(kind))
		if err != nil {
			t.Fatal(err)
		}
		want := `{"id":"00000000000000000000000000000000","time":"1970-01-01T00:00:00.000000Z","ingest_time":"1970-01-01T00:00:00.000000Z"}`
		if string(document) != want {
			t.Errorf("an empty %s is %s, want %s", kind, document, want)
		}
		r := record.New(kind)
		for _, field := range record.Fields(kind) {
			_, present := field.Value(r)
			if always := slices.Contains([]string{"id", "time", "ingest_time"}, field.Name); present != always {
				t.Errorf("%s of an empty %s: present %t", field.Name, kind, present)
			}
		}
	}
}

func TestEveryFieldSurvivesItsDocument(t *testing.T) {
	for _, kind := range record.Kinds() {
		r := record.New(kind)
		for n, field := range record.Fields(kind) {
			switch p := field.Pointer(r).(type) {
			case *string:
				*p = "v " + field.Name + " <\x00😀"
			case *int64:
				*p = 1<<53 + 1
			case *record.Timestamp:
				*p = record.Timestamp(1e15 + int64(n))
			case *record.ID:
				*p = record.ID{0x80, 15: 0xff}
			case *json.RawMessage:
				*p = json.RawMessage(`{"a":[1,{"b":null}]}`)
			case *[]record.Attribute:
				*p = []record.Attribute{{Type: "t", ID: "i", OrgID: "o", Name: "n"}, {Name: "only"}}
			}
		}
		document, err := record.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := record.DecodeAll(kind, [][]byte{document})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, decoded[0]); diff != "" {
			t.Errorf("%s (-before +after):\n%s", kind, diff)
		}
		var names map[string]any
		if err := json.Unmarshal(document, &names); err != nil {
			t.Fatal(err)
		}
		if len(names) != len(record.Fields(kind)) {
			t.Errorf("the document of a full %s has %d members, want %d", kind, len(names), len(record.Fields(kind)))
		}
	}
}
