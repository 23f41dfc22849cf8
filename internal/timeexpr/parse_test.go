package timeexpr_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"auditquery.dev/auditquery/internal/timeexpr"
)

// clock is the reading of most tests: a Wednesday.
const clock = "2026-11-04T15:04:05.123456Z"

// instant reads an RFC 3339 time of a table.
func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatalf("bad time in the test: %v", err)
	}
	return at.UTC()
}

// accepted is an expression with its result. Without a reading it is clock.
type accepted struct {
	input string
	now   string
	want  string
}

func runAccepted(t *testing.T, tests map[string]accepted) {
	t.Helper()
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			reading := tc.now
			if reading == "" {
				reading = clock
			}
			got, err := timeexpr.Parse(tc.input, instant(t, reading))
			if err != nil {
				t.Fatalf("Parse(%q): %v", tc.input, err)
			}
			if want := instant(t, tc.want); got != want {
				t.Errorf("Parse(%q) at %s = %s, want %s", tc.input, reading, got.Format(time.RFC3339Nano), tc.want)
			}
		})
	}
}

func TestParseAnchors(t *testing.T) {
	runAccepted(t, map[string]accepted{
		"now is the reading":                       {input: "now", want: clock},
		"now is cut to microseconds":               {input: "now", now: "2026-11-04T15:04:05.123456999Z", want: clock},
		"a reading in another zone becomes UTC":    {input: "now", now: "2026-11-04T17:04:05.123456+02:00", want: clock},
		"today is midnight":                        {input: "today", want: "2026-11-04T00:00:00Z"},
		"today is the day in UTC":                  {input: "today", now: "2026-11-05T00:30:00+01:00", want: "2026-11-04T00:00:00Z"},
		"yesterday is the midnight before":         {input: "yesterday", want: "2026-11-03T00:00:00Z"},
		"yesterday crosses a year":                 {input: "yesterday", now: "2026-01-01T00:00:00Z", want: "2025-12-31T00:00:00Z"},
		"tomorrow is the midnight after":           {input: "tomorrow", want: "2026-11-05T00:00:00Z"},
		"tomorrow reaches February 29":             {input: "tomorrow", now: "2028-02-28T09:00:00Z", want: "2028-02-29T00:00:00Z"},
		"words ignore case":                        {input: "NOW", want: clock},
		"words ignore mixed case":                  {input: "ToDay", want: "2026-11-04T00:00:00Z"},
		"spaces and tabs may surround a word":      {input: " \tnow\t ", want: clock},
		"an anchor takes an offset":                {input: "today+8h", want: "2026-11-04T08:00:00Z"},
		"an anchor takes a rounding":               {input: "tomorrow/w", want: "2026-11-02T00:00:00Z"},
		"yesterday before noon, with spaces":       {input: "yesterday + 12 hours", want: "2026-11-03T12:00:00Z"},
		"a space that was a plus before its minus": {input: "now -1d", want: "2026-11-03T15:04:05.123456Z"},
	})
}

func TestParseOffsets(t *testing.T) {
	runAccepted(t, map[string]accepted{
		"a long unit":                          {input: "now-1day", want: "2026-11-03T15:04:05.123456Z"},
		"a plural unit":                        {input: "now-2days", want: "2026-11-02T15:04:05.123456Z"},
		"the singular of many":                 {input: "now-2day", want: "2026-11-02T15:04:05.123456Z"},
		"seconds, long":                        {input: "now-5seconds", want: "2026-11-04T15:04:00.123456Z"},
		"seconds, short":                       {input: "now-5sec", want: "2026-11-04T15:04:00.123456Z"},
		"seconds, short plural":                {input: "now-5secs", want: "2026-11-04T15:04:00.123456Z"},
		"seconds, one letter":                  {input: "now-5s", want: "2026-11-04T15:04:00.123456Z"},
		"minutes, long":                        {input: "now-4minutes", want: "2026-11-04T15:00:05.123456Z"},
		"minutes, short":                       {input: "now-4min", want: "2026-11-04T15:00:05.123456Z"},
		"a small m is a minute":                {input: "now-4m", want: "2026-11-04T15:00:05.123456Z"},
		"a capital M is a month":               {input: "now-4M", want: "2026-07-04T15:04:05.123456Z"},
		"months, long":                         {input: "now+2months", want: "2027-01-04T15:04:05.123456Z"},
		"months, short":                        {input: "now-11mo", want: "2025-12-04T15:04:05.123456Z"},
		"hours":                                {input: "now+9h", want: "2026-11-05T00:04:05.123456Z"},
		"weeks":                                {input: "now-1w", want: "2026-10-28T15:04:05.123456Z"},
		"weeks, long":                          {input: "now-1week", want: "2026-10-28T15:04:05.123456Z"},
		"years":                                {input: "now-1y", want: "2025-11-04T15:04:05.123456Z"},
		"unit words ignore case":               {input: "now-1DAY+2Hours", want: "2026-11-03T17:04:05.123456Z"},
		"MO is a month, as mo":                 {input: "now-1MO", want: "2026-10-04T15:04:05.123456Z"},
		"MIN is a minute, as min":              {input: "now-4MIN", want: "2026-11-04T15:00:05.123456Z"},
		"spaces between all tokens":            {input: "now - 1 day + 2 hours", want: "2026-11-03T17:04:05.123456Z"},
		"many offsets":                         {input: "now+1d-1d+1d-1d+1d", want: "2026-11-05T15:04:05.123456Z"},
		"zero":                                 {input: "now-0d", want: clock},
		"leading zeros":                        {input: "now-0000000000000000001d", want: "2026-11-03T15:04:05.123456Z"},
		"more than a time.Duration holds":      {input: "now-20000000000s", want: "1393-01-25T03:30:45.123456Z"},
		"thousands of years":                   {input: "now-2000y", want: "0026-11-04T15:04:05.123456Z"},
		"month's end clamps":                   {input: "now+1M", now: "2026-01-31T10:00:00Z", want: "2026-02-28T10:00:00Z"},
		"month's end clamps backwards":         {input: "now-1month", now: "2026-05-31T10:00:00Z", want: "2026-04-30T10:00:00Z"},
		"month's end clamps to February 29":    {input: "now-1mo", now: "2028-03-31T10:00:00Z", want: "2028-02-29T10:00:00Z"},
		"a clamp is not undone":                {input: "now+1M+1M", now: "2026-01-31T10:00:00Z", want: "2026-03-28T10:00:00Z"},
		"two months at once do not clamp":      {input: "now+2M", now: "2026-01-31T10:00:00Z", want: "2026-03-31T10:00:00Z"},
		"a year after February 29":             {input: "now+1y", now: "2028-02-29T10:00:00Z", want: "2029-02-28T10:00:00Z"},
		"four years after February 29":         {input: "now+4y", now: "2028-02-29T10:00:00Z", want: "2032-02-29T10:00:00Z"},
		"2100 has no February 29":              {input: "now+1y", now: "2099-02-28T10:00:00Z", want: "2100-02-28T10:00:00Z"},
		"a day before March 1 of 2100":         {input: "now-1d", now: "2100-03-01T10:00:00Z", want: "2100-02-28T10:00:00Z"},
		"months cross a year backwards":        {input: "now-1M", now: "2026-01-15T10:00:00Z", want: "2025-12-15T10:00:00Z"},
		"a day over a change of clocks is 24h": {input: "now-1d", now: "2026-10-25T12:00:00+01:00", want: "2026-10-24T11:00:00Z"},
	})
}

func TestParseRounding(t *testing.T) {
	runAccepted(t, map[string]accepted{
		"to the second":                         {input: "now/s", want: "2026-11-04T15:04:05Z"},
		"to the minute":                         {input: "now/m", want: "2026-11-04T15:04:00Z"},
		"to the hour":                           {input: "now/h", want: "2026-11-04T15:00:00Z"},
		"to the day":                            {input: "now/d", want: "2026-11-04T00:00:00Z"},
		"to the week, on a Wednesday":           {input: "now/w", want: "2026-11-02T00:00:00Z"},
		"to the week, on a Sunday":              {input: "now/w", now: "2026-11-01T23:59:59Z", want: "2026-10-26T00:00:00Z"},
		"to the week, on a Monday":              {input: "now/w", now: "2026-11-02T00:00:00Z", want: "2026-11-02T00:00:00Z"},
		"to the ISO week over the end of 2026":  {input: "now/w", now: "2027-01-03T12:00:00Z", want: "2026-12-28T00:00:00Z"},
		"to the month":                          {input: "now/M", want: "2026-11-01T00:00:00Z"},
		"to the year":                           {input: "now/y", want: "2026-01-01T00:00:00Z"},
		"by a unit's name":                      {input: "now/Month", want: "2026-11-01T00:00:00Z"},
		"with spaces":                           {input: "now / d", want: "2026-11-04T00:00:00Z"},
		"never up":                              {input: "now/d", now: "2026-11-04T23:59:59.999999Z", want: "2026-11-04T00:00:00Z"},
		"down before 1970 too":                  {input: "now/h", now: "1969-12-31T23:59:59.5Z", want: "1969-12-31T23:00:00Z"},
		"after an offset":                       {input: "now-1d/d", want: "2026-11-03T00:00:00Z"},
		"before an offset":                      {input: "now/d-1h", want: "2026-11-03T23:00:00Z"},
		"between offsets":                       {input: "now-1M/M+1d/d", want: "2026-10-02T00:00:00Z"},
		"start of last month from the 31st":     {input: "now/M-1M", now: "2026-03-31T10:00:00Z", want: "2026-02-01T00:00:00Z"},
		"last month from the 31st, rounded":     {input: "now-1M/M", now: "2026-03-31T10:00:00Z", want: "2026-02-01T00:00:00Z"},
		"the week of the month's first":         {input: "now/M/w", want: "2026-10-26T00:00:00Z"},
		"the last microsecond of last February": {input: "now/y+2M-1s", now: "2028-07-01T00:00:00Z", want: "2028-02-29T23:59:59Z"},
	})
}

func TestParseDurations(t *testing.T) {
	runAccepted(t, map[string]accepted{
		"one unit is before now":       {input: "1d", want: "2026-11-03T15:04:05.123456Z"},
		"two units add up":             {input: "2h30m", want: "2026-11-04T12:34:05.123456Z"},
		"with spaces":                  {input: "2 h 30 m ", want: "2026-11-04T12:34:05.123456Z"},
		"with names":                   {input: "2 Hours 30 MIN", want: "2026-11-04T12:34:05.123456Z"},
		"a month, then a day":          {input: "1M1d", now: "2026-03-31T10:00:00Z", want: "2026-02-27T10:00:00Z"},
		"minutes are not months":       {input: "1m", want: "2026-11-04T15:03:05.123456Z"},
		"units may repeat":             {input: "1d1d", want: "2026-11-02T15:04:05.123456Z"},
		"a tab before was never a '+'": {input: "\t1d", want: "2026-11-03T15:04:05.123456Z"},
		"four digits and a unit":       {input: "1000d", want: "2024-02-08T15:04:05.123456Z"},
		"ten digits and a unit":        {input: "1000000000s", want: "1995-02-26T13:17:25.123456Z"},
	})
}

func TestParseAbsolute(t *testing.T) {
	runAccepted(t, map[string]accepted{
		"a date is its midnight":                {input: "2026-11-01", want: "2026-11-01T00:00:00Z"},
		"February 29 of a leap year":            {input: "2028-02-29", want: "2028-02-29T00:00:00Z"},
		"February 29 of 2000":                   {input: "2000-02-29", want: "2000-02-29T00:00:00Z"},
		"a date and minutes":                    {input: "2026-11-01 10:00", want: "2026-11-01T10:00:00Z"},
		"a date and seconds":                    {input: "2026-11-01 10:00:07", want: "2026-11-01T10:00:07Z"},
		"many spaces between date and clock":    {input: " 2026-11-01 \t 10:00 ", want: "2026-11-01T10:00:00Z"},
		"a T and minutes":                       {input: "2026-11-01T10:00", want: "2026-11-01T10:00:00Z"},
		"a T and seconds without zone":          {input: "2026-11-01T10:00:07", want: "2026-11-01T10:00:07Z"},
		"RFC 3339 in UTC":                       {input: "2026-11-01T10:00:00Z", want: "2026-11-01T10:00:00Z"},
		"RFC 3339 in small letters":             {input: "2026-11-01t10:00:00z", want: "2026-11-01T10:00:00Z"},
		"RFC 3339 east of UTC":                  {input: "2026-11-01T01:00:00+02:00", want: "2026-10-31T23:00:00Z"},
		"RFC 3339 west of UTC":                  {input: "2026-11-01T22:00:00-05:30", want: "2026-11-02T03:30:00Z"},
		"RFC 3339 with an unknown zone":         {input: "2026-11-01T10:00:00-00:00", want: "2026-11-01T10:00:00Z"},
		"RFC 3339 with a fraction":              {input: "2026-11-01T10:00:00.5Z", want: "2026-11-01T10:00:00.5Z"},
		"a fraction of six digits":              {input: "2026-11-01T10:00:00.000001Z", want: "2026-11-01T10:00:00.000001Z"},
		"a fraction of nine digits is cut":      {input: "2026-11-01T10:00:00.123456999Z", want: "2026-11-01T10:00:00.123456Z"},
		"a fraction of twenty digits is cut":    {input: "2026-11-01 10:00:00.99999999999999999999", want: "2026-11-01T10:00:00.999999Z"},
		"a fraction before 1970 is cut down":    {input: "1969-12-31T23:59:59.9999999Z", want: "1969-12-31T23:59:59.999999Z"},
		"a zone after minutes":                  {input: "2026-11-01 10:00 +02:00", want: "2026-11-01T08:00:00Z"},
		"a Z after a space":                     {input: "2026-11-01 10:00:00 Z", want: "2026-11-01T10:00:00Z"},
		"the first microsecond":                 {input: "0001-01-01T00:00:00.000001Z", want: "0001-01-01T00:00:00.000001Z"},
		"the last microsecond":                  {input: "9999-12-31T23:59:59.999999Z", want: "9999-12-31T23:59:59.999999Z"},
		"ten digits are seconds":                {input: "1793527200", want: "2026-11-01T10:00:00Z"},
		"nine digits are seconds":               {input: "999999999", want: "2001-09-09T01:46:39Z"},
		"thirteen digits are milliseconds":      {input: "1793527200123", want: "2026-11-01T10:00:00.123Z"},
		"twelve digits are milliseconds":        {input: "999999999999", want: "2001-09-09T01:46:39.999Z"},
		"spaces around digits":                  {input: "  1793527200 ", want: "2026-11-01T10:00:00Z"},
		"ten zeros are the start of 1970":       {input: "0000000000", want: "1970-01-01T00:00:00Z"},
		"the reading does not matter to a date": {input: "2026-11-01", now: "1990-01-01T00:00:00Z", want: "2026-11-01T00:00:00Z"},
	})
}

// Readings that show the same instant give the same answers, whatever their
// zone does with its clocks that day.
func TestParseKnowsNoDaylightSaving(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skipf("no zone data: %v", err)
	}
	// The clocks go back from 3:00 to 2:00 on this day.
	reading := time.Date(2026, time.October, 25, 12, 0, 0, 0, berlin)
	for _, input := range []string{"now", "today", "yesterday", "now-1d", "now/d", "now-1w/w", "now-1M", "24h"} {
		local, err := timeexpr.Parse(input, reading)
		if err != nil {
			t.Fatalf("Parse(%q): %v", input, err)
		}
		utc, err := timeexpr.Parse(input, reading.UTC())
		if err != nil {
			t.Fatalf("Parse(%q): %v", input, err)
		}
		if local != utc || local.Location() != time.UTC {
			t.Errorf("Parse(%q) = %s for a local reading and %s for the same in UTC", input, local, utc)
		}
	}
}

// The length is checked before anything is read.
func TestParseBoundsTheLength(t *testing.T) {
	reading := instant(t, clock)
	longest := "now" + strings.Repeat(" ", timeexpr.MaxLength-3)
	if _, err := timeexpr.Parse(longest, reading); err != nil {
		t.Errorf("%d bytes: %v", len(longest), err)
	}
	for name, input := range map[string]string{
		"one byte more": longest + " ",
		"a megabyte":    strings.Repeat("now", 1<<20/3),
		"broken UTF-8":  strings.Repeat("\x80", 300),
		"wide runes":    strings.Repeat("€", 100),
	} {
		_, err := timeexpr.Parse(input, reading)
		refused, ok := errors.AsType[*timeexpr.Error](err)
		if !ok {
			t.Errorf("%s: got error %v, want *Error", name, err)
			continue
		}
		if len(refused.Input) > timeexpr.MaxLength || refused.Offset != len(refused.Input) {
			t.Errorf("%s: %d bytes of input, offset %d", name, len(refused.Input), refused.Offset)
		}
		if utf8.ValidString(input) && (!utf8.ValidString(refused.Input) || strings.Contains(err.Error(), `\x`)) {
			t.Errorf("%s: a rune was cut in two: %s", name, err)
		}
	}
}
