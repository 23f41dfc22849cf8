package timeexpr_test

import (
	"errors"
	"strings"
	"testing"

	"auditquery.dev/auditquery/internal/timeexpr"
)

// plusHint is in the message where a '+' may have become a space.
const plusHint = "%2B"

// refused is an expression with the place and part of its error's message.
type refused struct {
	input      string
	now        string
	wantOffset int
	want       string
	wantPlus   bool
}

func runRefused(t *testing.T, tests map[string]refused) {
	t.Helper()
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			reading := tc.now
			if reading == "" {
				reading = clock
			}
			got, err := timeexpr.Parse(tc.input, instant(t, reading))
			e, ok := errors.AsType[*timeexpr.Error](err)
			if !ok {
				t.Fatalf("Parse(%q) = %s, %v, want an *Error", tc.input, got, err)
			}
			if !got.IsZero() {
				t.Errorf("Parse(%q) gave %s beside its error", tc.input, got)
			}
			if e.Input != tc.input || e.Offset != tc.wantOffset {
				t.Errorf("Parse(%q): input %q offset %d, want offset %d", tc.input, e.Input, e.Offset, tc.wantOffset)
			}
			if !strings.Contains(e.Message, tc.want) {
				t.Errorf("Parse(%q): message %q, want %q in it", tc.input, e.Message, tc.want)
			}
			if strings.Contains(e.Message, plusHint) != tc.wantPlus {
				t.Errorf("Parse(%q): message %q, want a hint about '+': %t", tc.input, e.Message, tc.wantPlus)
			}
		})
	}
}

func TestParseRefusesRelative(t *testing.T) {
	runRefused(t, map[string]refused{
		"nothing":                              {input: "", wantOffset: 0, want: "no time given"},
		"spaces alone":                         {input: "  \t", wantOffset: 3, want: "no time given"},
		"an unknown word":                      {input: "noon", wantOffset: 0, want: `unknown word "noon"`},
		"a word cut in two":                    {input: "n ow", wantOffset: 0, want: `unknown word "n"`},
		"words run together":                   {input: "nownow", wantOffset: 0, want: `unknown word "nownow"`},
		"two words":                            {input: "now today", wantOffset: 4, want: "expected '+' or '-'"},
		"a plus that became a space":           {input: "now 1day", wantOffset: 4, want: "its own '+' or '-'", wantPlus: true},
		"three pluses that became spaces":      {input: "now   1 day", wantOffset: 6, want: "its own '+' or '-'", wantPlus: true},
		"a plus lost after a minus":            {input: "now-1day 2hours", wantOffset: 9, want: "its own '+' or '-'", wantPlus: true},
		"a plus lost after a rounding":         {input: "now/d 8h", wantOffset: 6, want: "its own '+' or '-'", wantPlus: true},
		"a plus lost after an anchor":          {input: "today 8h", wantOffset: 6, want: "its own '+' or '-'", wantPlus: true},
		"a plus lost in front":                 {input: " 1d", wantOffset: 0, want: "a space before a duration", wantPlus: true},
		"a tab was never a plus":               {input: "now\t1d", wantOffset: 4, want: "its own '+' or '-'"},
		"one sign for two offsets":             {input: "now-2h30m", wantOffset: 6, want: "its own '+' or '-'"},
		"a sign in front":                      {input: "-1d", wantOffset: 0, want: "write now-"},
		"a plus in front":                      {input: "+1d", wantOffset: 0, want: "write now+"},
		"a sign without number":                {input: "now-", wantOffset: 4, want: "expected a number, found the end"},
		"a sign and a unit":                    {input: "now-d", wantOffset: 4, want: `expected a number, found "d"`},
		"two signs":                            {input: "now+-1d", wantOffset: 4, want: `expected a number, found "-"`},
		"a number without unit":                {input: "now-1", wantOffset: 5, want: "expected a unit"},
		"a number cut in two":                  {input: "now-1 0d", wantOffset: 6, want: "expected a unit"},
		"an unknown unit":                      {input: "now-1fortnight", wantOffset: 5, want: `unknown unit "fortnight"`},
		"milliseconds":                         {input: "now-1ms", wantOffset: 5, want: `unknown unit "ms"`},
		"a capital D":                          {input: "now-1D", wantOffset: 5, want: "upper and lower case differ"},
		"a capital H, as in Elasticsearch":     {input: "now-1H", wantOffset: 5, want: "upper and lower case differ"},
		"a capital S":                          {input: "now-1S", wantOffset: 5, want: "upper and lower case differ"},
		"a capital W in a rounding":            {input: "now/W", wantOffset: 4, want: "upper and lower case differ"},
		"a capital Y in a duration":            {input: "1Y", wantOffset: 1, want: "upper and lower case differ"},
		"a plural of one letter":               {input: "now-2ds", wantOffset: 5, want: `unknown unit "ds"`},
		"a plural twice":                       {input: "now-2dayss", wantOffset: 5, want: `unknown unit "dayss"`},
		"a rounding without unit":              {input: "now/", wantOffset: 4, want: "expected a unit"},
		"a rounding with a number":             {input: "now/1d", wantOffset: 4, want: "without a number"},
		"a rounding alone":                     {input: "/d", wantOffset: 0, want: "expected now"},
		"a fraction":                           {input: "now-1.5h", wantOffset: 5, want: "numbers are whole"},
		"a comma":                              {input: "now,", wantOffset: 3, want: "unexpected ','"},
		"an offset of an absolute, as || does": {input: "now||-1d", wantOffset: 3, want: "unexpected '|'"},
		"a typographic minus":                  {input: "now−1d", wantOffset: 3, want: "unexpected '−'"},
		"a no-break space":                     {input: "now\u00a0-1d", wantOffset: 3, want: `unexpected '\u00a0'`},
		"a line break":                         {input: "now\n", wantOffset: 3, want: `unexpected '\n'`},
		"a zero byte":                          {input: "now\x00", wantOffset: 3, want: `unexpected '\x00'`},
		"broken UTF-8":                         {input: "now-1\xffd", wantOffset: 5, want: "unexpected byte 0xff"},
		"a long s is not an s":                 {input: "now-1ſ", wantOffset: 5, want: "unexpected 'ſ'"},
		"Arabic digits":                        {input: "now-١d", wantOffset: 4, want: "unexpected '١'"},
		"a text encoded twice":                 {input: "now%2B1d", wantOffset: 3, want: "URL-encoded twice"},
		"a duration with a sign":               {input: "2h-30m", wantOffset: 2, want: "a bare duration takes no"},
		"a duration with a rounding":           {input: "1d/d", wantOffset: 2, want: "a bare duration takes no"},
		"a duration that ends early":           {input: "2h30", wantOffset: 4, want: "expected a unit"},
		"a duration with a word":               {input: "2h ago", wantOffset: 3, want: `expected a number, found "ago"`},
		"the leftmost fault is the one named":  {input: "now 1day ???", wantOffset: 4, want: "its own '+' or '-'", wantPlus: true},
	})
}

func TestParseRefusesAbsolute(t *testing.T) {
	runRefused(t, map[string]refused{
		"February 29 of a common year":          {input: "2026-02-29", wantOffset: 8, want: "the day must be from 1 to 28"},
		"February 29 of 1900":                   {input: "1900-02-29", wantOffset: 8, want: "from 1 to 28"},
		"February 30 of a leap year":            {input: "2028-02-30", wantOffset: 8, want: "from 1 to 29"},
		"day 31 of a short month":               {input: "2026-11-31", wantOffset: 8, want: "from 1 to 30"},
		"day 0":                                 {input: "2026-11-00", wantOffset: 8, want: "the day must be"},
		"month 13":                              {input: "2026-13-01", wantOffset: 5, want: "the month must be from 1 to 12"},
		"month 0":                               {input: "2026-00-01", wantOffset: 5, want: "the month must be"},
		"year 0":                                {input: "0000-01-01", wantOffset: 0, want: "the year must be from 1 to 9999"},
		"a month of one digit":                  {input: "2026-1-1", wantOffset: 6, want: "the month needs 2 digits"},
		"a date without day":                    {input: "2026-11", wantOffset: 7, want: "expected '-'"},
		"a date with slashes":                   {input: "2026/11/01", wantOffset: 4, want: "expected a unit"},
		"a day of three digits":                 {input: "2026-11-011", wantOffset: 10, want: "only 2 digits"},
		"a year of five digits":                 {input: "12026-11-01", wantOffset: 5, want: "expected a unit"},
		"spaces inside a date":                  {input: "2026-11 -01", wantOffset: 7, want: "expected '-'"},
		"a T without clock":                     {input: "2026-11-01T", wantOffset: 11, want: "the hour needs 2 digits"},
		"a T after a space":                     {input: "2026-11-01 T10:00", wantOffset: 11, want: "expected a time of day"},
		"an hour alone":                         {input: "2026-11-01T10", wantOffset: 13, want: "expected ':'"},
		"hour 24":                               {input: "2026-11-01T24:00", wantOffset: 11, want: "the hour must be from 0 to 23"},
		"minute 60":                             {input: "2026-11-01T10:60", wantOffset: 14, want: "the minute must be from 0 to 59"},
		"a leap second":                         {input: "2026-12-31T23:59:60Z", wantOffset: 17, want: "the second must be from 0 to 59"},
		"a minute of one digit":                 {input: "2026-11-01 10:0", wantOffset: 15, want: "the minute needs 2 digits"},
		"a fraction without digits":             {input: "2026-11-01T10:00:00.Z", wantOffset: 20, want: "expected a digit after '.'"},
		"a fraction after a comma":              {input: "2026-11-01T10:00:00,5Z", wantOffset: 19, want: "expected Z or a zone"},
		"a fraction of a minute":                {input: "2026-11-01T10:00.5Z", wantOffset: 16, want: "expected Z or a zone"},
		"a zone whose plus became a space":      {input: "2026-11-01T10:00:00 02:00", wantOffset: 20, want: "a zone needs its", wantPlus: true},
		"the same after a fraction":             {input: "2026-11-01 10:00:00.5 02:00", wantOffset: 22, want: "a zone needs its", wantPlus: true},
		"a zone without colon":                  {input: "2026-11-01T10:00:00+0200", wantOffset: 19, want: "expected Z or a zone"},
		"a zone by name":                        {input: "2026-11-01T10:00:00 UTC", wantOffset: 20, want: "expected Z or a zone"},
		"a zone of 24 hours":                    {input: "2026-11-01T10:00:00+24:00", wantOffset: 20, want: "the zone's hour must be"},
		"a zone of 60 minutes":                  {input: "2026-11-01T10:00:00+01:60", wantOffset: 23, want: "the zone's minute must be"},
		"a zone on a date":                      {input: "2026-11-01Z", wantOffset: 10, want: "expected a time of day"},
		"a signed zone on a date":               {input: "2026-11-01+02:00", wantOffset: 10, want: "expected a time of day"},
		"text after a Z":                        {input: "2026-11-01T10:00:00Z now", wantOffset: 21, want: "unexpected 'n'"},
		"an offset after a date":                {input: "2026-11-01-1d", wantOffset: 10, want: "takes no offset"},
		"an offset whose plus became a space":   {input: "2026-11-01 1d", wantOffset: 11, want: "takes no offset", wantPlus: true},
		"the same after a tab":                  {input: "2026-11-01\t1d", wantOffset: 11, want: "takes no offset"},
		"an offset after a T":                   {input: "2026-11-01T1d", wantOffset: 11, want: "takes no offset"},
		"an offset after a clock":               {input: "2026-11-01T10:00:00+2h", wantOffset: 19, want: "takes no offset"},
		"a rounding after a date":               {input: "2026-11-01/d", wantOffset: 10, want: "no rounding"},
		"date math of Elasticsearch":            {input: "2026-11-01||/M", wantOffset: 10, want: "no rounding"},
		"one digit":                             {input: "5", wantOffset: 0, want: "1 digits without a unit"},
		"a year alone":                          {input: "2026", wantOffset: 0, want: "4 digits without a unit"},
		"eight digits":                          {input: "20261101", wantOffset: 0, want: "8 digits without a unit"},
		"eleven digits, neither":                {input: "17935272001", wantOffset: 0, want: "11 digits without a unit"},
		"fourteen digits":                       {input: "20261101100000", wantOffset: 0, want: "14 digits without a unit"},
		"microseconds":                          {input: "1793527200123456", wantOffset: 0, want: "16 digits without a unit"},
		"two hundred digits":                    {input: strings.Repeat("9", 200), wantOffset: 0, want: "200 digits without a unit"},
		"seconds before 1970":                   {input: "-1793527200", wantOffset: 0, want: "nothing before the sign"},
		"seconds with a fraction":               {input: "1793527200.5", wantOffset: 10, want: "unexpected '.'"},
		"a clock alone":                         {input: "10:00", wantOffset: 2, want: "unexpected ':'"},
		"the zero time, which is the open end":  {input: "0001-01-01", wantOffset: 0, want: "outside the years"},
		"a zone that leads before year 1":       {input: "0001-01-01T01:00:00+02:00", wantOffset: 0, want: "outside the years"},
		"a zone that leads beyond year 9999":    {input: "9999-12-31T23:00:00-02:00", wantOffset: 0, want: "outside the years"},
		"an absolute time inside a longer text": {input: "from 2026-11-01", wantOffset: 0, want: `unknown word "from"`},
	})
}

func TestParseRefusesWhatIsOutOfRange(t *testing.T) {
	runRefused(t, map[string]refused{
		"a number above the largest":         {input: "now-1000000000000s", wantOffset: 4, want: "larger than 999999999999"},
		"a number of two hundred digits":     {input: "now-" + strings.Repeat("9", 200) + "d", wantOffset: 4, want: "larger than"},
		"2^63 in a duration":                 {input: "9223372036854775808s", wantOffset: 0, want: "larger than"},
		"2^64 and one":                       {input: "now+18446744073709551617d", wantOffset: 4, want: "larger than"},
		"the largest number of seconds":      {input: "now+999999999999s", wantOffset: 3, want: "outside the years"},
		"the largest number of minutes":      {input: "now-999999999999m", wantOffset: 3, want: "outside the years"},
		"the largest number of hours":        {input: "now+999999999999h", wantOffset: 3, want: "outside the years"},
		"the largest number of days":         {input: "now-999999999999d", wantOffset: 3, want: "outside the years"},
		"the largest number of weeks":        {input: "now+999999999999w", wantOffset: 3, want: "outside the years"},
		"the largest number of months":       {input: "now-999999999999M", wantOffset: 3, want: "outside the years"},
		"the largest number of years":        {input: "now+999999999999y", wantOffset: 3, want: "outside the years"},
		"years beyond a 32-bit integer":      {input: "now+4294967296y", wantOffset: 3, want: "outside the years"},
		"years that wrap a 64-bit second":    {input: "now+584554049254y", wantOffset: 3, want: "outside the years"},
		"months that wrap a 64-bit second":   {input: "now-876831073881M", wantOffset: 3, want: "outside the years"},
		"there and back again":               {input: "now+9000y-9000y", wantOffset: 3, want: "outside the years"},
		"the step that went too far":         {input: "now-1d-9000y+1d", wantOffset: 6, want: "outside the years"},
		"a month before year 1":              {input: "now-1M", now: "0001-01-15T00:00:00Z", wantOffset: 3, want: "outside the years"},
		"a month after year 9999":            {input: "now+1M", now: "9999-12-15T00:00:00Z", wantOffset: 3, want: "outside the years"},
		"tomorrow of the last day":           {input: "tomorrow", now: "9999-12-31T10:00:00Z", wantOffset: 0, want: "outside the years"},
		"a rounding to the zero time":        {input: "now/d", now: "0001-01-01T10:00:00Z", wantOffset: 3, want: "outside the years"},
		"a week's rounding to the zero time": {input: "now/w", now: "0001-01-03T10:00:00Z", wantOffset: 3, want: "outside the years"},
		"a clock that was never set":         {input: " now", now: "0001-01-01T00:00:00Z", wantOffset: 1, want: "the clock is outside"},
		"the clock of a bare duration":       {input: "1d", now: "0001-01-01T00:00:00Z", wantOffset: 0, want: "the clock is outside"},
	})
}

// The whole text of an error is one line that points, explains and helps.
func TestErrorText(t *testing.T) {
	tests := map[string]struct {
		input string
		want  string
	}{
		"the caret stands before the offending character": {
			input: "now 1day",
			want:  `invalid time "now ^1day" at offset 4: every offset needs its own '+' or '-'; if this was`,
		},
		"the caret stands at the end where something is missing": {
			input: "now-",
			want:  `invalid time "now-^" at offset 4: expected a number, found the end of the text; accepted: now-1day`,
		},
		"a lost zone": {
			input: "2026-11-01T10:00:00 02:00",
			want:  `invalid time "2026-11-01T10:00:00 ^02:00" at offset 20: a zone needs its '+' or '-'; if this was`,
		},
		"a long text is cut on both sides": {
			input: "now" + strings.Repeat("+1d", 20) + "?" + strings.Repeat("+1d", 20),
			want:  `invalid time "...1d+1d+1d+1d+1d+1d+1d+1d+1d+1d+1d^?+1d+1d+1d+1d+1d..." at offset 63: unexpected '?'`,
		},
		"wide runes are not cut in two": {
			input: strings.Repeat("€", 30),
			want:  `invalid time "^€€€€€..." at offset 0: unexpected '€'`,
		},
		"control characters and quotes are escaped": {
			input: "now\n\"\x1b[31m",
			want:  `invalid time "now^\n\"\x1b[31m" at offset 3: unexpected '\n'`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := timeexpr.Parse(tc.input, instant(t, clock))
			if err == nil {
				t.Fatalf("Parse(%q) was accepted", tc.input)
			}
			got := err.Error()
			if !strings.HasPrefix(got, tc.want) {
				t.Errorf("got  %s\nwant %s...", got, tc.want)
			}
			if !strings.HasSuffix(got, "; accepted: "+timeexpr.AcceptedForms) || strings.ContainsAny(got, "\n\r\x1b") {
				t.Errorf("not one line that ends with the accepted forms: %q", got)
			}
		})
	}
}
