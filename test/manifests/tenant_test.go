package manifests_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/test/await"
)

func testAuditTenantValidation(t *testing.T, c *cluster) {
	many := func(n int) string {
		orgs := make([]string, n)
		for i := range orgs {
			orgs[i] = fmt.Sprintf("org-%d", i)
		}
		return "{namespace: shop, orgIDs: [" + strings.Join(orgs, ", ") + "]}"
	}
	for name, tc := range map[string]specCase{
		"org ids of every form":                 {spec: `{namespace: shop, orgIDs: [acme, west/shop, _cluster, "urn:org:4711", "Größe & Söhne"]}`},
		"as many org ids as there may be":       {spec: many(v1alpha1.MaxTenantOrgIDs)},
		"an org id of the greatest length":      {spec: "{namespace: shop, orgIDs: [" + strings.Repeat("ü", 512) + "]}"},
		"too many org ids":                      {spec: many(v1alpha1.MaxTenantOrgIDs + 1), wantMessages: []string{"spec.orgIDs", "5000"}},
		"an org id that is too long":            {spec: "{namespace: shop, orgIDs: [" + strings.Repeat("o", 513) + "]}", wantMessages: []string{"spec.orgIDs[0]", "512"}},
		"no org id":                             {spec: "{namespace: shop, orgIDs: []}", wantMessages: []string{"spec.orgIDs"}},
		"org ids are missing":                   {spec: "{namespace: shop}", wantMessages: []string{"spec.orgIDs", "Required"}},
		"an empty org id":                       {spec: `{namespace: shop, orgIDs: [acme, ""]}`, wantMessages: []string{"spec.orgIDs[1]"}},
		"an org id twice":                       {spec: "{namespace: shop, orgIDs: [acme, globex, acme]}", wantMessages: []string{"spec.orgIDs[2]", "Duplicate"}},
		"an org id with a space at its end":     {spec: `{namespace: shop, orgIDs: ["acme "]}`, wantMessages: []string{"spec.orgIDs[0]"}},
		"an org id with a line break":           {spec: `{namespace: shop, orgIDs: ["a\nb"]}`, wantMessages: []string{"spec.orgIDs[0]"}},
		"the namespace is missing":              {spec: "{orgIDs: [acme]}", wantMessages: []string{"spec.namespace", "Required"}},
		"the namespace is empty":                {spec: `{namespace: "", orgIDs: [acme]}`, wantMessages: []string{"spec.namespace"}},
		"a namespace of a form that no one has": {spec: "{namespace: Shop_1, orgIDs: [acme]}", wantMessages: []string{"spec.namespace"}},
		"a field that there is not":             {spec: "{namespace: shop, orgIDs: [acme], orgs: [b]}", wantMessages: []string{"orgs"}},
	} {
		t.Run(name, func(t *testing.T) { c.wantValidation(t, "AuditTenant", tc) })
	}
}

// subject is a user and what was bound to it.
type subject struct{ name, role, namespace string }

// permission is what some of the subjects may do.
type permission struct {
	verb, group, resource, namespace string
	// want are those who may.
	want []string
}

// permissions say of every role what it allows, in the namespace of the samples, in
// another, and in the cluster.
func permissions(other string) []permission {
	return []permission{
		{"list", "records.auditquery.dev", "audits", sampleNamespace, []string{"reader", "editor", "admin-of-one", "reader-of-all", "admin"}},
		{"get", "records.auditquery.dev", "authaudits", sampleNamespace, []string{"reader", "editor", "admin-of-one", "reader-of-all", "admin"}},
		{"list", "rest.auditquery.dev", "audits", sampleNamespace, []string{"reader", "editor", "admin-of-one", "reader-of-all", "admin"}},
		{"list", "rest.auditquery.dev", "auth_audits", sampleNamespace, []string{"reader", "editor", "admin-of-one", "reader-of-all", "admin"}},
		{"list", "records.auditquery.dev", "audits", other, []string{"reader-of-all", "admin"}},
		{"list", "rest.auditquery.dev", "audits", "", []string{"reader-of-all", "admin"}},
		{"delete", "records.auditquery.dev", "audits", sampleNamespace, nil},
		{"get", "auditquery.dev", "auditqueries", sampleNamespace, []string{"reader", "editor", "admin-of-one", "reader-of-all", "admin"}},
		{"create", "auditquery.dev", "auditqueries", sampleNamespace, []string{"editor", "admin-of-one", "reader-of-all", "admin"}},
		{"create", "auditquery.dev", "auditqueries", other, []string{"reader-of-all", "admin"}},
		{"create", "auditquery.dev", "clusterauditqueries", "", []string{"reader-of-all", "admin"}},
		{"list", "auditquery.dev", "audittenants", "", []string{"reader-of-all", "admin"}},
		{"create", "auditquery.dev", "audittenants", "", []string{"admin"}},
		{"patch", "auditquery.dev", "audittenants", "", []string{"admin"}},
		{"update", "auditquery.dev", "audittenants/status", "", nil},
		{"list", "auditquery.dev", "retentionpolicies", "", []string{"reader-of-all", "admin", "keeper"}},
		{"list", "auditquery.dev", "legalholds", "", []string{"reader-of-all", "admin", "keeper"}},
		{"create", "auditquery.dev", "legalholds", "", []string{"admin", "keeper"}},
		{"delete", "auditquery.dev", "legalholds", "", []string{"admin", "keeper"}},
		{"create", "auditquery.dev", "retentionpolicies", "", []string{"admin"}},
		{"patch", "auditquery.dev", "retentionpolicies", "", []string{"admin"}},
		{"patch", "auditquery.dev", "retentionpolicies/status", "", nil},
		{"patch", "auditquery.dev", "legalholds/status", "", nil},
	}
}

// testRoles asks the API server what each of our roles allows whom.
func testRoles(t *testing.T, c *cluster) {
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	const other = "kube-public"
	subjects := []subject{
		{name: "nobody"},
		{name: "reader", role: "auditquery-reader", namespace: sampleNamespace},
		{name: "editor", role: "auditquery-editor", namespace: sampleNamespace},
		{name: "admin-of-one", role: "auditquery-admin", namespace: sampleNamespace},
		{name: "reader-of-all", role: "auditquery-cluster-reader"},
		{name: "admin", role: "auditquery-admin"},
		{name: "keeper", role: "auditquery-hold-keeper"},
	}
	for _, s := range subjects {
		switch {
		case s.namespace != "":
			c.kubectl(t, "create", "rolebinding", s.name, "-n", s.namespace, "--clusterrole="+s.role, "--user="+s.name)
		case s.role != "":
			c.kubectl(t, "create", "clusterrolebinding", s.name, "--clusterrole="+s.role, "--user="+s.name)
		}
	}
	for _, tc := range permissions(other) {
		for _, s := range subjects {
			want := strings.Contains(" "+strings.Join(tc.want, " ")+" ", " "+s.name+" ")
			resource, subresource, _ := strings.Cut(tc.resource, "/")
			await.Nil(t, fmt.Sprintf("%s may %s %s.%s in %q: %v", s.name, tc.verb, tc.resource, tc.group, tc.namespace, want),
				func(ctx context.Context) error {
					review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
						User: s.name,
						ResourceAttributes: &authorizationv1.ResourceAttributes{
							Verb: tc.verb, Group: tc.group, Resource: resource, Subresource: subresource, Namespace: tc.namespace,
						},
					}}
					got, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
					if err == nil && got.Status.Allowed != want {
						err = errors.New(got.Status.Reason)
					}
					return err
				})
		}
	}
}

// testNothingIsAggregated: view, edit and admin would let their holders read audits.
func testNothingIsAggregated(t *testing.T, c *cluster) {
	var list struct {
		Items []struct{ Metadata metav1.ObjectMeta }
	}
	if err := yaml.Unmarshal([]byte(c.kubectl(t, "get", "clusterroles", "-o", "yaml")), &list); err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, role := range list.Items {
		if !strings.HasPrefix(role.Metadata.Name, "auditquery-") {
			continue
		}
		ours++
		for label := range role.Metadata.Labels {
			if strings.Contains(label, "aggregate-to") {
				t.Errorf("%s is aggregated by %s", role.Metadata.Name, label)
			}
		}
	}
	if ours < 5 {
		t.Errorf("only %d of our roles", ours)
	}
}
