package importer

import "auditquery.dev/auditquery/internal/record"

// occurrenceWindow is how many different records are remembered at least, and
// half of how many at most: some 50 MB.
const occurrenceWindow = 500_000

// occurrences numbers equal records of one file, so that two equal lines are two
// records and the same file read twice gives the same ones again.
//
// Memory is bounded by two generations: when the current one is full it becomes
// the previous one, and what was the previous one is forgotten. Equal lines with
// more than occurrenceWindow different ones between them can thus get the same
// number and be stored as one record; a second reading forgets at the same
// places, so it still stores nothing new.
type occurrences struct {
	window            int
	current, previous map[record.ID]int
}

func newOccurrences(window int) *occurrences {
	return &occurrences{window: window, current: map[record.ID]int{}}
}

// next returns how many equal records came before this one, whose content's
// identity is given.
func (o *occurrences) next(content record.ID) int {
	seen, known := o.current[content]
	if !known {
		if seen, known = o.previous[content]; !known {
			seen = -1
		}
	}
	if len(o.current) >= o.window {
		o.previous, o.current = o.current, map[record.ID]int{}
	}
	o.current[content] = seen + 1
	return seen + 1
}
