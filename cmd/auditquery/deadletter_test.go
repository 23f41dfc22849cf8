package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/store/sqlite"
	"auditquery.dev/auditquery/test/builders"
)

// letterRig is a folder with letters and a store beside it.
type letterRig struct {
	t      *testing.T
	dir    string
	db     string
	folder *deadletter.Folder
}

func newLetterRig(t *testing.T) *letterRig {
	t.Helper()
	dir := t.TempDir()
	r := &letterRig{t: t, dir: filepath.Join(dir, "letters"), db: filepath.Join(dir, "records.db")}
	var err error
	if r.folder, err = deadletter.Open(deadletter.Options{Dir: r.dir}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *letterRig) put(letters ...deadletter.Letter) {
	r.t.Helper()
	if err := r.folder.Put(letters...); err != nil {
		r.t.Fatal(err)
	}
}

// ids returns the letters' ids by their reasons.
func (r *letterRig) ids() map[string]string {
	r.t.Helper()
	ids := map[string]string{}
	err := r.folder.Each(r.t.Context(), func(l deadletter.Letter) error {
		ids[l.Reason] = l.ID
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return ids
}

func (r *letterRig) run(args ...string) result {
	r.t.Helper()
	args = append(append([]string{"deadletter"}, args...), "--dead-letter-dir="+r.dir)
	if args[1] == "replay" {
		args = append(args, "--sqlite-path="+r.db)
	}
	return runCommand(r.t, "", args...)
}

func malformed(source, reason string) deadletter.Letter {
	return deadletter.OfInput(source, deadletter.Malformed, reason, []byte(`{"auditID":5,"requestURI":"/x?token=secret"}`), builders.Time())
}

func refused(name string, result store.Result) deadletter.Letter {
	audit := builders.Audit(func(a *record.Audit) { a.TargetResourceName = name })
	outcome := store.Outcome{Result: result, Err: &store.Error{Reason: store.Conflict, Op: "append", Message: "refused " + name}}
	return deadletter.OfRecord("bulk", record.Prepare(audit), outcome, builders.Time())
}

func TestListOfDeadLetters(t *testing.T) {
	r := newLetterRig(t)
	if got := r.run("list"); got.code != exitOK || got.out != "" || got.err != "There are no dead letters.\n" {
		t.Errorf("none: %+v", got)
	}
	r.put(malformed("kubernetes/prod", "one\x1b[31m"), refused("two", store.Rejected), malformed("kubernetes/dev", "three"))
	ids := r.ids()
	line := func(reason, cause, source string) string {
		return ids[reason] + "  2026-11-02T10:30:00Z  " + cause + "  " + source + "  "
	}
	head := "ID            TIME                  CAUSE      SOURCE           REASON\n"
	one := line("one\x1b[31m", "malformed", "kubernetes/prod") + "one\uFFFD[31m\n"
	two := line("refused two", "rejected ", "bulk           ") + "refused two\n"
	three := line("three", "malformed", "kubernetes/dev ") + "three\n"
	tests := map[string]struct {
		args    []string
		wantOut string
		wantErr string
	}{
		"all":              {wantOut: head + one + two + three},
		"of two causes":    {args: []string{"--cause=malformed,rejected"}, wantOut: head + one + two + three},
		"of one source":    {args: []string{"--source=kubernetes/prod"}, wantOut: head + one},
		"the newest":       {args: []string{"--limit=2"}, wantOut: strings.Replace(head+two+three, "kubernetes/prod", "", 1), wantErr: "These are the newest 2 of 3; --limit=0 lists all.\n"},
		"without a limit":  {args: []string{"--limit=0"}, wantOut: head + one + two + three},
		"none of a source": {args: []string{"--source=nobody"}, wantErr: "There are no dead letters of these.\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := r.run(append([]string{"list"}, test.args...)...)
			want := result{code: exitOK, out: test.wantOut, err: test.wantErr}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	got := r.run("list", "-o", "json")
	var letter deadletter.Letter
	if lines := strings.Split(strings.TrimSpace(got.out), "\n"); len(lines) != 3 || json.Unmarshal([]byte(lines[1]), &letter) != nil || len(letter.Document) == 0 {
		t.Errorf("as JSON: %+v", got)
	}
}

func TestTableOfLettersFitsItsTerminal(t *testing.T) {
	now := builders.Time()
	letters := []deadletter.Letter{
		malformed("kubernetes/prod", strings.Repeat("words-", 40)), refused("two", store.Collision),
		malformed(strings.Repeat("long-source", 10), "x"), {ID: "abcdefghijkl", Cause: deadletter.Unreadable},
	}
	for width, wantReason := range map[int]string{80: strings.Repeat("words-", 4), 200: strings.Repeat("words-", 17)} {
		var out strings.Builder
		table := newLetterTable(&out)
		table.width = width
		for _, l := range letters {
			table.fit(l)
		}
		if err := table.header(); err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			l.ID = "abcdefghijkl"
			if err := table.row(l, now.Add(3*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		for _, line := range strings.Split(out.String(), "\n") {
			if n := len([]rune(line)); n > width {
				t.Errorf("%d columns: a line of %d: %s", width, n, line)
			}
		}
		if !strings.Contains(out.String(), wantReason) {
			t.Errorf("%d columns:\n%s", width, out.String())
		}
	}
}

func TestShowADeadLetter(t *testing.T) {
	r := newLetterRig(t)
	r.put(malformed("kubernetes/prod", "bad"), refused("web", store.Collision), deadletter.OfBytes("spool", deadletter.Damaged, "flipped", []byte("a\x1b"), builders.Time()))
	ids := r.ids()
	tests := map[string]struct {
		args     []string
		wantCode int
		want     []string
	}{
		"a malformed event": {args: []string{ids["bad"]}, want: []string{"cause    malformed\n", `"auditID": 5`, "token=REDACTED"}},
		"a record":          {args: []string{ids["refused web"]}, want: []string{"kind     Audit\n", `"target_resource_name": "web"`}},
		"bytes":             {args: []string{ids["flipped"]}, want: []string{`"a\x1b"`}},
		"as JSON":           {args: []string{ids["flipped"], "--output=json"}, want: []string{`"bytes":"YRs="`}},
		"none of this id":   {args: []string{"nothing"}, wantCode: exitFailed, want: []string{"no dead letter has the id nothing"}},
		"no id":             {wantCode: exitUsage, want: []string{"give the id of one letter"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := r.run(append([]string{"show"}, test.args...)...)
			if got.code != test.wantCode {
				t.Errorf("%+v", got)
			}
			for _, part := range test.want {
				if !strings.Contains(got.out+got.err, part) {
					t.Errorf("%q is missing in %+v", part, got)
				}
			}
		})
	}
}

func TestReplayOfDeadLetters(t *testing.T) {
	r := newLetterRig(t)
	later := refused("later", store.Rejected)
	// Another record of the same id is stored first.
	other := builders.Audit(func(a *record.Audit) { a.TargetResourceName = "taken" })
	taken := refused("taken", store.Collision)
	taken.Document = []byte(strings.Replace(string(taken.Document), `"taken"`, `"other"`, 1))
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: r.db})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), []record.Record{other}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r.put(refused("web", store.Rejected), later, malformed("kubernetes/prod", "bad"), taken)
	ids := r.ids()

	got := r.run("replay", ids["refused web"])
	if got.code != exitOK || got.out != ids["refused web"]+"  stored   \n" || !strings.Contains(got.err, "Replayed 1 dead letter; 0 of them are left.") {
		t.Errorf("one: %+v", got)
	}
	r.put(refused("web", store.Rejected))
	got = r.run("replay", "--all")
	if got.code != exitFailed || !strings.Contains(got.err, "Replayed 4 dead letters; 2 of them are left.") {
		t.Errorf("all: %+v", got)
	}
	for _, line := range []string{
		ids["refused later"] + "  stored   \n", ids["refused web"] + "  duplicate\n",
		ids["bad"] + "  kept       it cannot be stored again: only an excerpt of it is kept\n", ids["refused taken"] + "  collision  ",
	} {
		if !strings.Contains(got.out, line) {
			t.Errorf("%q is missing in\n%s", line, got.out)
		}
	}
	if left := r.ids(); len(left) != 2 || left["bad"] == "" || left["refused taken"] == "" {
		t.Errorf("left: %v", left)
	}
}

func TestReplayIntoAStoreThatIsAwayKeepsTheLetters(t *testing.T) {
	r := newLetterRig(t)
	r.put(refused("web", store.Rejected))
	got := runCommand(t, "", "deadletter", "replay", "--all", "--dead-letter-dir="+r.dir, "--store=elasticsearch", "--elasticsearch-url=http://127.0.0.1:1")
	if got.code != exitFailed || len(r.ids()) != 1 {
		t.Errorf("%+v, left %v", got, r.ids())
	}
}

func TestDiscardOfDeadLetters(t *testing.T) {
	r := newLetterRig(t)
	r.put(malformed("kubernetes/prod", "one"), malformed("kubernetes/prod", "two"), malformed("kubernetes/dev", "three"))
	ids := r.ids()
	for _, step := range []struct {
		args     []string
		wantOut  string
		wantErr  string
		wantLeft int
	}{
		{args: []string{ids["one"], "none"}, wantOut: "Discarded 1 dead letter.\n", wantErr: "no dead letter has the id none", wantLeft: 2},
		{args: []string{"--all", "--source=kubernetes/dev"}, wantOut: "Discarded 1 dead letter.\n", wantLeft: 1},
		{args: []string{"--all"}, wantOut: "Discarded 1 dead letter.\n"},
		{args: []string{"--all"}, wantOut: "Discarded 0 dead letters.\n"},
	} {
		got := r.run(append([]string{"discard"}, step.args...)...)
		if got.out != step.wantOut || !strings.Contains(got.err, step.wantErr) || (got.code == exitOK) != (step.wantErr == "") {
			t.Errorf("%v: %+v", step.args, got)
		}
		if left := r.ids(); len(left) != step.wantLeft {
			t.Errorf("%v: left %v", step.args, left)
		}
	}
}

func TestDeadLetterCommandsThatCannotWork(t *testing.T) {
	missing := "--dead-letter-dir=" + filepath.Join(t.TempDir(), "none")
	for name, test := range map[string]struct {
		args     []string
		wantCode int
		wantText string
	}{
		"a folder that is missing":   {args: []string{"list", missing}, wantCode: exitFailed, wantText: "no such file"},
		"a command that is none":     {args: []string{"burn"}, wantCode: exitUsage, wantText: "there is no command"},
		"a cause that is none":       {args: []string{"list", "--cause=boredom"}, wantCode: exitUsage, wantText: "boredom"},
		"an output that is none":     {args: []string{"list", "-o", "xml"}, wantCode: exitUsage, wantText: "xml"},
		"a limit below zero":         {args: []string{"list", "--limit=-1"}, wantCode: exitUsage, wantText: "--limit"},
		"nothing to discard":         {args: []string{"discard"}, wantCode: exitUsage, wantText: "give the ids"},
		"ids and all":                {args: []string{"discard", "a", "--all"}, wantCode: exitUsage, wantText: "not both"},
		"ids and a filter":           {args: []string{"replay", "a", "--cause=rejected"}, wantCode: exitUsage, wantText: "go with --all"},
		"a store that is not known":  {args: []string{"replay", "a", "--store=paper"}, wantCode: exitUsage, wantText: "--store"},
		"nothing but the group":      {wantCode: exitOK, wantText: "replay"},
		"a word too many for a list": {args: []string{"list", "x"}, wantCode: exitUsage, wantText: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			got := runCommand(t, "", append([]string{"deadletter"}, test.args...)...)
			if got.code != test.wantCode || !strings.Contains(got.out+got.err, test.wantText) {
				t.Errorf("%+v", got)
			}
		})
	}
}
