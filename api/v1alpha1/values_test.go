package v1alpha1_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/api/v1alpha1"
)

func TestValuesKeepTheirForm(t *testing.T) {
	for name, tc := range map[string]struct {
		in          string
		wantStrings []string
	}{
		"a string":              {in: `{"action":"delete"}`, wantStrings: []string{"delete"}},
		"a list":                {in: `{"action":["delete","create"]}`, wantStrings: []string{"delete", "create"}},
		"a list of one":         {in: `{"action":["delete"]}`, wantStrings: []string{"delete"}},
		"an empty list":         {in: `{"action":[]}`, wantStrings: []string{}},
		"a number":              {in: `{"action":403}`, wantStrings: []string{"403"}},
		"numbers and strings":   {in: `{"action":[401,"403"]}`, wantStrings: []string{"401", "403"}},
		"nothing":               {in: `{}`, wantStrings: []string{}},
		"a string of a bracket": {in: `{"action":"[x]"}`, wantStrings: []string{"[x]"}},
	} {
		t.Run(name, func(t *testing.T) {
			var filters v1alpha1.AuditFilters
			if err := json.Unmarshal([]byte(tc.in), &filters); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.wantStrings, filters.Action.Strings()); diff != "" {
				t.Errorf("strings (-want +got):\n%s", diff)
			}
			out, err := json.Marshal(filters)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.in, string(out)); diff != "" {
				t.Errorf("JSON (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValuesRefuseOtherTypes(t *testing.T) {
	for name, in := range map[string]string{
		"an object":         `{"a":"b"}`,
		"true":              `true`,
		"a fraction":        `1.5`,
		"a number too long": `12345678901234567890`,
		"null in a list":    `["a",null]`,
		"a list in a list":  `[["a"]]`,
		"true in a list":    `[true]`,
	} {
		t.Run(name, func(t *testing.T) {
			var values v1alpha1.Values
			if err := json.Unmarshal([]byte(in), &values); !errors.Is(err, v1alpha1.ErrNotValues) {
				t.Errorf("got %v with values %v, want ErrNotValues", err, values)
			}
		})
	}
}

func TestNullIsNoFilter(t *testing.T) {
	filters := v1alpha1.AuditFilters{Action: v1alpha1.Value("delete")}
	if err := json.Unmarshal([]byte(`{"action":null}`), &filters); err != nil {
		t.Fatal(err)
	}
	if !filters.Action.IsZero() {
		t.Errorf("got %v, want no filter", filters.Action)
	}
}

func TestValuesFromGo(t *testing.T) {
	for name, tc := range map[string]struct {
		values v1alpha1.Values
		want   string
	}{
		"one value":     {values: v1alpha1.Value("delete"), want: `"delete"`},
		"any of one":    {values: v1alpha1.AnyOf("delete"), want: `["delete"]`},
		"any of two":    {values: v1alpha1.AnyOf("delete", "create"), want: `["delete","create"]`},
		"any of none":   {values: v1alpha1.AnyOf(), want: `[]`},
		"a list of nil": {values: v1alpha1.Values{List: true}, want: `[]`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(tc.values)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestMatchCountText(t *testing.T) {
	for name, tc := range map[string]struct {
		count int64
		exact bool
		want  v1alpha1.MatchCount
	}{
		"none":          {count: 0, exact: true, want: v1alpha1.MatchCount{Count: 0, Relation: v1alpha1.MatchExact, Text: "0"}},
		"exactly":       {count: 17, exact: true, want: v1alpha1.MatchCount{Count: 17, Relation: v1alpha1.MatchExact, Text: "17"}},
		"at least that": {count: 10000, want: v1alpha1.MatchCount{Count: 10000, Relation: v1alpha1.MatchAtLeast, Text: "10000+"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(&tc.want, v1alpha1.NewMatchCount(tc.count, tc.exact)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
