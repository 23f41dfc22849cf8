package timeexpr_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/timeexpr"
)

const rounds = 2_000

// eachReading calls check with readings of the years 1000 to 8999 in several
// zones, the same ones in every run.
func eachReading(t *testing.T, check func(r *rand.Rand, now time.Time)) {
	t.Helper()
	first := time.Date(1000, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
	last := time.Date(9000, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
	r := rand.New(rand.NewPCG(1, 2))
	for range rounds {
		zone := time.FixedZone("", (r.IntN(27)-13)*3600)
		check(r, time.Unix(first+r.Int64N(last-first), r.Int64N(1e9)).In(zone))
	}
}

func mustParse(t *testing.T, text string, now time.Time) time.Time {
	t.Helper()
	got, err := timeexpr.Parse(text, now)
	if err != nil {
		t.Fatalf("Parse(%q, %s): %v", text, now, err)
	}
	return got
}

func TestNowIsTheReadingCutToMicroseconds(t *testing.T) {
	eachReading(t, func(_ *rand.Rand, now time.Time) {
		if got := mustParse(t, "now", now); got != now.UTC().Truncate(time.Microsecond) {
			t.Fatalf("now at %s = %s", now, got)
		}
	})
}

func TestRoundingGoesDownAndRepeatsWithoutEffect(t *testing.T) {
	longest := map[string]time.Duration{
		"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
		"w": 7 * 24 * time.Hour, "M": 31 * 24 * time.Hour, "y": 366 * 24 * time.Hour,
	}
	eachReading(t, func(_ *rand.Rand, now time.Time) {
		for unit, length := range longest {
			once := mustParse(t, "now/"+unit, now)
			if once.After(now) || !once.Add(length).After(now) {
				t.Fatalf("now/%s at %s = %s", unit, now, once)
			}
			if twice := mustParse(t, "now/"+unit+"/"+unit, now); twice != once {
				t.Fatalf("now/%s twice at %s = %s, once %s", unit, now, twice, once)
			}
		}
	})
}

func TestWeeksStartOnMonday(t *testing.T) {
	eachReading(t, func(_ *rand.Rand, now time.Time) {
		got := mustParse(t, "now/w", now)
		wantYear, wantWeek := now.UTC().ISOWeek()
		if y, w := got.ISOWeek(); got.Weekday() != time.Monday || y != wantYear || w != wantWeek {
			t.Fatalf("now/w at %s = %s", now, got)
		}
	})
}

func TestFixedOffsetsAreUndoneByTheirOpposite(t *testing.T) {
	eachReading(t, func(r *rand.Rand, now time.Time) {
		for _, unit := range []string{"s", "m", "h", "d", "w"} {
			n := r.Int64N(50_000)
			text := fmt.Sprintf("now+%d%s-%d%s", n, unit, n, unit)
			if got := mustParse(t, text, now); got != now.UTC().Truncate(time.Microsecond) {
				t.Fatalf("%s at %s = %s", text, now, got)
			}
		}
	})
}

func TestMonthsMoveTheCalendarAndNeverOverflowIntoTheNext(t *testing.T) {
	eachReading(t, func(r *rand.Rand, now time.Time) {
		n := r.IntN(24_000) - 12_000
		sign, count := "+", n
		if n < 0 {
			sign, count = "-", -n
		}
		text := fmt.Sprintf("now%s%dM", sign, count)
		at, err := timeexpr.Parse(text, now)
		if err != nil {
			return // left the range, which the tables test
		}
		before := now.UTC()
		moved := (at.Year()-before.Year())*12 + int(at.Month()) - int(before.Month())
		isLast := at.AddDate(0, 0, 1).Day() == 1
		if moved != n || at.Day() > before.Day() || (at.Day() < before.Day() && !isLast) {
			t.Fatalf("%s at %s = %s", text, now, at)
		}
	})
}

func TestADurationIsItsNegatedOffsets(t *testing.T) {
	eachReading(t, func(r *rand.Rand, now time.Time) {
		bare, signed := "", "now"
		for range 1 + r.IntN(4) {
			amount := fmt.Sprintf("%d%c", r.IntN(100), "smhdwMy"[r.IntN(7)])
			bare, signed = bare+amount, signed+"-"+amount
		}
		if a, b := mustParse(t, bare, now), mustParse(t, signed, now); a != b {
			t.Fatalf("%s = %s but %s = %s", bare, a, signed, b)
		}
	})
}

func TestFormattedTimesAreReadBack(t *testing.T) {
	eachReading(t, func(_ *rand.Rand, now time.Time) {
		cut := now.Truncate(time.Microsecond)
		for layout, want := range map[string]time.Time{
			time.RFC3339Nano:                    cut.UTC(),
			"2006-01-02 15:04:05.000000 Z07:00": cut.UTC(),
			time.RFC3339:                        cut.UTC().Truncate(time.Second),
			"2006-01-02T15:04Z07:00":            cut.UTC().Truncate(time.Minute),
		} {
			if got := mustParse(t, cut.Format(layout), time.Unix(0, 0)); got != want {
				t.Fatalf("%s = %s, want %s", cut.Format(layout), got, want)
			}
		}
	})
}

// FuzzParse holds every answer to what the package promises.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"now", "today", "YESTERDAY", "now-1day+2h/d", "now 1day", "2h30m", " 1d", "now/w-1M", "now-999999999999y",
		"2026-11-01", "2026-11-01 10:00", "2026-11-01T10:00:00.123456789+02:00", "2026-11-01T10:00:00 02:00",
		"2028-02-29", "1793527200", "1793527200123", "0001-01-01", "9999-12-31T23:59:59-00:01", "now\xff", "€", "",
	} {
		f.Add(text, int64(1_793_527_200), int64(123_456_789))
	}
	f.Fuzz(func(t *testing.T, text string, seconds, nanoseconds int64) {
		now := time.Unix(seconds, nanoseconds%1e9)
		got, err := timeexpr.Parse(text, now)
		again, errAgain := timeexpr.Parse(text, now)
		if got != again || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("Parse(%q) gave %s, %v and then %s, %v", text, got, err, again, errAgain)
		}
		if err != nil {
			checkError(t, text, err)
			return
		}
		if got.Location() != time.UTC || got.IsZero() || got.Year() < 1 || got.Year() > 9999 || got.Nanosecond()%1000 != 0 {
			t.Fatalf("Parse(%q) = %s, which breaks a promise", text, got)
		}
		if _, err := timeexpr.Parse(text+" ", now); err != nil && len(text) < timeexpr.MaxLength {
			t.Fatalf("Parse(%q) is accepted, but not with a space after it: %v", text, err)
		}
	})
}

// checkError checks what holds for the error of every text.
func checkError(t *testing.T, text string, err error) {
	t.Helper()
	refused, ok := errors.AsType[*timeexpr.Error](err)
	if !ok {
		t.Fatalf("Parse(%q): %T, want *Error", text, err)
	}
	if !strings.HasPrefix(text, refused.Input) || refused.Offset < 0 || refused.Offset > len(refused.Input) {
		t.Fatalf("Parse(%q): offset %d of %q", text, refused.Offset, refused.Input)
	}
	if line := err.Error(); refused.Message == "" || strings.ContainsAny(line, "\r\n") || len(line) > 1_000 {
		t.Fatalf("Parse(%q): text %q", text, line)
	}
}
