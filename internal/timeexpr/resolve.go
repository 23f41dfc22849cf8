package timeexpr

import "time"

// The results lie after minSecond, the zero time, and before maxSecond, the
// start of year 10000, both in seconds since 1970.
var (
	minSecond = time.Time{}.Unix()
	maxSecond = time.Date(10_000, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
)

const outOfRange = "the result is outside the years 1 to 9999"

// inRange reports whether t may be a result.
func inRange(t time.Time) bool {
	return !t.IsZero() && t.Unix() >= minSecond && t.Unix() < maxSecond
}

// resolve applies the steps from left to right to the anchor.
func (r relative) resolve(text string, now time.Time) (time.Time, error) {
	t := now.UTC().Truncate(time.Microsecond)
	if !inRange(t) {
		return time.Time{}, failure(text, r.pos, "the clock is outside the years 1 to 9999")
	}
	switch r.anchor {
	case "today":
		t = roundDown(t, day)
	case "yesterday":
		t = addSeconds(roundDown(t, day), -unitSeconds[day])
	case "tomorrow":
		t = addSeconds(roundDown(t, day), unitSeconds[day])
	}
	if !inRange(t) {
		return time.Time{}, failure(text, r.pos, outOfRange)
	}
	for _, s := range r.steps {
		if t = s.apply(t); !inRange(t) {
			return time.Time{}, failure(text, s.pos, outOfRange)
		}
	}
	return t, nil
}

// apply gives t after the step. A result outside the range is some instant
// outside the range, not necessarily the exact one.
func (s step) apply(t time.Time) time.Time {
	if s.round {
		return roundDown(t, s.unit)
	}
	switch s.unit {
	case month:
		return addMonths(t, s.count)
	case year:
		return addMonths(t, s.count*12)
	}
	return addSeconds(t, s.count*unitSeconds[s.unit])
}

// addSeconds adds to the seconds since 1970, because a [time.Duration] ends at
// 292 years. Both terms are below 2^60: MaxNumber weeks are 6e17 seconds.
func addSeconds(t time.Time, seconds int64) time.Time {
	return time.Unix(t.Unix()+seconds, int64(t.Nanosecond())).UTC()
}

// addMonths keeps the day of the month where the new month has it and takes
// the new month's last day where not. Beyond the range it gives the zero time,
// so that a year never wraps.
func addMonths(t time.Time, months int64) time.Time {
	total := int64(t.Year())*12 + int64(t.Month()-1) + months
	if total < 12 || total >= 10_000*12 {
		return time.Time{}
	}
	y, m := int(total/12), time.Month(total%12+1)
	d := min(t.Day(), daysIn(y, m))
	return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// daysIn gives the number of days in a month.
func daysIn(y int, m time.Month) int {
	return time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// roundDown gives the start of the unit that t lies in.
func roundDown(t time.Time, u unit) time.Time {
	y, m, d := t.Date()
	switch u {
	case second, minute, hour:
		// Exact for every t in range: Truncate counts from the start of year 1.
		return t.Truncate(time.Duration(unitSeconds[u]) * time.Second)
	case week:
		sinceMonday := (int(t.Weekday()) + 6) % 7
		d -= sinceMonday
	case month:
		d = 1
	case year:
		m, d = time.January, 1
	}
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
