package importer

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// maxRefusedShown is how many refused lines a summary names.
const maxRefusedShown = 20

// Summary says what an import did.
type Summary struct {
	// Lines is how many lines were read, empty ones among them.
	Lines int64
	// Stored and Duplicate count records. A line can give several, or none.
	Stored, Duplicate int64
	// Skipped counts events that give no record by rule.
	Skipped int64
	// Refused counts lines, or single events of a line, that were not taken.
	Refused int64
	// FirstRefused names the first maxRefusedShown of them.
	FirstRefused []RefusedLine
	// Took is the time that the import took.
	Took time.Duration
}

// RefusedLine is a line that was not taken, or not wholly.
type RefusedLine struct {
	// Source is the file's name.
	Source string
	// Line counts from 1.
	Line   int
	Reason string
}

func (r RefusedLine) String() string {
	return fmt.Sprintf("%s, line %d: %s", r.Source, r.Line, r.Reason)
}

// Write prints the summary as a table, and below it the refused lines.
func (s Summary) Write(w io.Writer) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "LINES\tSTORED\tDUPLICATE\tSKIPPED\tREFUSED\tTIME\t")
	fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%s\t\n", s.Lines, s.Stored, s.Duplicate, s.Skipped, s.Refused, roundTime(s.Took))
	_ = table.Flush() // to memory
	if len(s.FirstRefused) > 0 {
		fmt.Fprintln(&text, "\nRefused:")
		for _, refused := range s.FirstRefused {
			fmt.Fprintf(&text, "  %s\n", refused)
		}
		if rest := s.Refused - int64(len(s.FirstRefused)); rest > 0 {
			fmt.Fprintf(&text, "  and %d more\n", rest)
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func roundTime(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

func (s *Summary) refuse(refused RefusedLine) {
	s.Refused++
	if len(s.FirstRefused) < maxRefusedShown {
		s.FirstRefused = append(s.FirstRefused, refused)
	}
}
