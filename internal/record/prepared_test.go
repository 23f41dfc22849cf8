package record

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPreparedIsTheRecord(t *testing.T) {
	for _, r := range []Record{validAudit(func(a *Audit) { a.Description = "Alice deleted web" }), &AuthAudit{Common: Common{Time: 5}, EventName: "Login"}} {
		r.Base().ID[0] = 1
		Normalize(r, ingested)
		p := Prepare(r)
		if err := p.Check(); err != nil {
			t.Error(err)
		}
		got, err := p.Record()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Errorf("(-prepared +read):\n%s", diff)
		}
		if diff := cmp.Diff(Words(r), p.Words); diff != "" {
			t.Errorf("words (-want +got):\n%s", diff)
		}
	}
}

func TestPrepareOverReplacesTheLast(t *testing.T) {
	first := Prepare(identified(t, func(a *Audit) { a.Description = "one two three" }))
	want := Prepare(identified(t, func(a *Audit) { a.Description = "four" }))
	got := PrepareOver(first, identified(t, func(a *Audit) { a.Description = "four" }))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-alone +over another):\n%s", diff)
	}
	if &got.Document[0] != &first.Document[0] {
		t.Error("the memory was not used again")
	}
}

func identified(t *testing.T, change func(*Audit)) *Audit {
	t.Helper()
	a := validAudit(change)
	a.ID[0] = 1
	Normalize(a, ingested)
	return a
}

func TestCheckNoticesWhatWouldHarmOthers(t *testing.T) {
	for name, spoil := range map[string]func(*Prepared){
		"no kind":               func(p *Prepared) { p.Kind = "Event" },
		"no id":                 func(p *Prepared) { p.ID = ID{} },
		"another id":            func(p *Prepared) { p.ID[1]++ },
		"another time":          func(p *Prepared) { p.Time++ },
		"no document":           func(p *Prepared) { p.Document = nil },
		"a document cut off":    func(p *Prepared) { p.Document = p.Document[:len(p.Document)-1] },
		"a document cut early":  func(p *Prepared) { p.Document = p.Document[:20] },
		"a document in lines":   func(p *Prepared) { p.Document[len(p.Document)-2] = '\n' },
		"a line after its end":  func(p *Prepared) { p.Document = append(p.Document, '\n') },
		"nothing at all":        func(p *Prepared) { *p = Prepared{} },
		"bytes instead of JSON": func(p *Prepared) { clear(p.Document) },
	} {
		p := Prepare(identified(t, func(*Audit) {}))
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		spoil(&p)
		if err := p.Check(); err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}
