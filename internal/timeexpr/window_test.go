package timeexpr_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/timeexpr"
)

func TestParseWindow(t *testing.T) {
	tests := map[string]struct {
		from, to         string
		wantFrom, wantTo string // empty for an open end
	}{
		"both ends absent are open":             {},
		"an absent to is open":                  {from: "now-1d", wantFrom: "2026-11-03T15:04:05.123456Z"},
		"an absent from is open":                {to: "now", wantTo: clock},
		"both ends share one reading":           {from: "now-1s", to: "now", wantFrom: "2026-11-04T15:04:04.123456Z", wantTo: clock},
		"yesterday":                             {from: "yesterday", to: "today", wantFrom: "2026-11-03T00:00:00Z", wantTo: "2026-11-04T00:00:00Z"},
		"a date is its midnight at both ends":   {from: "2026-11-01", to: "2026-11-02", wantFrom: "2026-11-01T00:00:00Z", wantTo: "2026-11-02T00:00:00Z"},
		"a window in the future":                {from: "tomorrow", to: "tomorrow+1w", wantFrom: "2026-11-05T00:00:00Z", wantTo: "2026-11-12T00:00:00Z"},
		"one microsecond is long enough":        {from: "2026-11-01T00:00:00Z", to: "2026-11-01T00:00:00.000001Z", wantFrom: "2026-11-01T00:00:00Z", wantTo: "2026-11-01T00:00:00.000001Z"},
		"a bare duration is before now":         {from: "2h30m", to: "1h", wantFrom: "2026-11-04T12:34:05.123456Z", wantTo: "2026-11-04T14:04:05.123456Z"},
		"the largest window that is not open":   {from: "0001-01-01T00:00:01Z", to: "9999-12-31", wantFrom: "0001-01-01T00:00:01Z", wantTo: "9999-12-31T00:00:00Z"},
		"texts of different kinds are compared": {from: "1793527200", to: "2026-11-01T12:00:00+01:00", wantFrom: "2026-11-01T10:00:00Z", wantTo: "2026-11-01T11:00:00Z"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var want timeexpr.Window
			if tc.wantFrom != "" {
				want.From = instant(t, tc.wantFrom)
			}
			if tc.wantTo != "" {
				want.To = instant(t, tc.wantTo)
			}
			got, err := timeexpr.ParseWindow(tc.from, tc.to, instant(t, clock))
			if err != nil {
				t.Fatalf("ParseWindow(%q, %q): %v", tc.from, tc.to, err)
			}
			if got != want {
				t.Errorf("ParseWindow(%q, %q) = %v, want %v", tc.from, tc.to, got, want)
			}
		})
	}
}

func TestParseWindowRefuses(t *testing.T) {
	tests := map[string]struct {
		from, to  string
		wantField string
		want      string // prefix of the error's text
	}{
		"a bad from":                     {from: "noon", to: "now", wantField: "from", want: `from: invalid time "^noon" at offset 0: `},
		"a bad to":                       {from: "now", to: "noon", wantField: "to", want: `to: invalid time "^noon" at offset 0: `},
		"a bad to with an open from":     {to: "now 1d", wantField: "to", want: `to: invalid time "now ^1d" at offset 4: `},
		"from before to when both bad":   {from: "x", to: "y", wantField: "from", want: "from: "},
		"spaces are not an open end":     {from: " ", wantField: "from", want: `from: invalid time " ^" at offset 1: no time given`},
		"the zero time is no open end":   {to: "0001-01-01T00:00:00Z", wantField: "to", want: "to: "},
		"a window that ends at its from": {from: "2026-11-01", to: "2026-11-01", wantField: "from", want: `from: "2026-11-01" (2026-11-01T00:00:00Z) is not before to "2026-11-01" (2026-11-01T00:00:00Z)`},
		"a window that ends before":      {from: "now", to: "now-1d", wantField: "from", want: `from: "now" (2026-11-04T15:04:05.123456Z) is not before to "now-1d" (2026-11-03T15:04:05.123456Z)`},
		"now twice":                      {from: "now", to: "now", wantField: "from", want: `from: "now" (`},
		"an end less than 1µs later":     {from: "2026-11-01T00:00:00Z", to: "2026-11-01T00:00:00.000000999Z", wantField: "from", want: `from: "2026`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := timeexpr.ParseWindow(tc.from, tc.to, instant(t, clock))
			refused, ok := errors.AsType[*timeexpr.Error](fmt.Errorf("query: %w", err))
			if !ok {
				t.Fatalf("ParseWindow(%q, %q) = %v, %v, want an *Error", tc.from, tc.to, got, err)
			}
			if got != (timeexpr.Window{}) || refused.Field != tc.wantField {
				t.Errorf("window %v, field %q, want none and %q", got, refused.Field, tc.wantField)
			}
			if !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got  %s\nwant %s...", err, tc.want)
			}
		})
	}
}

// A caller whose parameter has another name may say so.
func TestErrorFieldMayBeRenamed(t *testing.T) {
	_, err := timeexpr.ParseWindow("now 1d", "", time.Unix(0, 0))
	refused, ok := errors.AsType[*timeexpr.Error](err)
	if !ok {
		t.Fatalf("got %v, want an *Error", err)
	}
	refused.Field = "dt_from"
	if !strings.HasPrefix(err.Error(), "dt_from: invalid time ") {
		t.Errorf("got %s", err)
	}
}
