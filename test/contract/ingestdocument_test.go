package contract_test

import (
	"path/filepath"
	"testing"

	"auditquery.dev/auditquery/test/repository"
)

// TestTheReceiverKeepsToItsDocument lets schemathesis send what the OpenAPI
// document of the ways in allows and what it does not.
func TestTheReceiverKeepsToItsDocument(t *testing.T) {
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	url, ca, _ := receive(t)
	schemathesisOf(t, filepath.Join(root, "docs", "openapi", "ingest.yaml"), url, `.`, token, 25, "--tls-verify", ca,
		// What is wrong with one event of many is said in a 2xx.
		"--exclude-checks", "positive_data_acceptance,negative_data_rejection")
}
