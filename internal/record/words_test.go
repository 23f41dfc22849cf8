package record_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
)

func TestWords(t *testing.T) {
	numbered := func(from, to int) (out []string) {
		for n := from; n < to; n++ {
			out = append(out, fmt.Sprint("w", n))
		}
		return out
	}
	described := func(text string) record.Record { return &record.Audit{Description: text} }
	tests := map[string]struct {
		record record.Record
		want   []string
	}{
		"nothing":                           {described(""), nil},
		"no letter and no digit":            {described("... --- \x00 😀 \"\""), nil},
		"a sentence":                        {described(`Alice deleted deployments.apps "web" in shop (200)`), []string{"alice", "deleted", "deployments", "apps", "web", "in", "shop", "200"}},
		"a repetition in another case":      {described("Web WEB web"), []string{"web"}},
		"accents are not folded":            {described("été ete ÉTÉ"), []string{"été", "ete"}},
		"no folding of sharp s":             {described("straße STRASSE"), []string{"straße", "strasse"}},
		"letters of every script":           {described("日本語テスト Ωμέγα"), []string{"日本語テスト", "ωμέγα"}},
		"digits of every script":            {described("٣٤ x86_64"), []string{"٣٤", "x86", "64"}},
		"a combining mark ends a word":      {described("e\u0301t"), []string{"e", "t"}},
		"bytes that are no UTF-8 end words": {described("a\xffb"), []string{"a", "b"}},
		"a word of 64 bytes":                {described(strings.Repeat("w", 64)), []string{strings.Repeat("w", 64)}},
		"a word of 65 bytes":                {described(strings.Repeat("w", 65)), []string{strings.Repeat("w", 64)}},
		"a rune across byte 64":             {described(strings.Repeat("w", 63) + "éx"), []string{strings.Repeat("w", 63)}},
		"long words that are equal once cut": {
			described(strings.Repeat("w", 65) + " " + strings.Repeat("w", 66)), []string{strings.Repeat("w", 64)},
		},
		"64 words": {described(strings.Join(numbered(0, 64), " ")), numbered(0, 64)},
		"65 words": {described(strings.Join(numbered(0, 65), " ")), numbered(0, 64)},
		"repeated words are counted once": {
			described(strings.Join(append(numbered(0, 63), append(numbered(0, 63), numbered(63, 66)...)...), " ")), numbered(0, 64),
		},
		"description, name and attribute names, nothing else": {
			&record.Audit{
				Common: record.Common{UserID: "user", OrgID: "org", UserAgent: "agent"}, Action: "action",
				Description: "one", TargetResourceName: "two-three", TargetResourceType: "type", TargetID: "target",
				Attributes: []record.Attribute{{Type: "t", ID: "i", OrgID: "o", Name: "Four"}, {Name: "one five"}},
			}, []string{"one", "two", "three", "four", "five"},
		},
		"the names of a login": {
			&record.AuthAudit{
				Common: record.Common{UserID: "user"}, EventName: "Token", ApplicationName: "Web App", OrgName: "Acme",
				LoginOrgName: "Acme Login", Result: "Success", Stage: "stage", Event: "event",
			}, []string{"token", "web", "app", "acme", "login"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, record.Words(tc.record)); diff != "" {
				t.Errorf("words (-want +got):\n%s", diff)
			}
		})
	}
}

func TestQueriesAreSplitAsRecordsAre(t *testing.T) {
	text := "Alice's WEB-1 été " + strings.Repeat("W", 70)
	got := record.NewSchema(record.KindAudit).Words(text)
	if diff := cmp.Diff(record.Words(&record.Audit{Description: text}), got); diff != "" {
		t.Errorf("words of a record (-) and of a query (+):\n%s", diff)
	}
}
