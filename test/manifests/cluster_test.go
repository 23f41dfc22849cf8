package manifests_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/test/controlplane"
	"auditquery.dev/auditquery/test/repository"
)

const sampleNamespace = "shop"

// cluster is a control plane on which config/default has been applied.
type cluster struct {
	*controlplane.ControlPlane
	client dynamic.Interface
	root   string
}

// TestManifests applies what this repository ships to a real API server.
func TestManifests(t *testing.T) {
	c := startCluster(t)
	t.Run("config/default applies, and again without a change", func(t *testing.T) { testDefaultTwice(t, c) })
	t.Run("AuditQuery is validated", func(t *testing.T) { testAuditQueryValidation(t, c) })
	t.Run("ClusterAuditQuery is validated", func(t *testing.T) { testClusterAuditQueryValidation(t, c) })
	t.Run("AuditTenant is validated", func(t *testing.T) { testAuditTenantValidation(t, c) })
	t.Run("RetentionPolicy is validated", func(t *testing.T) { testRetentionPolicyValidation(t, c) })
	t.Run("LegalHold is validated", func(t *testing.T) { testLegalHoldValidation(t, c) })
	t.Run("what was let in can be read", func(t *testing.T) { testTimesAndDelays(t, c) })
	t.Run("a new object has its defaults", func(t *testing.T) { testDefaults(t, c) })
	t.Run("retention has safe defaults", func(t *testing.T) { testRetentionDefaults(t, c) })
	t.Run("server-side apply replaces filters as a whole", func(t *testing.T) { testFiltersReplaced(t, c) })
	t.Run("filters keep the form in which they were given", func(t *testing.T) { testFormKept(t, c) })
	t.Run("tables have the columns that a person wants", func(t *testing.T) { testColumns(t, c) })
	t.Run("tables of retention have them, too", func(t *testing.T) { testRetentionColumns(t, c) })
	t.Run("status of the greatest size is accepted", func(t *testing.T) { testFullStatus(t, c) })
	t.Run("so is that of a policy", func(t *testing.T) { testFullPlan(t, c) })
	t.Run("who may not list records may not ask for them", func(t *testing.T) { testAdmission(t, c) })
	t.Run("each role allows what it says", func(t *testing.T) { testRoles(t, c) })
	t.Run("no role is aggregated", func(t *testing.T) { testNothingIsAggregated(t, c) })
	t.Run("samples apply", func(t *testing.T) { testSamples(t, c) })
	t.Run("examples of the documentation apply", func(t *testing.T) { testDocumentation(t, c) })
	t.Run("an authority in the APIServices outlives an apply", func(t *testing.T) { testOverlay(t, c) })
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	cp := controlplane.StartForTest(t, controlplane.Options{WithoutControllerManager: true})
	client, err := dynamic.NewForConfig(cp.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{ControlPlane: cp, client: client, root: root}
	c.apply(t, "-k", c.path("config/default"))
	c.kubectl(t, "wait", "--for=condition=Established", "--timeout=30s", "crd",
		"auditqueries.auditquery.dev", "clusterauditqueries.auditquery.dev", "audittenants.auditquery.dev",
		"retentionpolicies.auditquery.dev", "legalholds.auditquery.dev")
	c.kubectl(t, "create", "namespace", sampleNamespace)
	return c
}

func (c *cluster) path(rel string) string { return filepath.Join(c.root, filepath.FromSlash(rel)) }

func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	stdout, _, err := c.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return stdout
}

func (c *cluster) apply(t *testing.T, args ...string) {
	t.Helper()
	c.kubectl(t, append([]string{"apply", "--server-side"}, args...)...)
}

// applyText applies a YAML document and returns what the server refused.
func (c *cluster) applyText(ctx context.Context, document string, args ...string) error {
	_, _, err := c.KubectlInput(ctx, strings.NewReader(document), append([]string{"apply", "--server-side", "-f", "-"}, args...)...)
	return err
}

func (c *cluster) resource(kind string) dynamic.ResourceInterface {
	resource := c.client.Resource(schema.GroupVersionResource{
		Group: v1alpha1.Group, Version: "v1alpha1", Resource: resourceOf(kind),
	})
	if kind == "AuditQuery" {
		return resource.Namespace(sampleNamespace)
	}
	return resource
}

func resourceOf(kind string) string {
	switch kind {
	case "AuditQuery":
		return "auditqueries"
	case "AuditTenant":
		return "audittenants"
	case "RetentionPolicy":
		return "retentionpolicies"
	case "LegalHold":
		return "legalholds"
	default:
		return "clusterauditqueries"
	}
}

// object builds an object of a kind from the YAML of its spec.
func object(t *testing.T, kind, name, spec string) *unstructured.Unstructured {
	t.Helper()
	var decoded map[string]any
	if err := yaml.Unmarshal([]byte(spec), &decoded); err != nil {
		t.Fatalf("spec %q: %v", spec, err)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(),
		"kind":       kind,
		"metadata":   map[string]any{"name": name},
		"spec":       decoded,
	}}
}

// create makes an object that goes away with the test.
func (c *cluster) create(t *testing.T, obj *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	resource := c.resource(obj.GetKind())
	created, err := resource.Create(t.Context(), obj, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's context has ended by now.
		if err := resource.Delete(context.Background(), obj.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return created
}
