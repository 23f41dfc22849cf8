package retention

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// unit is what an Age is counted in.
type unit uint8

const (
	days unit = iota + 1
	months
	years
)

// maxCount is the greatest number of units in an Age.
const maxCount = 99_999

const monthsPerYear = 12

// Age is a span of time as policies write it: "400d", "13mo", "7y". A day has 24
// hours; months and years are those of the calendar. Ages are comparable with ==;
// the zero Age is none, and its text is empty.
type Age struct {
	count int32
	unit  unit
}

// ParseAge reads a number from 1 to 99999 without leading zeros, and a unit: d, mo
// or y. The error names the accepted forms.
func ParseAge(text string) (Age, error) {
	for _, u := range []unit{days, months, years} {
		digits, ok := strings.CutSuffix(text, u.String())
		if !ok {
			continue
		}
		count, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || count < 1 || count > maxCount || strconv.FormatUint(count, 10) != digits {
			break
		}
		return Age{int32(count), u}, nil
	}
	return Age{}, fmt.Errorf("%q is not an age; write a number from 1 to %d and d, mo or y, such as 400d, 13mo or 7y",
		clipped(text), maxCount)
}

// clipped bounds what an error repeats.
func clipped(text string) string {
	const most = 40
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

func (u unit) String() string {
	switch u {
	case days:
		return "d"
	case months:
		return "mo"
	case years:
		return "y"
	default:
		return ""
	}
}

// IsZero tells whether a is none.
func (a Age) IsZero() bool { return a.count == 0 }

// Equal is ==, for those who compare by method.
func (a Age) Equal(b Age) bool { return a == b }

func (a Age) String() string {
	if a.IsZero() {
		return ""
	}
	return strconv.Itoa(int(a.count)) + a.unit.String()
}

// MarshalText returns what ParseAge reads; nothing for the zero Age.
func (a Age) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is ParseAge, where empty text is the zero Age.
func (a *Age) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Age{}
		return nil
	}
	parsed, err := ParseAge(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// Before returns now minus a, in UTC and at the same time of day. Where the month
// that it leads to is shorter, it is that month's last day: one month before 31
// March is 28 or 29 February. So it can go back by up to three days while now goes
// on: from 28 to 29 March it stays on 28 February, and the time of day begins anew.
func (a Age) Before(now time.Time) time.Time {
	now = now.UTC()
	if a.unit == days {
		return now.AddDate(0, 0, -int(a.count))
	}
	year, month, day := now.Date()
	total := year*monthsPerYear + int(month) - 1 - a.months()
	first := time.Date(0, time.Month(total+1), 1, now.Hour(), now.Minute(), now.Second(), now.Nanosecond(), time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(day, last)-1)
}

// months is the length of a that is counted in months or years.
func (a Age) months() int {
	if a.unit == years {
		return int(a.count) * monthsPerYear
	}
	return int(a.count)
}

// Covers tells whether a is never shorter than b, whatever the date: both are
// counted in days, or both in months or years, and a is not the smaller one; or
// the shortest that a can be is at least the longest that b can be. Everything
// covers the zero Age, and the zero Age covers nothing else.
func (a Age) Covers(b Age) bool { return newSpans().covers(a, b) }

// Shortest is the least number of days that a can be, over every now.
func (a Age) Shortest() int { return newSpans().of(a).shortest }

// Longest is the greatest number of days that a can be, over every now.
func (a Age) Longest() int { return newSpans().of(a).longest }
