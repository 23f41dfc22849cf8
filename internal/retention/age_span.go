package retention

// The Gregorian calendar repeats after 400 years.
const (
	cycleMonths = 400 * monthsPerYear
	cycleDays   = 146_097
)

// span is how many days an Age can be.
type span struct{ shortest, longest int }

// spans remembers the spans of ages, which take thousands of steps to find.
type spans map[Age]span

func newSpans() spans { return spans{} }

func (s spans) of(a Age) span {
	if a.IsZero() || a.unit == days {
		return span{int(a.count), int(a.count)}
	}
	known, ok := s[a]
	if !ok {
		known = monthSpan(a.months())
		s[a] = known
	}
	return known
}

func (s spans) covers(a, b Age) bool {
	switch {
	case b.IsZero():
		return true
	case a.IsZero():
		return false
	case a.unit == days && b.unit == days:
		return a.count >= b.count
	case a.unit != days && b.unit != days:
		return a.months() >= b.months()
	}
	return s.of(a).shortest >= s.of(b).longest
}

// monthSpan looks at every month of the calendar's cycle. From the first day of a
// month the span is that between the two firsts; it is the same for all days that
// the earlier month has too, and grows by a day for each day beyond these.
func monthSpan(count int) span {
	whole, rest := count/cycleMonths, count%cycleMonths
	firsts := firstDays()
	s := span{shortest: cycleDays, longest: 0}
	for now := range cycleMonths {
		then := (now - rest + cycleMonths) % cycleMonths
		between := firsts[now] - firsts[then]
		if then > now {
			between += cycleDays
		}
		beyond := (firsts[now+1] - firsts[now]) - (firsts[then+1] - firsts[then])
		s.shortest = min(s.shortest, between)
		s.longest = max(s.longest, between+max(beyond, 0))
	}
	s.shortest += whole * cycleDays
	s.longest += whole * cycleDays
	return s
}

// firstDays numbers the first day of each month of a cycle, which begins with a year
// that 400 divides, and of the next one.
func firstDays() *[cycleMonths + 1]int {
	lengths := [monthsPerYear]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	const february = 1
	var firsts [cycleMonths + 1]int
	for i := range cycleMonths {
		year, month := i/monthsPerYear, i%monthsPerYear
		length := lengths[month]
		if month == february && year%4 == 0 && (year%100 != 0 || year == 0) {
			length++
		}
		firsts[i+1] = firsts[i] + length
	}
	return &firsts
}
