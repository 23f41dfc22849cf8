package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

func wantPlan(t *testing.T, s *Store, text string, args []any, want string) {
	t.Helper()
	if got := explained(t, s, text, args); !strings.Contains(got, want) {
		t.Errorf("want %q in the plan\n%s\nof %s", want, got, text)
	}
}

// left lists the serial numbers of the audits that are stored, and fails when a
// word or an attribute is there without its record.
func left(t *testing.T, s *Store) []int {
	t.Helper()
	rows, err := s.write.db.Query("SELECT doc FROM audit ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for rows.Next() {
		var document []byte
		var a record.Audit
		if err := errors.Join(rows.Scan(&document), record.Decode(document, &a)); err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, int(binary.BigEndian.Uint64(a.ID[8:]))-1)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	noneLeftOver(t, s)
	return numbers
}

// noneLeftOver fails when a side table has what is of no record.
func noneLeftOver(t *testing.T, s *Store) {
	t.Helper()
	for _, l := range s.layouts {
		for _, side := range []string{l.words, l.parts} {
			if side == "" {
				continue
			}
			var over int
			text := fmt.Sprintf("SELECT count(*) FROM %s WHERE NOT EXISTS (SELECT 1 FROM %s AS r WHERE r.ref = %[1]s.ref AND r.id = %[1]s.id)", side, l.table)
			if err := s.write.db.QueryRow(text).Scan(&over); err != nil {
				t.Fatal(err)
			}
			if over != 0 {
				t.Errorf("%d rows of %s are of no record", over, side)
			}
		}
	}
}

// eraseAll erases batch by batch and returns the sizes of the batches.
func eraseAll(t *testing.T, s *Store, q query.Query, limit int) []int {
	t.Helper()
	e, err := s.Erase(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for {
		n, err := e.Next(t.Context(), limit)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, n)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return sizes
}

// crowd returns audits of three orgs (and none), one each second, with attributes.
func crowd(n int) []record.Record {
	records := make([]record.Record, n)
	for i := range records {
		records[i] = audit(i, func(a *record.Audit) {
			a.OrgID = []string{"", "bank", "shop", "mill"}[i%4]
			a.UserID = fmt.Sprintf("user-%d", i%7)
			a.Description = fmt.Sprintf("user %d looked at web-%d", i%7, i)
			a.Attributes = []record.Attribute{{Type: "pod", ID: fmt.Sprint(i % 5), Name: "web"}, {Type: "pod", ID: fmt.Sprint(i), Name: "web"}}
		})
	}
	return records
}

func TestEraseErasesWhatItWasAskedFor(t *testing.T) {
	orgs := make([]string, 30)
	for i := range orgs {
		orgs[i] = fmt.Sprintf("org-%d", i)
	}
	second := func(n int) time.Time { return time.Unix(int64(n), 0) }
	tests := map[string]struct {
		from, to time.Time
		filter   query.Filter
		gone     func(i int) bool
		wantWalk walk
	}{
		"everything":                      {gone: func(int) bool { return true }},
		"a half-open window":              {from: second(5), to: second(20), gone: func(i int) bool { return i >= 5 && i < 20 }},
		"an open beginning":               {to: second(20), gone: func(i int) bool { return i < 20 }},
		"an end between two microseconds": {to: second(20).Add(time.Nanosecond), gone: func(i int) bool { return i <= 20 }},
		"a beginning between two":         {from: second(20).Add(time.Nanosecond), to: second(50), gone: func(i int) bool { return i > 20 && i < 50 }},
		"an org": {to: second(50), filter: query.Equal{Field: "org_id", Value: "shop"},
			gone: func(i int) bool { return i < 50 && i%4 == 2 }, wantWalk: walkField},
		"a few orgs": {to: second(50), filter: query.AnyOf{Field: "org_id", Values: []string{"bank", "shop"}},
			gone: func(i int) bool { return i < 50 && (i%4 == 1 || i%4 == 2) }, wantWalk: walkMerge},
		"many orgs": {to: second(50), filter: query.AnyOf{Field: "org_id", Values: append(orgs, "bank", "shop")},
			gone: func(i int) bool { return i < 50 && (i%4 == 1 || i%4 == 2) }, wantWalk: walkGather},
		"all orgs but one, and what has none": {filter: query.Not{Filter: query.Equal{Field: "org_id", Value: "shop"}},
			gone: func(i int) bool { return i%4 != 2 }},
		"an org without what is held": {filter: query.And{query.Equal{Field: "org_id", Value: "bank"},
			query.Not{Filter: query.And{query.Equal{Field: "user_id", Value: "user-3"}, query.Range{Field: "time", Max: "1970-01-01T00:00:30Z"}}}},
			gone: func(i int) bool { return i%4 == 1 && (i%7 != 3 || i >= 30) }, wantWalk: walkField},
		"what names an attribute": {filter: query.Attribute{ID: []string{"3"}}, gone: func(i int) bool { return i%5 == 3 }, wantWalk: walkPart},
		"what has a word":         {filter: query.Text{Words: []string{"7"}}, gone: func(i int) bool { return i == 7 }, wantWalk: walkWord},
		"nothing":                 {filter: query.Or{}, gone: func(int) bool { return false }},
	}
	const count = 90
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{})
			mustAppend(t, s, crowd(count)...)
			mustAppend(t, s, &record.AuthAudit{Common: record.Common{ID: record.ID{1}, Time: 1, OrgID: "shop"}})
			var want []int
			gone := 0
			for i := range count {
				if test.gone(i) {
					gone++
				} else {
					want = append(want, i)
				}
			}
			q := query.Query{Kind: record.KindAudit, Scope: query.All(), From: test.from, To: test.to, Filter: test.filter}
			if p := makePlan(s.layouts[q.Kind], q); p.walk != test.wantWalk {
				t.Errorf("it walks %d, want %d", p.walk, test.wantWalk)
			}
			var wantSizes []int
			for n := gone; n > 0; n -= 7 {
				wantSizes = append(wantSizes, min(n, 7))
			}
			if diff := cmp.Diff(wantSizes, eraseAll(t, s, q, 7)); diff != "" {
				t.Errorf("batches (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(want, left(t, s)); diff != "" {
				t.Errorf("left (-want +got)\n%s", diff)
			}
			auth := query.Query{Kind: record.KindAuthAudit, Scope: query.All(), Limit: 1}
			if c, err := s.Count(t.Context(), auth, 0); err != nil || c.Records != 1 {
				t.Errorf("%d records of the other kind (%v), want 1", c.Records, err)
			}
		})
	}
}

func TestEraseGoesFromTheOldestOn(t *testing.T) {
	s := open(t, Options{})
	records := crowd(40)
	slices.Reverse(records)
	mustAppend(t, s, records...)
	e, err := s.Erase(t.Context(), everything(0))
	if err != nil {
		t.Fatal(err)
	}
	for from := 10; from <= 30; from += 10 {
		if n, err := e.Next(t.Context(), 10); n != 10 || err != nil {
			t.Fatalf("%d, %v, want 10", n, err)
		}
		if got := left(t, s); got[0] != from || len(got) != 40-from {
			t.Errorf("%d from %d on are left, want %d from %d on", len(got), got[0], 40-from, from)
		}
	}
}

func TestEraseLooksUpMoreThanItKeeps(t *testing.T) {
	s := open(t, Options{})
	const count = maxFound + 500
	var records []record.Record
	for i := range count { // many share an instant: where it goes on is between two of them
		records = append(records, audit(i, func(a *record.Audit) { a.Time = record.Timestamp(i / 100) }))
	}
	mustAppend(t, s, records...)
	e, err := s.erasureOf(t.Context(), "erase", everything(0))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{maxFound, 500} {
		if err := e.find(t.Context()); err != nil || len(e.found) != want {
			t.Errorf("%d are found (%v), want %d", len(e.found), err, want)
		}
	}
	sizes := eraseAll(t, s, everything(0), store.MaxErasureBatch)
	if want := slices.Concat(slices.Repeat([]int{maxErase}, maxFound/maxErase), []int{500}); !slices.Equal(sizes, want) {
		t.Errorf("batches of %d, want %d", sizes, want)
	}
	if got := left(t, s); len(got) != 0 {
		t.Errorf("%d are left", len(got))
	}
}

func TestEraseRefuses(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, crowd(10)...)
	next := func(limit int, closed bool) func() error {
		return func() error {
			e, err := s.Erase(t.Context(), everything(0))
			if err != nil {
				return err
			}
			if closed {
				if err := e.Close(t.Context()); err != nil {
					return err
				}
			}
			_, err = e.Next(t.Context(), limit)
			return err
		}
	}
	erase := func(change func(*query.Query)) func() error {
		return func() error {
			q := everything(0)
			change(&q)
			_, err := s.Erase(t.Context(), q)
			return err
		}
	}
	stretch := func(kind record.Kind, name string, filter query.Filter) func() error {
		return func() error {
			_, err := s.EraseStretch(t.Context(), kind, name, filter)
			return err
		}
	}
	for name, call := range map[string]func() error{
		"another kind":        erase(func(q *query.Query) { q.Kind = "Event" }),
		"no scope":            erase(func(q *query.Query) { q.Scope = query.Scope{} }),
		"an empty window":     erase(func(q *query.Query) { q.From, q.To = time.Unix(1, 0), time.Unix(1, 0) }),
		"a narrower scope":    erase(func(q *query.Query) { q.Scope = namespace(query.Equal{Field: "org_id", Value: "shop"}) }),
		"a restricted all":    erase(func(q *query.Query) { q.Scope.Restrict = query.Or{} }),
		"a batch of nothing":  next(0, false),
		"a closed erasure":    next(10, true),
		"a month of no kind":  stretch("Event", "1970-01", nil),
		"a batch of too many": next(store.MaxErasureBatch+1, false),
		"an unknown field":    stretch(record.KindAudit, "1970-01", query.Equal{Field: "colour", Value: "red"}),
	} {
		t.Run(name, func(t *testing.T) {
			if err := call(); !store.IsInvalid(err) {
				t.Errorf("%v, want Invalid", err)
			}
			if got := left(t, s); len(got) != 10 {
				t.Errorf("%d are left, want 10", len(got))
			}
		})
	}
}

func TestEraseStretchFindsMonthsOnly(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, crowd(10)...)
	for _, name := range []string{"", "1970", "1970-01-01", "1970-1", "1970-13", "1970-02", "1970-01' OR 1 --"} {
		if erased, err := s.EraseStretch(t.Context(), record.KindAudit, name, nil); !store.IsNotFound(err) || erased.Records != 0 {
			t.Errorf("%q: %d erased, %v, want NotFound", name, erased.Records, err)
		}
	}
	if got := left(t, s); len(got) != 10 {
		t.Errorf("%d are left, want 10", len(got))
	}
}

func TestEraseStretchErasesAllOrNothing(t *testing.T) {
	may, june := date(2025, 5, 1), date(2025, 6, 1)
	month := func(more ...record.Record) []record.Record {
		return append([]record.Record{
			audit(0, in(may.Add(-time.Microsecond), "shop")), audit(1, in(may, "shop")), audit(2, in(may.AddDate(0, 0, 9), "bank")),
			audit(3, in(june.Add(-time.Microsecond), "shop")), audit(4, in(june, "shop")),
		}, more...)
	}
	shops := query.AnyOf{Field: "org_id", Values: []string{"bank", "shop"}}
	tests := map[string]struct {
		records []record.Record
		doomed  query.Filter
		want    int64
		wantErr error
		left    []int
	}{
		"all of the month":               {month(), nil, 3, nil, []int{0, 4}},
		"all that there is, by name":     {month(), shops, 3, nil, []int{0, 4}},
		"one of another org survives":    {month(audit(5, in(may.AddDate(0, 0, 20), "mill"))), shops, 0, store.ErrSurvivors, []int{0, 1, 2, 3, 4, 5}},
		"one of no org survives":         {month(audit(5, in(may.AddDate(0, 0, 20), ""))), shops, 0, store.ErrSurvivors, []int{0, 1, 2, 3, 4, 5}},
		"one of no org, all but one org": {month(audit(5, in(may, ""))), query.Not{Filter: query.Equal{Field: "org_id", Value: "mill"}}, 4, nil, []int{0, 4}},
		"nothing is doomed":              {month(), query.Or{}, 0, store.ErrSurvivors, []int{0, 1, 2, 3, 4}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{})
			mustAppend(t, s, test.records...)
			got, err := s.EraseStretch(t.Context(), record.KindAudit, "2025-05", test.doomed)
			if !errors.Is(err, test.wantErr) || got.Records != test.want {
				t.Errorf("%d erased, %v, want %d, %v", got.Records, err, test.want, test.wantErr)
			}
			if (got.Bytes > 0) != (test.want > 0) {
				t.Errorf("%d bytes of %d records", got.Bytes, got.Records)
			}
			if diff := cmp.Diff(test.left, left(t, s)); diff != "" {
				t.Errorf("left (-want +got)\n%s", diff)
			}
		})
	}
}

func TestEraseStretchLeavesLargeMonthsToBatches(t *testing.T) {
	s := open(t, Options{})
	s.maxStretch = 20
	mustAppend(t, s, crowd(21)...)
	if erased, err := s.EraseStretch(t.Context(), record.KindAudit, "1970-01", nil); !store.IsInvalid(err) || erased.Records != 0 {
		t.Errorf("21 records: %d erased, %v, want Invalid", erased.Records, err)
	}
	q := everything(0)
	q.To = time.Unix(1, 0)
	eraseAll(t, s, q, 1)
	if erased, err := s.EraseStretch(t.Context(), record.KindAudit, "1970-01", nil); err != nil || erased.Records != 20 {
		t.Errorf("20 records: %d erased, %v", erased.Records, err)
	}
}

// What was found to be doomed is asked for again where it is erased.
func TestEraseAsksAgainInEachTransaction(t *testing.T) {
	for name, change := range map[string]string{
		"another value":           "UPDATE audit SET user_id = 'held' WHERE time >= 10000000 AND time < 15000000",
		"a time after the window": "UPDATE audit SET time = time + 100000000 WHERE time >= 10000000 AND time < 15000000",
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{})
			mustAppend(t, s, crowd(20)...)
			q := everything(0)
			q.To = time.Unix(100, 0)
			q.Filter = query.Not{Filter: query.Equal{Field: "user_id", Value: "held"}}
			e, err := s.Erase(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := e.Next(t.Context(), 5); n != 5 || err != nil {
				t.Fatalf("%d, %v, want 5", n, err)
			}
			execute(t, s.write.db, change) // of what the erasure has found already
			total := 5
			for {
				n, err := e.Next(t.Context(), 4)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				total += n
			}
			if diff := cmp.Diff([]int{10, 11, 12, 13, 14}, left(t, s)); diff != "" || total != 15 {
				t.Errorf("%d erased, want 15; left (-want +got)\n%s", total, diff)
			}
		})
	}
}
