package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"strings"
	"text/template"
	"time"
)

//go:embed benchmarks.md.tmpl
var page string

// report is the outcome of a run.
type report struct {
	settings settings
	began    time.Time
	machine  machine
	figures  []figure
	notes    []string
	versions []version
	commit   string
}

// finish adds what is known only at the end.
func (r *report) finish(ctx context.Context, b *bench) {
	r.notes = append([]string{
		"raw: the request that our store sends, captured from it, sent by net/http with keep-alive; no Accept-Encoding; read to its end, not looked at",
		"List, Append: our store; no Accept-Encoding; decode: record.DecodeAll into structs",
		"by hand: an index with plain settings, loaded in random order (in the order of time its searches are far slower), " +
			"sorted by the search on time and a keyword id, up to 10,000 hits tracked, the Go client with its default transport (Accept-Encoding: gzip), encoding/json into structs",
		"REST, records: GET /v1/audits and /apis/records.auditquery.dev/v1alpha1/audits with limit=500 and both ends of the window, on the server's own address: " +
			"HTTP/1.1 over TLS, keep-alive, a ServiceAccount's token; read to its end, not looked at",
		"identity, gzip: the Accept-Encoding of both sides; a side that asks for gzip also unpacks it",
		"times are medians (quarters) of the sides, which took turns, after a warm-up",
	}, b.notes...)
	r.versions = b.versions()
	r.commit = commit(ctx)
}

// over tells whether a figure is over its bound.
func (r *report) over() bool {
	for _, f := range r.figures {
		if !f.OK() {
			return true
		}
	}
	return false
}

func (r *report) print(out io.Writer) {
	rows := [][]string{{"FIGURE", "VALUE", "BOUND", "", "MEASURED"}}
	for _, f := range r.figures {
		rows = append(rows, []string{f.Name, f.Measured(), f.Limit(), f.Verdict(), f.Medians})
	}
	fmt.Fprintf(out, "\n%s\n", printTable(rows))
	for _, note := range r.notes {
		fmt.Fprintf(out, "- %s\n", note)
	}
	m := r.machine
	fmt.Fprintf(out, "\n%d records; %s, %d cores, %s memory, fsync %s, load before %s; commit %s\n",
		r.settings.records, m.CPU, m.Cores, m.Memory, m.Fsync, m.Load, r.commit)
}

// writeMarkdown writes the page of documentation.
func (r *report) writeMarkdown(path string) error {
	t, err := template.New("benchmarks").Funcs(template.FuncMap{"cell": cell}).Parse(page)
	if err != nil {
		return err
	}
	var text strings.Builder
	err = t.Execute(&text, map[string]any{
		"Figures": r.figures, "Notes": r.notes, "Machine": r.machine, "Versions": r.versions, "Commit": r.commit,
		"Records": r.settings.records, "Date": r.began.UTC().Format(time.DateOnly), "Command": r.command(),
		"Queries": r.settings.queries, "Duration": r.settings.duration,
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text.String()), 0o644)
}

// command repeats the run.
func (r *report) command() string {
	text := "go run ./test/bench"
	if r.settings.only != "" {
		text += " -only=" + r.settings.only
	}
	if r.settings.records != defaultRecords {
		text += fmt.Sprintf(" -records=%d", r.settings.records)
	}
	return text + " -markdown docs/benchmarks.md"
}

// cell keeps a text inside of its cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
