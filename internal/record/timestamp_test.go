package record_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

func TestTimestampSurvivesItsText(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	first, last := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
	var earlier record.Timestamp
	for n := range 20_000 {
		want := record.Timestamp(first.UnixMicro() + random.Int64N(last.UnixMicro()-first.UnixMicro()+1))
		if n == 0 {
			want = record.At(last)
		}
		text := want.String()
		var got record.Timestamp
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Fatalf("%d is written %s and read %d (%v)", want, text, got, err)
		}
		if !want.Time().Equal(time.UnixMicro(int64(want))) || record.At(want.Time()) != want {
			t.Fatalf("%d is the time %v", want, want.Time())
		}
		if (text < earlier.String()) != (want < earlier) {
			t.Fatalf("%s and %s sort otherwise than %d and %d", text, earlier, want, earlier)
		}
		earlier = want
	}
}

// TestTimestampAgreesWithTheLibrary mutates texts, most of which stay of the
// form that is read without time.Parse, and demands its judgement.
func TestTimestampAgreesWithTheLibrary(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const alphabet = "0123456789-:.TZtz+ \x00é"
	seeds := []string{
		"2026-11-24T06:51:51.123456Z", "2024-02-29T23:59:59.999999Z", "1970-01-01T00:00:00.000000Z", "0000-01-01T00:00:00.000000Z",
		"9999-12-31T23:59:59.999999Z", "2026-02-28T00:00:00.000000Z", "2026-11-24T06:51:51Z", "2026-11-24T06:51:51+05:30",
		"2026-11-24T06:51:51.1-23:59", "2026-11-24T06:51:51.123456789Z",
	}
	check := func(text string) {
		parsed, err := time.Parse(time.RFC3339Nano, text)
		got := record.Timestamp(42)
		gotErr := got.UnmarshalText([]byte(text))
		if (err == nil) != (gotErr == nil) {
			t.Fatalf("%q: error %v, time.Parse %v", text, gotErr, err)
		}
		if err == nil && got != record.At(parsed) {
			t.Fatalf("%q is %s, time.Parse says %s", text, got, parsed)
		}
		if err != nil && got != 42 {
			t.Fatalf("%q is refused and changed the time to %s", text, got)
		}
	}
	for _, seed := range seeds {
		check(seed)
		for range 20_000 {
			text := []byte(seed)
			for range 1 + random.IntN(3) {
				text[random.IntN(len(text))] = alphabet[random.IntN(len(alphabet))]
			}
			check(string(text))
		}
	}
	for day := range 400 { // every date, also the last of months
		check(time.Date(2023, 12, 1, 10, 0, 0, 5000, time.UTC).AddDate(0, 0, day).Format("2006-01-02T15:04:05.000000Z"))
	}
}

func TestTimestampDropsWhatIsFinerThanAMicrosecond(t *testing.T) {
	tests := map[string]struct {
		text string
		want string
	}{
		"nanoseconds":            {"2026-11-24T06:51:51.123456999Z", "2026-11-24T06:51:51.123456Z"},
		"another offset":         {"2026-11-24T06:51:51.5+05:30", "2026-11-24T01:21:51.500000Z"},
		"no fraction":            {"2026-11-24T06:51:51Z", "2026-11-24T06:51:51.000000Z"},
		"the leap day":           {"2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"},
		"an instant before 1970": {"1969-12-31T23:59:59.9999991Z", "1969-12-31T23:59:59.999999Z"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got record.Timestamp
			if err := got.UnmarshalText([]byte(tc.text)); err != nil || got.String() != tc.want {
				t.Errorf("got %s (%v), want %s", got, err, tc.want)
			}
		})
	}
}
