package auditquery

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/util/intstr"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

func schemas() map[record.Kind]*record.Schema {
	out := map[record.Kind]*record.Schema{}
	for _, kind := range record.Kinds() {
		out[kind] = record.NewSchema(kind)
	}
	return out
}

func audits(f v1alpha1.AuditFilters) v1alpha1.AuditQuerySpec {
	return v1alpha1.AuditQuerySpec{Audits: &f}
}

func authAudits(f v1alpha1.AuthAuditFilters) v1alpha1.AuditQuerySpec {
	return v1alpha1.AuditQuerySpec{AuthAudits: &f}
}

func TestTranslate(t *testing.T) {
	tests := map[string]struct {
		spec v1alpha1.AuditQuerySpec
		want query.Filter
	}{
		"no filter means every record": {spec: audits(v1alpha1.AuditFilters{})},
		"one value must be equal": {
			spec: audits(v1alpha1.AuditFilters{UserID: v1alpha1.Value("alice")}),
			want: query.Equal{Field: "user_id", Value: "alice"},
		},
		"a list means any of it": {
			spec: audits(v1alpha1.AuditFilters{Action: v1alpha1.AnyOf("update", "delete")}),
			want: query.AnyOf{Field: "action", Values: []string{"delete", "update"}},
		},
		"all filters must hold": {
			spec: audits(v1alpha1.AuditFilters{UserID: v1alpha1.Value("alice"), Outcome: v1alpha1.Value("Denied")}),
			want: query.And{query.Equal{Field: "user_id", Value: "alice"}, query.Equal{Field: "outcome", Value: "Denied"}},
		},
		"response codes may be numbers": {
			spec: audits(v1alpha1.AuditFilters{ResponseCode: v1alpha1.Values{
				Items: []intstr.IntOrString{intstr.FromInt32(403), intstr.FromString("0404")}, List: true,
			}}),
			want: query.AnyOf{Field: "response_code", Values: []string{"403", "404"}},
		},
		"sessionID is the field session": {
			spec: authAudits(v1alpha1.AuthAuditFilters{SessionID: v1alpha1.Value("s1")}),
			want: query.Equal{Field: "session", Value: "s1"},
		},
		"an address must be equal in its shortest form": {
			spec: audits(v1alpha1.AuditFilters{SourceIP: v1alpha1.Value("::ffff:10.0.0.1")}),
			want: query.Equal{Field: "source_ip", Value: "10.0.0.1"},
		},
		"a block contains addresses": {
			spec: audits(v1alpha1.AuditFilters{SourceIP: v1alpha1.Value("10.1.2.3/8")}),
			want: query.CIDR{Field: "source_ip", Net: netip.MustParsePrefix("10.0.0.0/8")},
		},
		"addresses and blocks mean any of them": {
			spec: audits(v1alpha1.AuditFilters{SourceIP: v1alpha1.AnyOf("10.0.0.0/8", "::1", "192.0.2.1")}),
			want: query.Or{
				query.CIDR{Field: "source_ip", Net: netip.MustParsePrefix("10.0.0.0/8")},
				query.AnyOf{Field: "source_ip", Values: []string{"192.0.2.1", "::1"}},
			},
		},
		"attribute filters are about one attribute": {
			spec: audits(v1alpha1.AuditFilters{AttributeType: v1alpha1.Value("role"), AttributeID: v1alpha1.AnyOf("a", "b")}),
			want: query.Attribute{Type: []string{"role"}, ID: []string{"a", "b"}},
		},
		"excluded actor types are a complement": {
			spec: audits(v1alpha1.AuditFilters{ExcludeActorTypes: []string{"System", "Node"}}),
			want: query.Not{Filter: query.AnyOf{Field: "actor_type", Values: []string{"Node", "System"}}},
		},
		"text is split into words": {
			spec: audits(v1alpha1.AuditFilters{Text: "Deleted, the WEB"}),
			want: query.Text{Words: []string{"deleted", "the", "web"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := translate(&tc.spec, schemas())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.filter, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("filter (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTranslateRefuses(t *testing.T) {
	tests := map[string]struct {
		spec                  v1alpha1.AuditQuerySpec
		wantPath, wantMessage string
	}{
		"neither kind":        {wantPath: "spec", wantMessage: "exactly one"},
		"both kinds":          {spec: v1alpha1.AuditQuerySpec{Audits: &v1alpha1.AuditFilters{}, AuthAudits: &v1alpha1.AuthAuditFilters{}}, wantPath: "spec", wantMessage: "exactly one"},
		"half an address":     {spec: audits(v1alpha1.AuditFilters{SourceIP: v1alpha1.Value("10.0.0")}), wantPath: "spec.audits.sourceIP", wantMessage: `"10.0.0" is neither`},
		"half a block":        {spec: authAudits(v1alpha1.AuthAuditFilters{SourceIP: v1alpha1.AnyOf("::1", "10.0.0.0/33")}), wantPath: "spec.authAudits.sourceIP", wantMessage: "not a CIDR block"},
		"a code in words":     {spec: audits(v1alpha1.AuditFilters{ResponseCode: v1alpha1.Value("forbidden")}), wantPath: "spec.audits.responseCode", wantMessage: "not a whole number"},
		"an id that is none":  {spec: audits(v1alpha1.AuditFilters{ID: v1alpha1.Value("7")}), wantPath: "spec.audits.id", wantMessage: "7"},
		"an empty list":       {spec: audits(v1alpha1.AuditFilters{UserID: v1alpha1.AnyOf()}), wantPath: "spec.audits.userID", wantMessage: "at least one"},
		"no address":          {spec: audits(v1alpha1.AuditFilters{SourceIP: v1alpha1.AnyOf()}), wantPath: "spec.audits.sourceIP", wantMessage: "at least one"},
		"an empty attribute":  {spec: audits(v1alpha1.AuditFilters{AttributeID: v1alpha1.AnyOf()}), wantPath: "spec.audits.attributeID", wantMessage: "at least one"},
		"an empty value":      {spec: audits(v1alpha1.AuditFilters{AttributeID: v1alpha1.Value("")}), wantPath: "spec.audits.attributeID", wantMessage: "empty value"},
		"text without a word": {spec: audits(v1alpha1.AuditFilters{Text: "..."}), wantPath: "spec.audits.text", wantMessage: "no letter or digit"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := translate(&tc.spec, schemas())
			var field *FieldError
			if !errors.As(err, &field) {
				t.Fatalf("error %v, want a FieldError", err)
			}
			if field.Path != tc.wantPath || !strings.Contains(field.Message, tc.wantMessage) {
				t.Errorf("error %q, want path %q and %q", err, tc.wantPath, tc.wantMessage)
			}
		})
	}
}

// Every field of the filter types makes a filter, and each another one: none is
// ignored, and no two are mixed up.
func TestNoFilterIsIgnored(t *testing.T) {
	for _, spec := range []v1alpha1.AuditQuerySpec{audits(v1alpha1.AuditFilters{}), authAudits(v1alpha1.AuthAuditFilters{})} {
		seen := map[string]string{}
		filters := reflect.ValueOf(spec.Audits).Elem
		if spec.Audits == nil {
			filters = reflect.ValueOf(spec.AuthAudits).Elem
		}
		for i := range filters().NumField() {
			name := filters().Type().Field(i).Name
			filters().SetZero()
			switch field := filters().Field(i).Addr().Interface().(type) {
			case *v1alpha1.Values:
				*field = v1alpha1.Value(valueFor(name))
			case *[]string:
				*field = []string{"System"}
			case *string:
				*field = "words"
			default:
				t.Fatalf("%s has a type that this test does not know", name)
			}
			got, err := translate(&spec, schemas())
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			text, err := query.MarshalFilter(got.filter)
			if err != nil || got.filter == nil {
				t.Errorf("%s is ignored: %v", name, err)
			}
			if other, ok := seen[string(text)]; ok {
				t.Errorf("%s means the same as %s: %s", name, other, text)
			}
			seen[string(text)] = name
		}
	}
}

func valueFor(name string) string {
	switch name {
	case "ID":
		return strings.Repeat("ab", 16)
	case "ResponseCode":
		return "403"
	case "SourceIP":
		return "10.0.0.1"
	default:
		return "value"
	}
}
