package manifests_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func testSamples(t *testing.T, c *cluster) {
	c.apply(t, "-k", c.path("config/samples"), "--validate=strict")
}

// example is one fenced block of a page.
type example struct {
	page string
	line int
	text string
}

// servedPage describes kinds that are read, not applied.
const servedPage = "audits.md"

// testDocumentation applies every block of docs/spec, and of the page that shows
// how policies work together, that holds an object of ours.
func testDocumentation(t *testing.T, c *cluster) {
	pages, err := filepath.Glob(c.path("docs/spec/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, c.path("docs/retention.md")) {
		examples, err := readExamples(page)
		if err != nil {
			t.Fatal(err)
		}
		if len(examples) == 0 && filepath.Base(page) != servedPage {
			t.Errorf("%s has no example", filepath.Base(page))
		}
		for _, ex := range examples {
			t.Run(fmt.Sprintf("%s line %d", filepath.Base(ex.page), ex.line), func(t *testing.T) {
				if err := c.applyText(t.Context(), ex.text, "--validate=strict", "--dry-run=server", "--namespace="+sampleNamespace); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// readExamples returns the fenced blocks of a page whose objects are of the
// group auditquery.dev. The API server checks the status of one that shows an
// answer as well, and then leaves it out.
func readExamples(page string) ([]example, error) {
	file, err := os.Open(page)
	if err != nil {
		return nil, err
	}
	defer file.Close()

	var examples []example
	var block *example
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && block == nil:
			block = &example{page: page, line: number}
		case fence:
			if strings.Contains(block.text, "apiVersion: auditquery.dev/") {
				examples = append(examples, *block)
			}
			block = nil
		case block != nil:
			block.text += line + "\n"
		}
	}
	return examples, lines.Err()
}
