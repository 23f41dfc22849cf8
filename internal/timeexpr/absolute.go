package timeexpr

import "time"

// maxEpoch is the largest number of milliseconds that is accepted, 13 digits.
const maxEpoch = 9_999_999_999_999

const (
	secondsDigits = "9 or 10 digits are seconds, 12 or 13 are milliseconds"
	nothingElse   = "an absolute time takes no offset and no rounding"
	expectClock   = "expected a time of day such as 10:00 or 10:00:00, " + nothingElse
	expectZone    = "expected Z or a zone such as +02:00, " + nothingElse
)

// absoluteStart reports whether the text, which is not empty, is a date or
// bare digits, and where it starts.
func absoluteStart(text string) (start int, ok bool) {
	start = skipSpaces(text, 0)
	end := skip(text, start, isDigit)
	isDate := end-start == 4 && end < len(text) && text[end] == '-'
	isEpoch := end > start && skipSpaces(text, end) == len(text)
	return start, isDate || isEpoch
}

// parseAbsolute reads the date or the bare digits at start.
func parseAbsolute(text string, start int) (time.Time, error) {
	a := &absolute{text: text, pos: start}
	end := skip(text, start, isDigit)
	read := a.dateTime
	if end-start != 4 || end == len(text) || text[end] != '-' {
		read = a.epoch
	}
	t, err := read()
	if err != nil {
		return time.Time{}, err
	}
	if !inRange(t) {
		return time.Time{}, failure(text, start, outOfRange)
	}
	return t, nil
}

// absolute reads an absolute time from left to right.
type absolute struct {
	text string
	pos  int
}

// epoch reads seconds or milliseconds since 1970.
func (a *absolute) epoch() (time.Time, error) {
	start := a.pos
	a.pos = skip(a.text, start, isDigit)
	digits := a.text[start:a.pos]
	value, _ := decimal(digits, maxEpoch)
	switch len(digits) {
	case 9, 10:
		return time.Unix(value, 0).UTC(), nil
	case 12, 13:
		return time.UnixMilli(value).UTC(), nil
	}
	return time.Time{}, failure(a.text, start, "%d digits without a unit, %s", len(digits), secondsDigits)
}

// dateTime reads a date and, if there is one, its clock and zone.
func (a *absolute) dateTime() (time.Time, error) {
	date, err := a.date()
	if err != nil {
		return date, err
	}
	afterDate := a.pos
	spaces := a.skipSpaces()
	if a.atEnd() {
		return date, nil
	}
	if c := a.text[a.pos]; !spaces && (c == 'T' || c == 't') {
		a.pos++
	} else if !spaces || !isDigit(c) {
		return date, failure(a.text, a.pos, "%s, found %s", expectClock, describe(a.text, a.pos))
	}
	clock, err := a.clock(afterDate)
	if err != nil {
		return date, err
	}
	zone, err := a.zone()
	if err != nil {
		return date, err
	}
	// A day and a zone are short: no sum leaves what a time.Time can hold.
	return date.Add(clock - zone), nil
}

// date reads YYYY-MM-DD as midnight in UTC.
func (a *absolute) date() (time.Time, error) {
	y, err := a.digits(4, 1, 9999, "the year")
	if err != nil {
		return time.Time{}, err
	}
	if err := a.literal('-', "a date such as 2026-11-01"); err != nil {
		return time.Time{}, err
	}
	m, err := a.digits(2, 1, 12, "the month")
	if err != nil {
		return time.Time{}, err
	}
	if err := a.literal('-', "a date such as 2026-11-01"); err != nil {
		return time.Time{}, err
	}
	d, err := a.digits(2, 1, daysIn(y, time.Month(m)), "the day")
	if err != nil {
		return time.Time{}, err
	}
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC), nil
}

// clock reads HH:MM, HH:MM:SS or HH:MM:SS.fraction as the time since midnight.
// afterDate is where the date ended: what follows it may be a lost '+'.
func (a *absolute) clock(afterDate int) (time.Duration, error) {
	if digits := skip(a.text, a.pos, isDigit); digits > a.pos && digits < len(a.text) && isLetter(a.text[digits]) {
		hint := ""
		if a.text[afterDate] == ' ' {
			hint = lostPlus
		}
		return 0, failure(a.text, a.pos, "%s%s", expectClock, hint)
	}
	h, err := a.digits(2, 0, 23, "the hour")
	if err != nil {
		return 0, err
	}
	m, err := a.nextPart("the minute")
	if err != nil {
		return 0, err
	}
	clock := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	if a.atEnd() || a.text[a.pos] != ':' {
		return clock, nil
	}
	s, err := a.nextPart("the second")
	if err != nil {
		return 0, err
	}
	fraction, err := a.fraction()
	return clock + time.Duration(s)*time.Second + fraction, err
}

// nextPart reads a colon and two digits below 60.
func (a *absolute) nextPart(name string) (int, error) {
	if err := a.literal(':', "a time of day such as 10:00 or 10:00:00"); err != nil {
		return 0, err
	}
	return a.digits(2, 0, 59, name)
}

// fraction reads an optional fraction of a second, cut to microseconds.
func (a *absolute) fraction() (time.Duration, error) {
	if a.atEnd() || a.text[a.pos] != '.' {
		return 0, nil
	}
	a.pos++
	end := skip(a.text, a.pos, isDigit)
	if end == a.pos {
		return 0, failure(a.text, a.pos, "expected a digit after '.', found %s", describe(a.text, a.pos))
	}
	fraction, unit := time.Duration(0), 100*time.Millisecond
	for ; a.pos < end; a.pos++ {
		if unit >= time.Microsecond {
			fraction += time.Duration(a.text[a.pos]-'0') * unit
		}
		unit /= 10
	}
	return fraction, nil
}

// zone reads an optional zone up to the end of the text, as its distance from
// UTC.
func (a *absolute) zone() (time.Duration, error) {
	spaceBefore := a.pos < len(a.text) && a.text[a.pos] == ' '
	a.skipSpaces()
	if a.atEnd() {
		return 0, nil
	}
	switch c := a.text[a.pos]; {
	case c == 'Z' || c == 'z':
		a.pos++
		return 0, a.end()
	case c == '+' || c == '-':
		return a.numericZone(c == '-')
	case isDigit(c) && spaceBefore:
		return 0, failure(a.text, a.pos, "a zone needs its '+' or '-'%s", lostPlus)
	}
	return 0, failure(a.text, a.pos, "%s, found %s", expectZone, describe(a.text, a.pos))
}

// numericZone reads the sign, HH:MM and the end of the text.
func (a *absolute) numericZone(west bool) (time.Duration, error) {
	sign := a.pos
	a.pos++
	if digits := skip(a.text, a.pos, isDigit); digits-a.pos != 2 || digits == len(a.text) || a.text[digits] != ':' {
		return 0, failure(a.text, sign, "%s", expectZone)
	}
	h, err := a.digits(2, 0, 23, "the zone's hour")
	if err != nil {
		return 0, err
	}
	m, err := a.nextPart("the zone's minute")
	if err != nil {
		return 0, err
	}
	zone := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	if west {
		zone = -zone
	}
	return zone, a.end()
}

// digits reads exactly count digits whose value lies between least and most.
func (a *absolute) digits(count, least, most int, name string) (int, error) {
	start := a.pos
	end := skip(a.text, start, isDigit)
	if end-start < count {
		return 0, failure(a.text, end, "%s needs %d digits, found %s", name, count, describe(a.text, end))
	}
	if end-start > count {
		return 0, failure(a.text, start+count, "%s has only %d digits", name, count)
	}
	n, ok := decimal(a.text[start:end], int64(most))
	if !ok || n < int64(least) {
		return 0, failure(a.text, start, "%s must be from %d to %d", name, least, most)
	}
	a.pos = end
	return int(n), nil
}

// literal reads the one character c, part of what is described by form.
func (a *absolute) literal(c byte, form string) error {
	if a.atEnd() || a.text[a.pos] != c {
		return failure(a.text, a.pos, "expected %q in %s, found %s", c, form, describe(a.text, a.pos))
	}
	a.pos++
	return nil
}

// end refuses anything but spaces up to the end of the text.
func (a *absolute) end() error {
	a.skipSpaces()
	if !a.atEnd() {
		return failure(a.text, a.pos, "unexpected %s, %s", describe(a.text, a.pos), nothingElse)
	}
	return nil
}

// skipSpaces reports whether there were any.
func (a *absolute) skipSpaces() bool {
	start := a.pos
	a.pos = skipSpaces(a.text, a.pos)
	return a.pos > start
}

func (a *absolute) atEnd() bool { return a.pos >= len(a.text) }
