package apiserver

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/internal/store"
)

const (
	recordsPath = "/apis/records.auditquery.dev/v1alpha1"
	shopAudits  = recordsPath + "/namespaces/shop/audits"
	allAudits   = recordsPath + "/audits"
)

// verbs maps each resource to what discovery says can be done with it.
type verbs map[string][]string

func TestBothDiscoveriesAdvertiseGetAndListAlone(t *testing.T) {
	s := start(t)
	want := map[string]verbs{
		"records.auditquery.dev/v1alpha1": {"audits": {"get", "list"}, "authaudits": {"get", "list"}},
		"rest.auditquery.dev/v1":          {},
	}

	var aggregated apidiscoveryv2.APIGroupDiscoveryList
	s.get("/apis", "Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList").into(t, &aggregated)
	got := map[string]verbs{}
	for _, group := range aggregated.Items {
		for _, version := range group.Versions {
			found := verbs{}
			for _, resource := range version.Resources {
				found[resource.Resource] = resource.Verbs
				if resource.Scope != apidiscoveryv2.ScopeNamespace || len(resource.Categories) > 0 {
					t.Errorf("%s: scope %s, categories %v", resource.Resource, resource.Scope, resource.Categories)
				}
			}
			got[group.Name+"/"+version.Version] = found
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("aggregated discovery (-want +got):\n%s", diff)
	}

	var groups metav1.APIGroupList
	s.get("/apis").into(t, &groups)
	legacy := map[string]verbs{}
	for _, group := range groups.Groups {
		var alone metav1.APIGroup
		s.get("/apis/"+group.Name).into(t, &alone)
		for _, version := range alone.Versions {
			var list metav1.APIResourceList
			a := s.get("/apis/" + version.GroupVersion)
			a.into(t, &list)
			if list.GroupVersion != version.GroupVersion || !strings.Contains(string(a.body), `"resources":[`) {
				t.Errorf("%s: %s", version.GroupVersion, a.body)
			}
			legacy[version.GroupVersion] = verbs{}
			for _, resource := range list.APIResources {
				legacy[version.GroupVersion][resource.Name] = resource.Verbs
			}
		}
	}
	if diff := cmp.Diff(want, legacy); diff != "" {
		t.Errorf("legacy discovery (-want +got):\n%s", diff)
	}
}

func TestOpenAPIDescribesWhatIsServed(t *testing.T) {
	s := start(t)
	var v2 struct {
		Definitions map[string]any            `json:"definitions"`
		Paths       map[string]map[string]any `json:"paths"`
	}
	s.get("/openapi/v2").into(t, &v2)
	for _, model := range []string{"Audit", "AuditList", "AuthAudit", "AuthAuditList", "Truncation"} {
		if v2.Definitions["dev.auditquery.records.v1alpha1."+model] == nil {
			t.Errorf("OpenAPI v2 has no %s", model)
		}
	}
	var index struct {
		Paths map[string]struct {
			URL string `json:"serverRelativeURL"`
		} `json:"paths"`
	}
	s.get("/openapi/v3").into(t, &index)
	path := index.Paths["apis/records.auditquery.dev/v1alpha1"].URL
	if path == "" {
		t.Fatalf("OpenAPI v3 lists %v", index.Paths)
	}
	var v3 struct {
		Paths      map[string]map[string]any `json:"paths"`
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	s.get(path).into(t, &v3)
	audit := string(v3.Components.Schemas["dev.auditquery.records.v1alpha1.Audit"])
	for _, want := range []string{`"targetResourceName"`, `"details"`, "x-kubernetes-group-version-kind", `"kind":"Audit"`} {
		if !strings.Contains(audit, want) {
			t.Errorf("the schema of Audit lacks %s: %s", want, audit)
		}
	}
	for path, methods := range v3.Paths {
		for method := range methods {
			if !slices.Contains([]string{"get", "parameters"}, method) {
				t.Errorf("OpenAPI has %s %s", method, path)
			}
		}
	}
}

func TestNothingButRecordsDependsOnTheStore(t *testing.T) {
	s := start(t)
	for _, path := range []string{
		"/readyz", "/livez", "/healthz", "/apis", recordsPath, "/apis/rest.auditquery.dev/v1", "/openapi/v2", "/openapi/v3", "/version",
	} {
		s.reader.failNext(&store.Error{Reason: store.Unavailable, Op: "list", Message: "down"})
		if a := s.get(path); a.code != http.StatusOK {
			t.Errorf("%s: %d %.300s", path, a.code, a.body)
		}
	}
	if len(s.reader.asked) != 0 {
		t.Errorf("the store was asked: %v", s.reader.asked)
	}
}

func TestReadinessWaitsForTenancy(t *testing.T) {
	s := start(t)
	s.tenancy.setReady(false)
	if a := s.get("/readyz"); a.code != http.StatusInternalServerError {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := s.get("/livez"); a.code != http.StatusOK {
		t.Errorf("%d %s", a.code, a.body)
	}
}
