package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/record"
)

// letterShowOptions are those of `deadletter show`.
type letterShowOptions struct {
	folder *letterFolder
	output string
}

func newLetterShowCommand(std streams, folder *letterFolder) *cobra.Command {
	o := &letterShowOptions{folder: folder, output: outputTable}
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one dead letter with all that is kept of what came in",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("give the id of one letter, as `auditquery deadletter list` shows it")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), std, args[0]) },
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", o.output, "table or json")
	return cmd
}

// errFound ends a search.
var errFound = errors.New("found")

func (o *letterShowOptions) run(ctx context.Context, std streams, id string) error {
	if err := invalid(outputs(o.output)); err != nil {
		return err
	}
	folder, err := o.folder.open()
	if err != nil {
		return err
	}
	var letter deadletter.Letter
	err = folder.Each(ctx, func(l deadletter.Letter) error {
		if l.ID == id {
			letter = l
			return errFound
		}
		return nil
	})
	switch {
	case err == nil:
		return fmt.Errorf("no dead letter has the id %s", id)
	case !errors.Is(err, errFound):
		return err
	case o.output == outputJSON:
		encoder := json.NewEncoder(std.out)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(letter)
	default:
		return writeLetter(std.out, letter)
	}
}

// writeLetter shows a letter to a person.
func writeLetter(out io.Writer, l deadletter.Letter) error {
	var text strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&text, "%-8s %s\n", name, printable(value))
		}
	}
	field("id", l.ID)
	if !l.Time.IsZero() {
		field("time", l.Time.UTC().Format(time.RFC3339Nano))
	}
	field("source", l.Source)
	field("cause", string(l.Cause))
	field("reason", l.Reason)
	field("kind", string(l.Kind))
	if l.RecordID != (record.ID{}) {
		field("record", l.RecordID.String())
	}
	switch {
	case len(l.Document) > 0:
		fmt.Fprintf(&text, "document\n%s\n", indented(l.Document))
	case len(l.Excerpt) > 0:
		fmt.Fprintf(&text, "excerpt\n%s\n", indented(l.Excerpt))
	case len(l.Bytes) > 0:
		fmt.Fprintf(&text, "%-8s %d (all of them, in base64, with --output=json)\n%q\n", "bytes", len(l.Bytes), l.Bytes[:min(len(l.Bytes), 1000)])
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// indented is a document for a terminal.
func indented(document json.RawMessage) string {
	text, err := json.MarshalIndent(document, "  ", "  ")
	if err != nil {
		text = document
	}
	return "  " + strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsGraphic(r) {
			return r
		}
		return '\uFFFD'
	}, string(text))
}
