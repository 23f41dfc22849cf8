package storetest

import (
	"math/rand/v2"
	"strings"
)

// texts are values of keyword fields: few, so that filters hit, and each of
// them is special to some language that a store might translate to.
func texts() []string {
	long := record8191("x")
	return []string{
		"alice", "alice", "alice", "alice2", "alic", "a", "ALICE", "Alice", "bob", "bob", "bob",
		"50%", "50_", "a_b", "a%b", "axb", "o'brien", "''", `say "hi"`, `back\slash`, `\`, `\\`, "*", "a*", "a?", "[a]", "?",
		"nul\x00in", "nul", "\x00", "\x01", "tab\there", "line\nbreak", "\r", "\u007f", "\u0085", "\u2028", "\ufeffbom",
		"é", "e\u0301", "É", "ß", "SS", "ı", "I", "i", "日本語", "日本", "😀", "😀😀", "\ufffd", "\ue000", "\uffff", "\U0010ffff", "\U00010000",
		" ", " lead", "trail ", "0", "00", "1", "-1", "1e3", "null", "true", "NaN", "{}", "[]", "<script>&amp;", "a,b=c", "(a|b)", "#", "~", "@", ".",
		"2025-06-01T00:00:00Z", "10.0.0.1", "::1", strings.Repeat("p", 300) + "1", strings.Repeat("p", 300) + "2",
		long, long[:8190] + "y", strings.Repeat("é", 4095), strings.Repeat("é", 4095) + "z", strings.Repeat("😀", 2047),
	}
}

// record8191 repeats one letter to the greatest length of a keyword.
func record8191(letter string) string { return strings.Repeat(letter, 8191) }

func addresses() []string {
	return []string{
		"10.0.0.1", "10.0.0.2", "10.0.1.1", "10.255.255.255", "11.0.0.0", "0.0.0.0", "255.255.255.255", "127.0.0.1", "203.0.113.66", "1.2.3.4",
		"::", "::1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::", "fe80::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "64:ff9b::102:304", "::102:304",
	}
}

func networks() []string {
	return []string{
		"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.1/32", "10.0.0.0/31", "255.255.255.255/32", "0.0.0.0/32", "128.0.0.0/1",
		"::/0", "::/1", "::/96", "::ffff:0:0/96", "::ffff:10.0.0.0/104", "2001:db8::/32", "2001:db8::/64", "::1/128", "fe80::/10", "8000::/1",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "10.1.2.3/8", "::fffe:0:0/95",
	}
}

func integers() []int64 {
	return []int64{0, 200, 200, 200, 201, 403, 404, 500, -1, 1, 9, 10, 100, 1 << 53, 1<<53 + 1, 1<<63 - 1, -1 << 63, -200}
}

// phrases are made of few words, some of which differ only by case or accent.
func phrases() []string {
	return []string{
		"alice deleted deployments.apps \"web\" in shop (200)", "Alice created secrets WEB", "bob deleted web-1", "ÉTÉ été ete",
		"日本語 テスト", "a_b a%b", "x86 2025", "", "... --- ...", "İstanbul ISTANBUL istanbul", "straße STRASSE",
		"nul\x00word", "tail 😀 emoji", strings.Repeat("w", 63) + "é " + strings.Repeat("w", 64), manyWords(80),
	}
}

// manyWords returns more words than a record keeps.
func manyWords(count int) string {
	words := make([]string, count)
	for i := range words {
		words[i] = "n" + string(rune('a'+i/26)) + string(rune('a'+i%26))
	}
	return strings.Join(words, " ")
}

// searches are texts to look for, as a user gives them.
func searches() []string {
	return []string{
		"alice", "ALICE deleted", "web", "web-1", "deployments.apps", "été", "ete", "日本語", "a", "b", "a b", "x86", "2025 x86",
		"istanbul", "İstanbul", "straße", "nul", "word", "nothing-like-this", "naa", "nca", "ncz", "nda", strings.Repeat("w", 70),
		strings.Repeat("w", 63) + "é", "deleted web bob 1",
	}
}

func details() []string {
	return []string{
		"", "", "", `{}`, `{"level":"Metadata"}`, `{"a":{"b":[1,2.50,1e400,-0,null,true,"<&>\u2028"]},"b":"\u0000"}`,
		`{"id":"not the id","time":5,"source_ip":"no address","":"empty name","a.b":{"":{}}}`,
		`{"long":"` + strings.Repeat("d", 3000) + `"}`, `{"emoji":"😀","quote":"\"\\/"}`,
	}
}

// pick returns one of values.
func pick[T any](random *rand.Rand, values []T) T { return values[random.IntN(len(values))] }
