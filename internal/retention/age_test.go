package retention_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/retention"
)

// age reads an age that a test is sure of; empty is none.
func age(text string) retention.Age {
	var a retention.Age
	if err := a.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return a
}

// moment reads an instant that a test is sure of.
func moment(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	panic("not a moment: " + text)
}

func TestParseAge(t *testing.T) {
	cases := map[string]struct {
		text   string
		wantOK bool
	}{
		"days":                              {"400d", true},
		"months":                            {"13mo", true},
		"years":                             {"7y", true},
		"the smallest":                      {"1d", true},
		"the greatest":                      {"99999y", true},
		"more than the greatest":            {"100000d", false},
		"more than any number can be":       {"99999999999999999999d", false},
		"nothing":                           {"", false},
		"no unit":                           {"400", false},
		"no number":                         {"mo", false},
		"zero":                              {"0d", false},
		"a leading zero":                    {"07y", false},
		"a sign":                            {"+7y", false},
		"a negative number":                 {"-7y", false},
		"a space":                           {"7 y", false},
		"a fraction":                        {"1.5y", false},
		"two spans":                         {"1y6mo", false},
		"minutes, which m would be":         {"5m", false},
		"a capital":                         {"7Y", false},
		"a separator of thousands":          {"1_000d", false},
		"digits of another script":          {"٧y", false},
		"a very long text that is not one":  {string(make([]byte, 1000)), false},
		"hours, which no policy may ask of": {"24h", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a, err := retention.ParseAge(c.text)
			if (err == nil) != c.wantOK {
				t.Fatalf("ParseAge(%q) gives %v, %v", c.text, a, err)
			}
			if err != nil {
				if len(err.Error()) > 300 {
					t.Errorf("the error has %d bytes", len(err.Error()))
				}
				return
			}
			if a.String() != c.text || a.IsZero() {
				t.Errorf("%q reads as %q", c.text, a)
			}
		})
	}
}

func TestBefore(t *testing.T) {
	cases := map[string]struct{ now, age, want string }{
		"days are 24 hours":                          {"2026-03-30T10:20:30.123456Z", "1d", "2026-03-29T10:20:30.123456Z"},
		"400 days go over a leap day":                {"2024-12-31", "400d", "2023-11-27"},
		"13 months are a year and a month":           {"2026-11-24T08:00:00Z", "13mo", "2025-10-24T08:00:00Z"},
		"a month before the 31st is the last":        {"2026-03-31T23:59:59Z", "1mo", "2026-02-28T23:59:59Z"},
		"and in a leap year the 29th":                {"2024-03-31", "1mo", "2024-02-29"},
		"a month before the 30th of April":           {"2026-04-30", "1mo", "2026-03-30"},
		"a year before a leap day":                   {"2024-02-29", "1y", "2023-02-28"},
		"four years before a leap day":               {"2024-02-29", "4y", "2020-02-29"},
		"four years over 1900, which was none":       {"1904-02-29", "4y", "1900-02-28"},
		"12 months are a year":                       {"2024-02-29", "12mo", "2023-02-28"},
		"months go over the turn of years":           {"2026-01-15", "25mo", "2023-12-15"},
		"another zone is turned into UTC before":     {"2026-03-31T23:30:00-02:00", "1mo", "2026-03-01T01:30:00Z"},
		"microseconds stay":                          {"2026-03-31T00:00:00.000001Z", "1y", "2025-03-31T00:00:00.000001Z"},
		"28 March stays on 28 February":              {"2026-03-28T23:00:00Z", "1mo", "2026-02-28T23:00:00Z"},
		"on 29 March the day begins anew, on the 28": {"2026-03-29T00:00:00Z", "1mo", "2026-02-28T00:00:00Z"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := age(c.age).Before(moment(c.now))
			if !got.Equal(moment(c.want)) || got.Location() != time.UTC {
				t.Errorf("%s before %s is %s, want %s", c.age, c.now, got, c.want)
			}
		})
	}
}

func TestTheGreatestAgesAreBeforeEveryRecord(t *testing.T) {
	for _, text := range []string{"99999y", "99999mo"} {
		if got := age(text).Before(moment("2026-11-24")); got.Year() > 0 {
			t.Errorf("%s ago was %s", text, got)
		}
	}
}

// TestSpansAgreeWithEveryDayOfTheCalendar goes through a whole cycle of 400 years.
func TestSpansAgreeWithEveryDayOfTheCalendar(t *testing.T) {
	texts := []string{
		"1d", "400d", "1mo", "2mo", "3mo", "7mo", "11mo", "12mo", "13mo", "18mo", "1y", "2y", "4y", "7y", "10y",
		"100y", "399y", "400y", "401y", "4801mo",
	}
	start := moment("2000-01-01")
	for _, text := range texts {
		a := age(text)
		shortest, longest := 1<<60, 0
		for day := range 146_097 {
			now := start.AddDate(0, 0, day)
			then := a.Before(now)
			n := int((now.Unix() - then.Unix()) / (24 * 60 * 60))
			shortest, longest = min(shortest, n), max(longest, n)
		}
		if diff := cmp.Diff([]int{shortest, longest}, []int{a.Shortest(), a.Longest()}); diff != "" {
			t.Errorf("shortest and longest of %s (-brute force +got):\n%s", text, diff)
		}
	}
}

func TestCovers(t *testing.T) {
	cases := map[string]struct {
		a, b string
		want bool
	}{
		"the same":                                     {"400d", "400d", true},
		"more days":                                    {"401d", "400d", true},
		"fewer days":                                   {"399d", "400d", false},
		"12 months are a year":                         {"12mo", "1y", true},
		"and a year is 12 months":                      {"1y", "12mo", true},
		"11 months are less":                           {"11mo", "1y", false},
		"365 days are not always a year":               {"365d", "1y", false},
		"366 days are":                                 {"366d", "1y", true},
		"a year is always 365 days":                    {"1y", "365d", true},
		"and not always 366":                           {"1y", "366d", false},
		"a month is not always 29 days":                {"1mo", "29d", false},
		"but always 28":                                {"1mo", "28d", true},
		"13 months are always 396 days":                {"13mo", "393d", true},
		"7 years are always 2556 days":                 {"7y", "2555d", true},
		"2557 days are always 7 years":                 {"2557d", "7y", true},
		"2556 days are not":                            {"2556d", "7y", false},
		"anything covers none":                         {"1d", "", true},
		"none covers none":                             {"", "", true},
		"none covers nothing else":                     {"", "1d", false},
		"the greatest months and years are comparable": {"99999y", "99999mo", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := age(c.a).Covers(age(c.b)); got != c.want {
				t.Errorf("%s covers %s: %v", c.a, c.b, got)
			}
		})
	}
}

func TestProfiles(t *testing.T) {
	want := map[string]string{"pci-dss": "12mo", "hipaa": "6y", "sox": "7y"}
	got := map[string]string{}
	for _, name := range retention.Profiles() {
		a, ok := retention.Profile(name)
		if !ok {
			t.Errorf("%s is listed and not known", name)
		}
		got[name] = a.String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("profiles (-want +got):\n%s", diff)
	}
	if a, ok := retention.Profile("gdpr"); ok || !a.IsZero() {
		t.Errorf("an unknown profile gives %v", a)
	}
}

func FuzzParseAge(f *testing.F) {
	for _, seed := range []string{"", "400d", "13mo", "7y", "99999y", "0d", "-1d", "1m", "1_0d", "y"} {
		f.Add(seed)
	}
	now := moment("2026-03-31T12:00:00Z")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := retention.ParseAge(text)
		if err != nil {
			if !a.IsZero() {
				t.Fatalf("%q gives %v and an error", text, a)
			}
			return
		}
		if a.String() != text {
			t.Fatalf("%q reads as %q", text, a)
		}
		n := int((now.Unix() - a.Before(now).Unix()) / (24 * 60 * 60))
		if n < a.Shortest() || n > a.Longest() {
			t.Fatalf("%s before %s are %d days, not between %d and %d", a, now, n, a.Shortest(), a.Longest())
		}
	})
}
