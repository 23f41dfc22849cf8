package record

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestASCIIWordsAreThoseOfAnyText(t *testing.T) {
	const bytes = "abcXYZ019 _-./\x00\x7f"
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		text := make([]byte, rng.IntN(300))
		for i := range text {
			text[i] = bytes[rng.IntN(len(bytes))]
		}
		if rng.IntN(4) == 0 {
			text = append(text, strings.Repeat("Long", 40)...)
		}
		var got, want collector
		got.addASCII(string(text))
		for word := range eachWord(string(text)) {
			if !want.keep(word) {
				break
			}
		}
		if diff := cmp.Diff(want.words, got.words); diff != "" {
			t.Fatalf("%q (-any text +ASCII):\n%s", text, diff)
		}
	}
}
