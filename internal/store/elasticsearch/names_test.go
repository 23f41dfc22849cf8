package elasticsearch

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
)

func date(year, month, day int) time.Time {
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
}

func TestCover(t *testing.T) {
	cases := map[string]struct {
		window span
		want   []string
	}{
		"no window is everything": {want: []string{"x-*"}},
		"part of a month is that month": {
			window: span{from: date(2026, 11, 3), to: date(2026, 11, 4)}, want: []string{"x-2026.11*"}},
		"the end is exclusive": {
			window: span{from: date(2026, 10, 3), to: date(2026, 11, 1)}, want: []string{"x-2026.10*"}},
		"a whole year is one prefix": {
			window: span{from: date(2025, 1, 1), to: date(2026, 1, 1)}, want: []string{"x-2025.*"}},
		"across a year": {
			window: span{from: date(2025, 11, 30), to: date(2026, 2, 1)},
			want:   []string{"x-2025.11*", "x-2025.12*", "x-2026.01*"}},
		"from a month on": {
			window: span{from: date(2028, 12, 31)},
			want: []string{"x-2028.12*", "x-2029.*", "x-203*", "x-204*", "x-205*", "x-206*", "x-207*", "x-208*", "x-209*",
				"x-21*", "x-22*", "x-23*", "x-24*", "x-25*", "x-26*", "x-27*", "x-28*", "x-29*",
				"x-3*", "x-4*", "x-5*", "x-6*", "x-7*", "x-8*", "x-9*"}},
		"until a month": {
			window: span{to: date(2001, 2, 2)},
			want:   []string{"x-0*", "x-1*", "x-2000.*", "x-2001.01*", "x-2001.02*"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, cover("x-", c.window)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCoverMatchesTheIndicesOfItsWindowAndNoOthers(t *testing.T) {
	n := names{prefix: "x"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		from := date(1970, 1, 1).AddDate(0, 0, random.IntN(100_000))
		w := span{from: from, to: from.AddDate(0, 0, 1+random.IntN(4000))}
		if random.IntN(5) == 0 {
			w.to = time.Time{}
		}
		patterns := cover(n.of(record.KindAudit), w)
		if length := joinedLength(patterns); length > maxURLNames {
			t.Fatalf("%v is covered by %d bytes", w, length)
		}
		for range 50 {
			month := from.AddDate(0, random.IntN(200)-30, 0)
			index := n.of(record.KindAudit) + month.Format(monthLayout)
			_, covers, err := n.parse(index)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := matchesAny(index, patterns), covers.overlaps(w); got != want {
				t.Fatalf("%s matches %v: %v, want %v for the window %v", index, patterns, got, want, w)
			}
		}
	}
}

func TestParseNames(t *testing.T) {
	cases := map[string]struct {
		index    string
		wantKind record.Kind
		wantSpan span
		wantErr  bool
	}{
		"a month":                     {"x-audit-2026.02", record.KindAudit, span{date(2026, 2, 1), date(2026, 3, 1)}, false},
		"a day":                       {"x-authaudit-2024.02.29", record.KindAuthAudit, span{date(2024, 2, 29), date(2024, 3, 1)}, false},
		"a restored copy":             {"x-audit-2026.02-restored", record.KindAudit, span{}, true},
		"a month that there is not":   {"x-audit-2026.13", record.KindAudit, span{}, true},
		"a month of one digit":        {"x-audit-2026.2", record.KindAudit, span{}, true},
		"the state":                   {"x-state", "", span{}, true},
		"another program's":           {"logs-2026.02", "", span{}, true},
		"a prefix that contains ours": {"xx-audit-2026.02", "", span{}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			kind, covers, err := names{prefix: "x"}.parse(c.index)
			if kind != c.wantKind || covers != c.wantSpan || (err != nil) != c.wantErr {
				t.Errorf("got %q, %v, %v", kind, covers, err)
			}
		})
	}
}

func TestTarget(t *testing.T) {
	n := names{prefix: "x"}
	valid := func(modify ...func(*snapshot)) *snapshot {
		s := &snapshot{stateFound: true, recorded: []string{"x-audit-2026.10", "x-audit-2026.11", "x-authaudit-2026.11"},
			present: map[string]present{"x-audit-2026.10": {shards: 1}, "x-audit-2026.11": {shards: 2}, "x-authaudit-2026.11": {shards: 1}}}
		for _, m := range modify {
			m(s)
		}
		return s
	}
	november := span{from: date(2026, 11, 1), to: date(2026, 12, 1)}
	cases := map[string]struct {
		snapshot *snapshot
		window   span
		want     target
		wantErr  string
	}{
		"what is known by name, what may be new by wildcard": {valid(), november,
			target{expression: []string{"x-audit-2026.11", "x-audit-2026.11*"}, shards: 2}, ""},
		"nothing was ever stored": {&snapshot{}, november, target{expression: []string{"x-audit-2026.11*"}}, ""},
		"an index that held records is gone": {valid(func(s *snapshot) { delete(s.present, "x-audit-2026.11") }), november,
			target{}, "look at the indices: conflict: " + missingIndex("x-audit-2026.11")},
		"an index that is gone outside of the window": {valid(func(s *snapshot) { delete(s.present, "x-audit-2026.10") }), november,
			target{expression: []string{"x-audit-2026.11", "x-audit-2026.11*"}, shards: 2}, ""},
		"an index without our layout": {valid(func(s *snapshot) {
			s.present["x-audit-2026.11.05"] = present{problem: layoutMark{}.check(record.KindAudit)}
		}), november, target{}, "look at the indices: conflict: the index x-audit-2026.11.05 can't be searched: it was not made by " +
			"this program: its mapping has no _meta.layout; delete it or move it out of the names that begin with x-audit-"},
		"the state is gone": {valid(func(s *snapshot) { s.stateFound, s.recorded = false, nil }), november, target{},
			"look at the indices: conflict: the index x-state is gone, but x-audit-2026.11 exists; restore it from a snapshot together with its indices"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := c.snapshot.target(n, record.KindAudit, c.window)
			if text := fmt.Sprint(err); (c.wantErr == "") != (err == nil) || (err != nil && text != c.wantErr) {
				t.Fatalf("error %q, want %q", text, c.wantErr)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(target{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTargetOfManyIndicesIsShort(t *testing.T) {
	n := names{prefix: "auditquery"}
	s := &snapshot{stateFound: true, present: map[string]present{}}
	for day := date(2016, 1, 1); day.Before(date(2026, 1, 1)); day = day.AddDate(0, 0, 1) {
		name := n.of(record.KindAudit) + day.Format(dayLayout)
		s.recorded = append(s.recorded, name)
		s.present[name] = present{shards: 1}
	}
	got, err := s.target(n, record.KindAudit, span{from: date(2016, 1, 1), to: date(2026, 1, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if joinedLength(got.expression) > maxURLNames || slices.Contains(got.expression, s.recorded[0]) {
		t.Errorf("the expression has %d bytes", joinedLength(got.expression))
	}
	if got.shards != len(s.recorded) {
		t.Errorf("%d shards must answer, want %d", got.shards, len(s.recorded))
	}
}
