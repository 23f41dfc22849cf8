// Crdvalues adds to generated CRDs the rules of a filter's value, which is a
// string or a list of strings. Markers cannot write them, because the schema of
// such a value has no type.
//
//	go run ./hack/crdvalues config/crd/bases/*.yaml
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// Bounds of a filter's value.
const (
	maxCharacters = 8191
	maxEntries    = 100
	maxCode       = 999

	// beyondAnyRequest is longer than any request that the API server reads.
	beyondAnyRequest = 100_000_000
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: crdvalues FILE...")
		os.Exit(2)
	}
	found := 0
	for _, path := range os.Args[1:] {
		n, err := rewrite(path)
		if err != nil {
			fmt.Fprintf(os.Stderr, "crdvalues: %s: %v\n", path, err)
			os.Exit(1)
		}
		found += n
	}
	if found == 0 {
		fmt.Fprintln(os.Stderr, "crdvalues: no filter value: does the schema still mark them with x-kubernetes-preserve-unknown-fields?")
		os.Exit(1)
	}
}

// rewrite adds the rules to a CRD and returns how many values it found. A CRD
// without any is left as it is.
func rewrite(path string) (int, error) {
	in, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var crd map[string]any
	if err := yaml.Unmarshal(in, &crd); err != nil {
		return 0, err
	}
	found := addRules(crd, "")
	if found == 0 {
		return 0, nil
	}
	out, err := yaml.Marshal(crd)
	if err != nil {
		return 0, err
	}
	return found, os.WriteFile(path, append([]byte("---\n"), out...), 0o644)
}

// addRules walks a decoded CRD, adds the rules to every schema without a type
// that preserves unknown fields, and returns how many it found. Name is the
// property that node is the schema of.
func addRules(node any, name string) int {
	found := 0
	switch node := node.(type) {
	case []any:
		for _, entry := range node {
			found += addRules(entry, "")
		}
	case map[string]any:
		if node["x-kubernetes-preserve-unknown-fields"] == true && node["type"] == nil {
			for key, rule := range rules(name == "responseCode") {
				node[key] = rule
			}
			return 1
		}
		for key, child := range node {
			found += addRules(child, key)
		}
	}
	return found
}

// rules returns the schema of a filter's value. A keyword says nothing about
// values of other types than its own, so "not longer than anything" is true of
// strings alone, and "not of more entries than anything" of lists alone. The
// enum before them matches nothing that a person would write: it is there
// because the API server shows its values when a value is of another type.
func rules(numbers bool) map[string]any {
	entry := map[string]any{"type": "string", "minLength": 1, "maxLength": maxCharacters}
	hint := []any{"a string", "a list of strings"}
	forms := []any{
		map[string]any{"not": map[string]any{"minLength": beyondAnyRequest}},
		map[string]any{"not": map[string]any{"minItems": beyondAnyRequest}},
	}
	schema := map[string]any{
		"minLength": 1,
		"maxLength": maxCharacters,
		"minItems":  1,
		"maxItems":  maxEntries,
	}
	if numbers {
		entry = map[string]any{"x-kubernetes-int-or-string": true, "minLength": 1, "maxLength": maxCharacters, "minimum": 0, "maximum": maxCode}
		hint = []any{"a whole number", "a string", "a list of these"}
		forms = append(forms, map[string]any{"not": map[string]any{"minimum": beyondAnyRequest}})
		schema["minimum"], schema["maximum"], schema["multipleOf"] = 0, maxCode, 1
	}
	schema["items"] = entry
	schema["anyOf"] = append([]any{map[string]any{"enum": hint}}, forms...)
	return schema
}
