package contract_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"auditquery.dev/auditquery/internal/rest"
)

// TestTheHandlerKeepsToItsDocument lets schemathesis ask what the OpenAPI
// document allows and what it does not, and compare the answers with it.
func TestTheHandlerKeepsToItsDocument(t *testing.T) {
	host := serve(t, full()...)
	for name, tc := range map[string]struct{ url, paths string }{
		"on its own address":          {url: host, paths: `^/v1/(audits|auth_audits)$`},
		"as the kube-apiserver sends": {url: host + "/apis/rest.auditquery.dev", paths: `.`},
	} {
		t.Run(name, func(t *testing.T) { schemathesis(t, tc.url, tc.paths, token, 40) })
	}
}

// keepsToDocument is the same for the whole server, by TLS. To it a request
// without a token is one of an anonymous user, who is refused as others are: 403.
func (c *cluster) keepsToDocument(t *testing.T) {
	schemathesis(t, c.Server().URL(), `^/v1/(audits|auth_audits)$`, c.token(allRecords), 10,
		"--exclude-checks", "missing_required_header", "--tls-verify", c.authorities)
}

// schemathesis asks below a URL, about the paths of the document that a pattern
// finds, each with so many made up requests.
func schemathesis(t *testing.T, url, paths, token string, examples int, more ...string) {
	t.Helper()
	document, err := rest.Document()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rest.json")
	if err := os.WriteFile(file, document, 0o600); err != nil {
		t.Fatal(err)
	}
	schemathesisOf(t, file, url, paths, token, examples, more...)
}

// schemathesisOf is schemathesis with the document of a file.
func schemathesisOf(t *testing.T, file, url, paths, token string, examples int, more ...string) {
	t.Helper()
	out, err := run(t, nil, append([]string{
		"-m", "schemathesis.cli", "run", file, "--url", url, "--include-path-regex", paths,
		"--header", "Authorization: Bearer " + token, "--checks", "all",
		// That a text is a time expression or a token of ours, a schema cannot say.
		"--exclude-checks", "positive_data_acceptance",
		"--phases", "examples,coverage,fuzzing", "--max-examples", strconv.Itoa(examples), "--seed", "1", "--no-color",
		"--suppress-health-check", "all", "--request-timeout", "20",
	}, more...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out, " passed") || !strings.Contains(out, "test cases:") && !strings.Contains(out, "Test cases") {
		t.Errorf("it says nothing of what it ran:\n%s", out)
	}
	t.Log(out)
}
