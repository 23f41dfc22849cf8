// Package timeexpr turns the time expressions of a query, such as
// "now-1day/d", "2h30m" or "2026-11-01 10:00", into instants.
//
// The clock reading is an argument, so the same text with the same reading
// always gives the same instant: a query resolves both of its ends once, with
// [ParseWindow], and carries the result from page to page.
//
// # Grammar
//
//	expression = relative | duration | absolute .
//
//	relative   = anchor { offset | rounding } .
//	anchor     = "now" | "today" | "yesterday" | "tomorrow" .
//	offset     = ( "+" | "-" ) number unit .
//	rounding   = "/" unit .
//
//	duration   = number unit { number unit } .
//	number     = digit { digit } .
//	unit       = "second" | "sec" | "minute" | "min" | "hour" | "day" | "week"
//	           | "month" | "mo" | "year"              (each also with a final "s")
//	           | "s" | "m" | "h" | "d" | "w" | "M" | "y" .
//
//	absolute   = date [ ( "T" | space { space } ) clock [ zone ] ] | epoch .
//	date       = year "-" month "-" day               (4, 2 and 2 digits) .
//	clock      = hour ":" minute [ ":" second [ "." digit { digit } ] ]   (2 digits each) .
//	zone       = "Z" | ( "+" | "-" ) hour ":" minute .
//	epoch      = 9 or 10 digits (seconds) | 12 or 13 digits (milliseconds) .
//
// Words of two or more letters, "T" and "Z" ignore case. One-letter units do
// not: "m" is a minute and "M" a month, and "D" is an error. Spaces and tabs
// may stand at either end and between any two tokens; a date and a clock are
// one token each. A space in front of a bare duration is the one exception,
// see "The lost plus".
//
// # Meaning
//
// Everything is UTC; no step knows daylight saving, so a day is 24 hours.
//
//   - "today", "yesterday" and "tomorrow" are midnights.
//   - Offsets and roundings apply from left to right, so "now/d-1h" is 23:00
//     of yesterday and "now-1h/d" is the midnight before one hour ago.
//   - Months and years keep the day of the month, clamped to the month's end,
//     at every step: January 31 "+1M" is the last day of February, and "+1M+1M"
//     the same day in March.
//   - Rounding goes down to the start of the unit. Weeks start on Monday.
//   - A bare duration is that long before now: "1M2d" is "now-1M-2d".
//   - A date without clock is its midnight. A clock without zone is UTC.
//   - Results have microsecond precision; what is finer is cut off.
//
// # Bounds
//
// A text has at most [MaxLength] bytes, a number is at most [MaxNumber]. The
// result, and the instant after every step, lies after the first instant of
// year 1 (the zero [time.Time], which [Window] uses for an open end) and before
// year 10000. What falls outside is an error; nothing wraps around.
//
// # The lost plus
//
// In a URL query a plain '+' arrives as a space. Where that could change the
// meaning the text is refused, and the error says how to write it (%2B):
// "now 1day", "now-1day 2h", "2026-11-01T10:00:00 02:00", and " 1d", which may
// have been "+1d". For the same reason one sign never covers two offsets.
//
// # Errors
//
// Every error is an [*Error]. It holds the text, the byte offset of what was
// wrong and a message, and prints as one line.
package timeexpr
