// Package docs_test checks what the documentation says of the repository.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"auditquery.dev/auditquery/test/repository"
)

// TestLinks follows every relative link of the pages: to a file or folder, and
// to a heading where the link names one.
func TestLinks(t *testing.T) {
	root := repositoryRoot(t)
	all := pages(t, root)
	if len(all) < 4 {
		t.Fatalf("only %d pages: %v", len(all), all)
	}
	for _, page := range all {
		rel, err := filepath.Rel(root, page)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.ToSlash(rel), func(t *testing.T) {
			for _, link := range links(read(t, page)) {
				if problem := follow(t, page, link); problem != "" {
					t.Errorf("link %s: %s", link, problem)
				}
			}
		})
	}
}

func TestProblemsOfLinksAreFound(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	other := filepath.Join(dir, "other.md")
	for path, text := range map[string]string{
		page:  "# A page\n",
		other: "# `text` and more: it's\n\n```sh\n# no heading\n```\n\n## Twice\n\n## Twice\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, want := range map[string]string{
		"other.md":                      "",
		"other.md#text-and-more-its":    "",
		"other.md#twice-1":              "",
		"#a-page":                       "",
		"https://kubernetes.io":         "",
		"missing.md":                    "there is no such file",
		"other.md#no-heading":           "there is no such heading",
		"#b-page":                       "there is no such heading",
		filepath.ToSlash(dir) + "/a.md": "it is absolute",
	} {
		if got := follow(t, page, link); got != want {
			t.Errorf("%s: got %q, want %q", link, got, want)
		}
	}
	found := links("[a](b.md), `[c](d.md)`\n```\n[e](f.md)\n```\n![g](h.png \"i\")\n")
	if want := "b.md h.png"; strings.Join(found, " ") != want {
		t.Errorf("got the links %q, want %q", found, want)
	}
}

func repositoryRoot(t *testing.T) string {
	t.Helper()
	root, err := repository.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// pages returns the Markdown of the root and of docs.
func pages(t *testing.T, root string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Join(root, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(path) == ".md" {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// links returns the targets of a page's links, outside code.
func links(text string) []string {
	link := regexp.MustCompile(`\]\(([^)\s]+)(?:\s+"[^"]*")?\)`)
	code := regexp.MustCompile("`[^`]*`")
	var targets []string
	for _, line := range prose(text) {
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(line, "code"), -1) {
			targets = append(targets, match[1])
		}
	}
	return targets
}

// prose returns the lines outside fenced blocks.
func prose(text string) []string {
	var lines []string
	fenced := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		if !fenced {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return lines
}

// follow says what is wrong with a link; empty when nothing is.
func follow(t *testing.T, page, link string) string {
	t.Helper()
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return ""
	}
	path, heading, named := strings.Cut(link, "#")
	if strings.HasPrefix(path, "/") {
		return "it is absolute"
	}
	target := page
	if path != "" {
		target = filepath.Join(filepath.Dir(page), filepath.FromSlash(path))
	}
	if _, err := os.Stat(target); err != nil {
		return "there is no such file"
	}
	if named && !anchors(read(t, target))[heading] {
		return "there is no such heading"
	}
	return ""
}

// anchors are the headings of a page, as links name them: in lower case, spaces
// as hyphens, without punctuation, and numbered from the second of one name on.
func anchors(text string) map[string]bool {
	dropped := regexp.MustCompile(`[^\p{L}\p{N}\s_-]`)
	seen := map[string]int{}
	all := map[string]bool{}
	for _, line := range prose(text) {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		name := dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
		name = strings.ReplaceAll(name, " ", "-")
		anchor := name
		if n := seen[name]; n > 0 {
			anchor += "-" + string(rune('0'+n))
		}
		seen[name]++
		all[anchor] = true
	}
	return all
}
