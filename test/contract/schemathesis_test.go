package contract_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditquery.dev/auditquery/internal/rest"
)

// TestTheServerKeepsToItsDocument lets schemathesis ask what the OpenAPI
// document allows and what it does not, and compare the answers with it.
func TestTheServerKeepsToItsDocument(t *testing.T) {
	document, err := rest.Document()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rest.json")
	if err := os.WriteFile(file, document, 0o600); err != nil {
		t.Fatal(err)
	}
	host := serve(t, full()...)
	for name, tc := range map[string]struct{ url, paths string }{
		"on its own address":          {url: host, paths: `^/v1/(audits|auth_audits)$`},
		"as the kube-apiserver sends": {url: host + "/apis/rest.auditquery.dev", paths: `.`},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, nil, "-m", "schemathesis.cli", "run", file, "--url", tc.url, "--include-path-regex", tc.paths,
				"--header", "Authorization: Bearer "+token, "--checks", "all",
				// That a text is a time expression or a token of ours, a schema cannot say.
				"--exclude-checks", "positive_data_acceptance",
				"--phases", "examples,coverage,fuzzing", "--max-examples", "40", "--seed", "1", "--no-color",
				"--suppress-health-check", "all", "--request-timeout", "20")
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.Contains(out, " passed") || !strings.Contains(out, "test cases:") && !strings.Contains(out, "Test cases") {
				t.Errorf("it says nothing of what it ran:\n%s", out)
			}
			t.Log(out)
		})
	}
}
