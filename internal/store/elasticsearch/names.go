package elasticsearch

import (
	"fmt"
	"strings"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

const (
	monthLayout = "2006.01"
	dayLayout   = "2006.01.02"
)

// Period is how long an index lasts.
type Period int

// The periods. An index that covers a record's time is used, whatever the
// period is set to: changing it never splits a day in two.
const (
	// Monthly is for most.
	Monthly Period = iota
	// Daily is for high volume and short retention.
	Daily
)

func (p Period) layout() string {
	if p == Daily {
		return dayLayout
	}
	return monthLayout
}

// names makes and reads the names of indices.
type names struct{ prefix string }

// of is what the names of a kind's indices begin with.
func (n names) of(kind record.Kind) string {
	return n.prefix + "-" + strings.ToLower(string(kind)) + "-"
}

// state is the index that holds the state.
func (n names) state() string { return n.prefix + "-state" }

// erasing tells Elasticsearch whose the tasks are that erase.
func (n names) erasing() string { return n.prefix + "-erasing" }

// template is the name of a kind's index template.
func (n names) template(kind record.Kind) string {
	return n.prefix + "-" + strings.ToLower(string(kind))
}

// all matches the indices of every kind.
func (n names) all() []string {
	var patterns []string
	for _, kind := range record.Kinds() {
		patterns = append(patterns, n.of(kind)+"*")
	}
	return patterns
}

// covering lists the names that an index for t can have, the first to be
// preferred. A day's index is preferred to the month's: the month's can only be
// younger, and a record must go where its like went before.
func (n names) covering(kind record.Kind, t time.Time) []string {
	base, t := n.of(kind), t.UTC()
	return []string{base + t.Format(dayLayout), base + t.Format(monthLayout)}
}

// span is a half-open interval of time.
type span struct{ from, to time.Time }

// overlaps takes zero times as open ends.
func (s span) overlaps(other span) bool {
	return (s.to.IsZero() || other.from.IsZero() || other.from.Before(s.to)) &&
		(other.to.IsZero() || s.from.IsZero() || s.from.Before(other.to))
}

// parse returns the kind of an index and the time that it covers.
func (n names) parse(index string) (record.Kind, span, error) {
	for _, kind := range record.Kinds() {
		period, ok := strings.CutPrefix(index, n.of(kind))
		if !ok {
			continue
		}
		if from, err := time.Parse(monthLayout, period); err == nil && len(period) == len(monthLayout) {
			return kind, span{from: from, to: from.AddDate(0, 1, 0)}, nil
		}
		if from, err := time.Parse(dayLayout, period); err == nil && len(period) == len(dayLayout) {
			return kind, span{from: from, to: from.AddDate(0, 0, 1)}, nil
		}
		return kind, span{}, fmt.Errorf("its name ends neither in a month (%s) nor in a day (%s)", monthLayout, dayLayout)
	}
	return "", span{}, fmt.Errorf("its name is not one of ours")
}

// window is the time that a question asks for; a cursor ends it.
func window(q query.Query) span {
	w := span{from: q.From, to: q.To}
	if q.After != nil {
		if end := time.UnixMicro(q.After.Micros + 1).UTC(); w.to.IsZero() || end.Before(w.to) {
			w.to = end
		}
	}
	return w
}

// The months that names can hold.
const (
	firstYear = 0
	lastYear  = 9999
	months    = 12
)

// cover returns wildcards that match the names of the indices, of months and of
// days, that cover a part of w, and of no others: the fewest prefixes of YYYY.MM.
// An open end makes few of them: from 2026.11 on it takes 2026.11*, 2026.12*,
// 2027.* … 2029.*, 203* … 209*, 21* … 29*, 3* … 9*.
func cover(base string, w span) []string {
	if w.from.IsZero() && w.to.IsZero() {
		return []string{base + "*"}
	}
	first, last := firstYear*months, lastYear*months+months-1
	if !w.from.IsZero() {
		first = month(w.from)
	}
	if !w.to.IsZero() {
		last = month(w.to.Add(-time.Nanosecond))
	}
	var patterns []string
	for first <= last {
		text, size := widest(first, last)
		patterns = append(patterns, base+text)
		first += size
	}
	return patterns
}

func month(t time.Time) int {
	t = t.UTC()
	return min(max(t.Year(), firstYear), lastYear)*months + int(t.Month()) - 1
}

// widest returns the pattern of the longest run of months that begins at first,
// ends before or at last, and is all that shares a prefix; and the run's length.
func widest(first, last int) (string, int) {
	year, m := first/months, first%months
	for digits, years := 0, 10_000; years >= 1; digits, years = digits+1, years/10 {
		if m == 0 && year%years == 0 && first+years*months-1 <= last {
			text := fmt.Sprintf("%04d", year)[:digits]
			if digits == 4 {
				text += "."
			}
			return text + "*", years * months
		}
	}
	return fmt.Sprintf("%04d.%02d*", year, m+1), 1
}
