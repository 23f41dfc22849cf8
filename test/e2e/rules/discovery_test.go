package rules_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"

	"auditquery.dev/auditquery/test/await"
)

const asDiscovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// resource is what discovery says of one, in either form.
type resource struct {
	Kind, Singular string
	Namespaced     bool
	Verbs          []string
	ShortNames     []string
	Categories     []string
}

func TestDiscoverySaysTheSameInBothForms(t *testing.T) {
	w := theWorld(t)
	for name, c := range map[string]*client{
		"the kube-apiserver": admin(t, w.Stage), "the server's own address": mustClient(t, w.Server().Config(w.ControlPlane().RESTConfig())),
	} {
		t.Run(name, func(t *testing.T) {
			legacy, aggregated := legacyResources(t, c), aggregatedResources(t, c)
			if diff := cmp.Diff(legacy, aggregated); diff != "" {
				t.Errorf("-legacy +aggregated:\n%s", diff)
			}
			verbs := map[string][]string{}
			for name, r := range legacy {
				verbs[name] = r.Verbs
			}
			if diff := cmp.Diff(map[string][]string{"audits": {"get", "list"}, "authaudits": {"get", "list"}}, verbs); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// legacyResources are those of both groups; the REST group is to have none.
func legacyResources(t *testing.T, c *client) map[string]resource {
	t.Helper()
	found := map[string]resource{}
	for _, path := range []string{recordsPath, restPath} {
		var resources metav1.APIResourceList
		mustRead(t, c.get(t.Context(), path), &resources)
		for _, r := range resources.APIResources {
			found[r.Name] = resource{r.Kind, r.SingularName, r.Namespaced, r.Verbs, r.ShortNames, r.Categories}
		}
	}
	return found
}

func aggregatedResources(t *testing.T, c *client) map[string]resource {
	t.Helper()
	var groups apidiscovery.APIGroupDiscoveryList
	mustRead(t, c.get(t.Context(), "/apis", asDiscovery), &groups)
	found, ours := map[string]resource{}, 0
	for _, group := range groups.Items {
		if !strings.HasSuffix(group.Name, ".auditquery.dev") {
			continue
		}
		ours++
		for _, version := range group.Versions {
			if version.Freshness != apidiscovery.DiscoveryFreshnessCurrent {
				t.Errorf("%s/%s is %s", group.Name, version.Version, version.Freshness)
			}
			for _, r := range version.Resources {
				found[r.Resource] = resource{
					r.ResponseKind.Kind, r.SingularResource, r.Scope == apidiscovery.ScopeNamespace, r.Verbs, r.ShortNames, r.Categories,
				}
			}
		}
	}
	if ours != 2 {
		t.Errorf("%d groups of ours", ours)
	}
	return found
}

func mustRead(t *testing.T, a answer, into any) {
	t.Helper()
	if a.err != nil || a.status != http.StatusOK {
		t.Fatal(a)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatal(err, a)
	}
}

func TestEveryOtherVerbIs405(t *testing.T) {
	w := theWorld(t)
	asAdmin := admin(t, w.Stage)
	one, err := asAdmin.get(t.Context(), namespaced(recordsPath, smallOrg, "audits", "limit", "1")).list()
	if err != nil {
		t.Fatal(err)
	}
	item := namespaced(recordsPath, smallOrg, "audits") + "/" + one.Items[0].Metadata.Name
	records, logins := namespaced(recordsPath, smallOrg, "audits"), namespaced(recordsPath, smallOrg, "authaudits")
	rest := namespaced(restPath, smallOrg, "audits")
	var asked []string
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		for _, path := range []string{records, logins, item, rest, restPath + "/auth_audits"} {
			asked = append(asked, method+" "+path)
		}
	}
	for _, path := range []string{records, logins, recordsPath + "/audits"} {
		asked = append(asked, "GET "+path+"?watch=true")
	}
	for _, name := range asked {
		method, path, _ := strings.Cut(name, " ")
		a := asAdmin.do(t.Context(), method, path)
		if a.err != nil || a.status != http.StatusMethodNotAllowed || !strings.Contains(a.header.Get("Allow"), http.MethodGet) || !json.Valid(a.body) {
			t.Errorf("%s: Allow is %q: %s", name, a.header.Get("Allow"), a)
		}
	}
}

func TestKubectlIsToldWhatToUseInsteadOfWatch(t *testing.T) {
	w := theWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, _, err := w.ControlPlane().Kubectl(ctx, "get", "audits", "-n", smallOrg, "-w")
	if ctx.Err() != nil || err == nil || !strings.Contains(err.Error(), "AuditQuery with an interval") {
		t.Errorf("it says %v", err)
	}
}

func TestWhoeverCachesOrCollectsFindsNothingOfOurs(t *testing.T) {
	w := theWorld(t)
	finder, err := discovery.NewDiscoveryClientForConfig(w.ControlPlane().RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	_, all, err := finder.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	preferred, err := finder.ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string][]string{
		"a GitOps controller caches": {"list", "watch"}, "the garbage collector watches": {"delete", "list", "watch"},
		"the namespace controller empties": {"delete"}, "and whom it asks": {"deletecollection"},
	}
	for name, verbs := range rules {
		found := discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: verbs}, slices.Concat(all, preferred))
		foreign := 0
		for _, group := range found {
			if strings.HasPrefix(group.GroupVersion, "records.") || strings.HasPrefix(group.GroupVersion, "rest.") {
				t.Errorf("%s: %s", name, group.GroupVersion)
			}
			foreign += len(group.APIResources)
		}
		if foreign == 0 {
			t.Errorf("%s: the rule finds nothing at all", name)
		}
	}
}

// snapshot is what the cluster says of itself to kubectl, but for what is ours.
type snapshot struct {
	Resources []string
	Explained map[string]string
	All       []string
}

func (w *world) snapshot(t *testing.T) snapshot {
	t.Helper()
	s := snapshot{Explained: map[string]string{}}
	for _, line := range lines(w.Kubectl(t, "api-resources", "--no-headers", "-o", "wide")) {
		if !strings.Contains(line, "records.auditquery.dev") {
			s.Resources = append(s.Resources, strings.Join(strings.Fields(line), " "))
		}
	}
	slices.Sort(s.Resources)
	for _, what := range []string{"deployments.spec.strategy", "pods.spec.containers.env", "roles.rules", "auditqueries.spec"} {
		s.Explained[what] = w.Kubectl(t, "explain", what)
	}
	s.All = lines(w.Kubectl(t, "get", "all", "-A", "-o", "name", "--ignore-not-found"))
	return s
}

func TestTheRestOfTheClusterIsAsItWas(t *testing.T) {
	w := theWorld(t)
	if diff := cmp.Diff(w.before, w.snapshot(t)); diff != "" {
		t.Errorf("-before our API was registered +since:\n%s", diff)
	}
	want := map[string]string{
		"audits": "records.auditquery.dev/v1alpha1 true Audit get,list", "authaudits": "records.auditquery.dev/v1alpha1 true AuthAudit get,list",
	}
	got := map[string]string{}
	for _, line := range lines(w.Kubectl(t, "api-resources", "--no-headers", "-o", "wide", "--api-group=records.auditquery.dev")) {
		name, rest, _ := strings.Cut(strings.Join(strings.Fields(line), " "), " ")
		got[name] = rest
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Error(diff)
	}
	for name, row := range want {
		if !strings.HasSuffix(got[name], row) {
			t.Errorf("%s is listed as %q", name, got[name])
		}
	}
	// The kube-apiserver fetches the schemas some time after it knows a group.
	await.Nil(t, "kubectl explains audits", func(ctx context.Context) error {
		out, _, err := w.ControlPlane().Kubectl(ctx, "explain", "audits.userID")
		if err == nil && !strings.Contains(out, "alice") {
			err = errors.New(out)
		}
		return err
	})
	w.Kubectl(t, "create", "namespace", "passing")
	w.Kubectl(t, "create", "configmap", "something", "-n", "passing")
	w.Kubectl(t, "delete", "namespace", "passing", "--timeout=60s")
}

func TestControllersTouchNoRecord(t *testing.T) {
	w := theWorld(t)
	all := ways(t, w.Stage)
	w.claimed(t, "doomed")
	doomed := way{client: admin(t, w.Stage), path: recordsPath + "/audits" + encoded(inWindow(",orgID=doomed")), records: 20}
	if err := w.Append(t.Context(), audits("doomed", "thing", 0, 20, at)...); err != nil {
		t.Fatal(err)
	}
	seen(t, doomed)
	before := w.proxy.Counts().Searches

	w.Kubectl(t, "create", "configmap", "owner", "-n", "doomed")
	owner := w.Kubectl(t, "get", "configmap", "owner", "-n", "doomed", "-o", "jsonpath={.metadata.uid}")
	w.Apply(t, fmt.Sprintf(`
apiVersion: v1
kind: ConfigMap
metadata:
  name: owned
  namespace: doomed
  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: %s}]
`, owner))
	w.Kubectl(t, "delete", "configmap", "owner", "-n", "doomed")
	w.Kubectl(t, "wait", "--for=delete", "configmap/owned", "-n", "doomed", "--timeout=60s")
	w.Kubectl(t, "delete", "namespace", "doomed", "--timeout=60s")

	if asked := w.proxy.Counts().Searches - before; asked > 0 {
		t.Errorf("while the controllers worked records were asked for %d times", asked)
	}
	if err := doomed.good(doomed.ask(t.Context())); err != nil {
		t.Errorf("after the namespace was deleted: %v", err)
	}
	wantAllGood(t, all)
}
