package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
)

const (
	outputTable = "table"
	outputJSON  = "json"

	// wideTerminal has room for a date instead of an age.
	wideTerminal = 120
	// sourcePart is the part of a terminal's width that a source gets at most,
	// as its divisor.
	sourcePart = 5
	// narrowestReason is what a reason gets at least.
	narrowestReason = 20
)

// letterListOptions are those of `deadletter list`.
type letterListOptions struct {
	folder *letterFolder
	filter letterFilter
	output string
	limit  int
}

func newLetterListCommand(std streams, folder *letterFolder) *cobra.Command {
	o := &letterListOptions{folder: folder, output: outputTable, limit: 100}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, the oldest first",
		Long: `List dead letters, the oldest first. As JSON there is one whole letter a line,
with all that is kept of what came in.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.NoArgs(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), std) },
	}
	o.filter.addFlags(cmd.Flags())
	cmd.Flags().StringVarP(&o.output, "output", "o", o.output, "table or json")
	cmd.Flags().IntVar(&o.limit, "limit", o.limit, "how many are listed at most, of the newest; 0: all")
	return cmd
}

func (o *letterListOptions) validate() error {
	own := outputs(o.output)
	if o.limit < 0 {
		own = append(own, fmt.Errorf("--limit is %d; it is 0 or more", o.limit))
	}
	return invalid(own, o.filter.validate())
}

func outputs(output string) []error {
	if output != outputTable && output != outputJSON {
		return []error{fmt.Errorf("--output is %q; it is table or json", output)}
	}
	return nil
}

// run reads the letters twice, to know how many there are and how wide the
// columns are, and never holds more than a few.
func (o *letterListOptions) run(ctx context.Context, std streams) error {
	if err := o.validate(); err != nil {
		return err
	}
	folder, err := o.folder.open()
	if err != nil {
		return err
	}
	table := newLetterTable(std.out)
	total := 0
	err = folder.Each(ctx, func(l deadletter.Letter) error {
		if o.filter.matches(l) {
			total++
			table.fit(l)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if total == 0 {
		fmt.Fprintln(std.err, "There are no dead letters"+o.ofThese()+".")
		return nil
	}
	skip := 0
	if o.limit > 0 {
		skip = max(0, total-o.limit)
	}
	if o.output == outputTable {
		err = table.header()
	}
	if err == nil {
		err = o.write(ctx, folder, table, std.out, skip)
	}
	if skip > 0 {
		fmt.Fprintf(std.err, "These are the newest %d of %d; --limit=0 lists all.\n", o.limit, total)
	}
	return err
}

func (o *letterListOptions) ofThese() string {
	if o.filter.given() {
		return " of these"
	}
	return ""
}

func (o *letterListOptions) write(ctx context.Context, folder *deadletter.Folder, table *letterTable, out io.Writer, skip int) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return folder.Each(ctx, func(l deadletter.Letter) error {
		switch {
		case !o.filter.matches(l):
			return nil
		case skip > 0:
			skip--
			return nil
		case o.output == outputJSON:
			return encoder.Encode(l)
		default:
			return table.row(l, time.Now())
		}
	})
}

// letterTable writes letters as lines of text. On a terminal they end where it
// ends; elsewhere nothing is cut.
type letterTable struct {
	out   io.Writer
	width int // 0 means without bound
	// cause and source are the widths of their columns.
	cause, source int
}

func newLetterTable(out io.Writer) *letterTable {
	t := &letterTable{out: out, cause: len("CAUSE"), source: len("SOURCE")}
	if isTerminal(out) {
		t.width = terminalWidth(out)
	}
	return t
}

// fit makes the columns wide enough for a letter.
func (t *letterTable) fit(l deadletter.Letter) {
	source := utf8.RuneCountInString(printable(l.Source))
	if t.width > 0 {
		source = min(source, t.width/sourcePart)
	}
	t.source, t.cause = max(t.source, source), max(t.cause, len(l.Cause))
}

func (t *letterTable) dated() bool { return t.width == 0 || t.width >= wideTerminal }

func (t *letterTable) header() error {
	when := "AGE"
	if t.dated() {
		when = "TIME"
	}
	return t.line("ID", when, "CAUSE", "SOURCE", "REASON")
}

func (t *letterTable) row(l deadletter.Letter, now time.Time) error {
	return t.line(l.ID, t.when(l.Time, now), string(l.Cause), printable(l.Source), printable(l.Reason))
}

func (t *letterTable) when(at, now time.Time) string {
	switch {
	case at.IsZero():
		return "?"
	case t.dated():
		return at.UTC().Format(time.RFC3339)
	default:
		return duration.HumanDuration(now.Sub(at))
	}
}

func (t *letterTable) line(id, when, cause, source, reason string) error {
	whenWidth := len("2y30d")
	if t.dated() {
		whenWidth = len(time.RFC3339) - len("07:00")
	}
	if t.width > 0 {
		source = shorten(source, t.source)
	}
	text := fmt.Sprintf("%-12s  %-*s  %-*s  %-*s  ", id, whenWidth, when, t.cause, cause, t.source, source)
	if t.width > 0 {
		reason = shorten(reason, max(narrowestReason, t.width-utf8.RuneCountInString(text)))
	}
	_, err := fmt.Fprintln(t.out, text+reason)
	return err
}

// shorten cuts text to so many characters.
func shorten(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:width-1]) + "…"
}

// printable replaces what could move a terminal's cursor or hide something:
// letters are about what strangers sent.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsGraphic(r):
			return '\uFFFD'
		default:
			return r
		}
	}, text)
}
