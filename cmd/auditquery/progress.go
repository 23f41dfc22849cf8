package main

import (
	"fmt"
	"io"
	"time"

	"auditquery.dev/auditquery/internal/ingest/importer"
)

// progressEvery is how often the line changes, at most.
const progressEvery = 200 * time.Millisecond

// progressLine shows on a terminal how far an import is, and nothing elsewhere.
type progressLine struct {
	out     io.Writer
	visible bool
	shown   time.Duration
}

func newProgressLine(out io.Writer) *progressLine {
	return &progressLine{out: out, visible: isTerminal(out)}
}

func (p *progressLine) update(now importer.Progress) {
	if !p.visible || (!now.Waiting && p.shown > 0 && now.Took-p.shown < progressEvery) {
		return
	}
	p.shown = max(now.Took, 1)
	text := []rune(progressText(now))
	if width := terminalWidth(p.out) - 1; len(text) > width {
		text = text[:width]
	}
	fmt.Fprintf(p.out, "\r\x1b[K%s", string(text))
}

// clear removes the line.
func (p *progressLine) clear() {
	if p.visible && p.shown > 0 {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// progressText is the line without the terminal's codes.
func progressText(p importer.Progress) string {
	text := fmt.Sprintf("%s: %d lines", p.Source, p.Lines)
	if seconds := p.Took.Seconds(); seconds > 0 {
		text += fmt.Sprintf(", %.0f/s", float64(p.Lines)/seconds)
	}
	if p.Size > 0 {
		text += fmt.Sprintf(", %d %%", min(100, p.Read*100/p.Size))
	}
	if p.Waiting {
		text += "; the store is away, trying again"
	}
	return text
}
