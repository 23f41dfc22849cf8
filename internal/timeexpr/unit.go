package timeexpr

import "strings"

// unit is a unit of time.
type unit int

const (
	second unit = iota
	minute
	hour
	day
	week
	month
	year
)

// unitWords are the names that ignore case. Each may also end in "s".
var unitWords = map[string]unit{
	"second": second, "sec": second,
	"minute": minute, "min": minute,
	"hour":  hour,
	"day":   day,
	"week":  week,
	"month": month, "mo": month,
	"year": year,
}

// unitLetters are the names that do not ignore case.
var unitLetters = map[string]unit{
	"s": second, "m": minute, "h": hour, "d": day, "w": week, "M": month, "y": year,
}

// unitSeconds are the lengths of the units that always have the same length.
var unitSeconds = map[unit]int64{
	second: 1, minute: 60, hour: 3_600, day: 86_400, week: 7 * 86_400,
}

// unitNamed gives the unit with the name, which consists of ASCII letters.
func unitNamed(name string) (unit, bool) {
	if len(name) == 1 {
		u, ok := unitLetters[name]
		return u, ok
	}
	word := strings.ToLower(name)
	if u, ok := unitWords[word]; ok {
		return u, true
	}
	u, ok := unitWords[strings.TrimSuffix(word, "s")]
	return u, ok
}
