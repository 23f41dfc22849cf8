package manifests_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testOverlay applies the overlay of docs/install.md. The authority that somebody
// else, such as cert-manager, writes into the APIServices stays when it is applied
// again.
func testOverlay(t *testing.T, c *cluster) {
	const placeholder, authority = "Cg==", "bm90IGEgY2VydGlmaWNhdGUK"
	page, err := os.ReadFile(c.path("docs/install.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "```yaml\n# kustomization.yaml\n")
	overlay, _, found := strings.Cut(after, "```")
	if !found {
		t.Fatal("the page has no overlay")
	}
	dir := t.TempDir()
	base, err := filepath.Rel(dir, c.path("config/default"))
	if err != nil {
		t.Fatal(err)
	}
	replaced := strings.NewReplacer("vendor/auditquery/config/default", base).Replace(overlay)
	var lines []string
	for line := range strings.Lines(replaced) {
		// The kinds of cert-manager are not there.
		if !strings.Contains(line, "certificate.yaml") {
			lines = append(lines, line)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	c.apply(t, "-k", dir)
	bundles := []string{"get", "apiservices", "v1alpha1.records.auditquery.dev", "v1.rest.auditquery.dev", "-o", "jsonpath={.items[*].spec.caBundle}"}
	if got := c.kubectl(t, bundles...); strings.Contains(got, placeholder) {
		t.Errorf("the placeholder is still there: %q", got)
	}
	c.kubectl(t, "patch", "apiservice", "v1alpha1.records.auditquery.dev", "v1.rest.auditquery.dev",
		"--type=merge", "--field-manager=injector", "-p", `{"spec":{"caBundle":"`+authority+`"}}`)
	c.apply(t, "-k", dir)
	if got, want := c.kubectl(t, bundles...), authority+" "+authority; got != want {
		t.Errorf("after another apply the authorities are %q, want %q", got, want)
	}
	images := c.kubectl(t, "get", "deployments", "-n", "auditquery-system", "-o", "jsonpath={.items[*].spec.template.spec.containers[*].image}")
	if strings.Count(images, "registry.example/auditquery:1.0") != 2 {
		t.Errorf("the images are %q", images)
	}
}
