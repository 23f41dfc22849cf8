// Package repository finds this repository's root, where `make` puts what the
// tests run.
package repository

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const module = "auditquery.dev/auditquery"

// Root walks up from the working directory to the go.mod of this module.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		found, err := names(filepath.Join(dir, "go.mod"))
		if err != nil {
			return "", err
		}
		if found {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod of %s in %s or above", module, start)
		}
	}
}

// names tells whether the go.mod at path is ours; the modules below hack are
// not.
func names(path string) (bool, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "module "); ok {
			return strings.TrimSpace(name) == module, nil
		}
	}
	return false, lines.Err()
}
