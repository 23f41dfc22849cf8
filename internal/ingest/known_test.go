package ingest

import (
	"testing"

	"auditquery.dev/auditquery/internal/record"
)

func stored(time, ingested, more string) []byte {
	return []byte(`{"id":"00","time":"` + time + `","ingest_time":"` + ingested + `","user_id":"` + more + `"}`)
}

func TestAContentIsToldFromAnother(t *testing.T) {
	k := NewKnown()
	first := k.item(record.ID{1}, stored("1", "2", "x"))
	for name, test := range map[string]struct {
		document []byte
		same     bool
	}{
		"taken in at another time":          {document: stored("1", "3", "x"), same: true},
		"happened at another time":          {document: stored("2", "2", "x")},
		"says something else":               {document: stored("1", "2", "y")},
		"has the name of that member in it": {document: stored("1", "2", `x\"ingest_time\":\"2`)},
	} {
		t.Run(name, func(t *testing.T) {
			if same := k.item(record.ID{1}, test.document) == first; same != test.same {
				t.Errorf("the same content: %t", same)
			}
		})
	}
}

func TestWhatIsKnownOfTheSpool(t *testing.T) {
	k := NewKnown()
	k.limit = 3
	a, b := knownItem{id: record.ID{1}, content: 1}, knownItem{id: record.ID{2}, content: 2}
	steps := []struct {
		name string
		do   func()
		want [2]bool
	}{
		{name: "nothing at first", do: func() {}},
		{name: "what is not durable yet", do: func() { k.claim([]knownItem{a, b}) }},
		{name: "what became durable", do: func() { k.settle(1, []knownItem{a}, true) }, want: [2]bool{true, false}},
		{name: "what did not", do: func() { k.settle(1, []knownItem{b}, false) }, want: [2]bool{true, false}},
		{name: "what another claims and loses", do: func() { k.settle(k.claim([]knownItem{a}), []knownItem{a}, false) }, want: [2]bool{true, false}},
		{name: "what left the spool before it was settled", do: func() {
			claim := k.claim([]knownItem{b})
			k.Forget([]record.ID{b.id})
			k.settle(claim, []knownItem{b}, true)
		}, want: [2]bool{true, false}},
		{name: "what left the spool", do: func() { k.Forget([]record.ID{a.id}) }},
	}
	for _, step := range steps {
		step.do()
		if got := [2]bool{k.has(a), k.has(b)}; got != step.want {
			t.Fatalf("%s: known are %v, want %v", step.name, got, step.want)
		}
	}
	for i := range 10 {
		k.claim([]knownItem{{id: record.ID{byte(i), 1}}})
	}
	if k.Len() != k.limit {
		t.Errorf("%d are known, at most %d", k.Len(), k.limit)
	}
}
