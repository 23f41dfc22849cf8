package elasticsearch

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryTruncationOfAnAnswerIsRefused(t *testing.T) {
	whole := page(stored(newerDocument), stored(olderDocument))
	for end := range len(whole) {
		a, err := readAnswer([]byte(whole[:end]), 2)
		if err == nil {
			err = a.check(1)
		}
		if err == nil {
			t.Fatalf("the first %d bytes pass as an answer: %s", end, whole[:end])
		}
	}
	a, err := readAnswer([]byte(whole), 2)
	if err != nil || a.check(1) != nil {
		t.Fatalf("the whole answer is refused: %v, %v", err, a.check(1))
	}
	got := []string{string(a.documents[0]), string(a.documents[1])}
	if diff := cmp.Diff([]string{newerDocument, olderDocument}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDocumentsAreCutOutWhole(t *testing.T) {
	cases := map[string]string{
		"brackets inside of strings":              `{"a":"}]{[","b":"]}"}`,
		"escaped quotes and backslashes":          `{"a":"\"}","b":"\\","c":"\\\"","d":"1234567\\"}`,
		"what looks like the index's own members": `{"details":{"words":["a"],"id_high":1,"id_low":2},"sort":[1]}`,
		"what looks like the next hit":            `{"details":{"x":"},\"sort\":[1,2,3]},{\"_source\":{}","y":[{"sort":[1]}]}}`,
		"deep nesting":                            `{"details":` + strings.Repeat(`{"a":[`, 60) + `1` + strings.Repeat(`]}`, 60) + `}`,
		"characters of several bytes":             `{"a":"é😀\u2028","_Y":1}`,
	}
	for name, document := range cases {
		t.Run(name, func(t *testing.T) {
			a, err := readAnswer([]byte(page(stored(document), stored(olderDocument))), 2)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{string(a.documents[0]), string(a.documents[1])}
			if diff := cmp.Diff([]string{document, olderDocument}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte(page(stored(newerDocument), stored(olderDocument))))
	f.Add([]byte(`{"error":{"type":"x"},"status":400}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if a, err := readAnswer(data, 2); err == nil {
			_ = a.check(1)
		}
	})
}
