package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// figure is one ratio, or what has a unit of its own, and its bound.
type figure struct {
	// Name says what is divided by what.
	Name  string
	Value float64
	Bound float64
	// AtLeast is true when the bound is the least that will do.
	AtLeast bool
	// Share is true for a part of a whole, shown in per cent.
	Share bool
	// Unit is that of Value and Bound; "" where a figure is a ratio.
	Unit string
	// Medians are the sides as they were measured.
	Medians string
}

// OK tells whether the figure keeps its bound.
func (f figure) OK() bool {
	if f.AtLeast {
		return f.Value >= f.Bound
	}
	return f.Value <= f.Bound
}

// Verdict is OK in words.
func (f figure) Verdict() string {
	if f.OK() {
		return "ok"
	}
	return "over"
}

// Measured is Value as it is shown: rounded such that rounding never hides that
// a bound is passed.
func (f figure) Measured() string {
	const finest = 6
	for digits := leastDigits; digits < finest; digits++ {
		text := f.number(f.Value, digits)
		if text != f.number(f.Bound, digits) || f.Value == f.Bound {
			return text
		}
	}
	return f.number(f.Value, finest)
}

// leastDigits are shown of every number, after the point.
const leastDigits = 2

// Limit is the bound as it is shown.
func (f figure) Limit() string {
	if f.AtLeast {
		return "≥ " + f.number(f.Bound, leastDigits)
	}
	return "≤ " + f.number(f.Bound, leastDigits)
}

func (f figure) number(n float64, digits int) string {
	if f.Share {
		return fmt.Sprintf("%.*f %%", digits, 100*n)
	}
	if f.Unit != "" {
		return fmt.Sprintf("%.*f %s", digits, n, f.Unit)
	}
	return fmt.Sprintf("%.*f", digits, n)
}

// quotient makes the figure of two sides that were timed.
func quotient(name string, bound float64, over, under side) figure {
	return figure{
		Name: name, Bound: bound, Value: float64(over.median()) / float64(under.median()),
		Medians: over.String() + "; " + under.String(),
	}
}

// side is one of the things that are timed in turn.
type side struct {
	name  string
	run   func(i int) error
	times []time.Duration
}

func (s side) median() time.Duration { return percentile(s.times, 50) }

// String is the side's name and median, with the quarters around it: how far
// apart they are tells how quiet the machine was.
func (s side) String() string {
	return fmt.Sprintf("%s %s (%s…%s)", s.name, milliseconds(s.median()),
		milliseconds(percentile(s.times, 25)), milliseconds(percentile(s.times, 75)))
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// percentile returns a value of times, which it leaves as they are.
func percentile(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[(len(sorted)-1)*percent/100]
}

// printTable aligns columns, which tabwriter cannot do with letters that are
// wider than their bytes.
func printTable(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var text strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			if i == len(row)-1 {
				text.WriteString(cell)
				break
			}
			text.WriteString(cell + strings.Repeat(" ", widths[i]-len([]rune(cell))+2))
		}
		text.WriteByte('\n')
	}
	return text.String()
}
