package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progress says what is being done: one line that changes on a terminal, a line
// for each new step elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	began    time.Time
	drawn    time.Time
}

func newProgress(out io.Writer) *progress {
	file, ok := out.(*os.File)
	return &progress{out: out, terminal: ok && term.IsTerminal(int(file.Fd())), began: time.Now()}
}

const eraseLine = "\r\x1b[K"

// step begins something new.
func (p *progress) step(format string, args ...any) {
	p.clear()
	end := "\n"
	if p.terminal {
		end = ""
	}
	fmt.Fprintf(p.out, "[%6.1fs] %s%s", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...), end)
	p.drawn = time.Now()
}

// at shows how far a step is. Outside of a terminal it says nothing.
func (p *progress) at(what string, done, all int) {
	const often = 200 * time.Millisecond
	if !p.terminal || time.Since(p.drawn) < often {
		return
	}
	p.drawn = time.Now()
	fmt.Fprintf(p.out, "%s[%6.1fs] %s: %d of %d (%d %%)", eraseLine, time.Since(p.began).Seconds(), what, done, all, 100*done/max(all, 1))
}

// clear removes the line that changes.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, eraseLine)
	}
}
