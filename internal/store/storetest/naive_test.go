package storetest

import (
	"encoding/json"
	"net/netip"
	"testing"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// TestReferenceFollowsTheDocumentation: the reference decides what is right, so
// each sentence of package query about filters is tried on it by hand.
func TestReferenceFollowsTheDocumentation(t *testing.T) {
	full, err := newEntry(audit(0, func(a *record.Audit) {
		a.SourceIP, a.Description = "10.1.2.3", "Alice deleted web"
		a.Attributes = []record.Attribute{{Type: "role", ID: "1"}, {Type: "group", ID: "2", Name: "ops"}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	bare, err := newEntry(&record.Audit{})
	if err != nil {
		t.Fatal(err)
	}
	within := func(text string) query.Filter {
		return query.CIDR{Field: "source_ip", Net: netip.MustParsePrefix(text)}
	}
	tests := map[string]struct {
		filter             query.Filter
		wantFull, wantBare bool
	}{
		"an empty and holds always":           {query.And{}, true, true},
		"an empty or never holds":             {query.Or{}, false, false},
		"and needs all":                       {query.And{query.And{}, query.Or{}}, false, false},
		"or needs one":                        {query.Or{query.And{}, query.Or{}}, true, true},
		"equal":                               {query.Equal{Field: "user_id", Value: "alice"}, true, false},
		"equal ignores no case":               {query.Equal{Field: "user_id", Value: "Alice"}, false, false},
		"not holds without the field":         {query.Not{Filter: query.Equal{Field: "user_id", Value: "alice"}}, false, true},
		"not of another value":                {query.Not{Filter: query.Equal{Field: "user_id", Value: "bob"}}, true, true},
		"any of":                              {query.AnyOf{Field: "user_id", Values: []string{"bob", "alice"}}, true, false},
		"prefix":                              {query.Prefix{Field: "user_id", Value: "ali"}, true, false},
		"exists":                              {query.Exists{Field: "user_id"}, true, false},
		"time always exists":                  {query.Exists{Field: "time"}, true, true},
		"a range includes its lower bound":    {query.Range{Field: "user_id", Min: "alice"}, true, false},
		"a range excludes its upper bound":    {query.Range{Field: "user_id", Max: "alice"}, false, false},
		"numbers compare as numbers":          {query.Range{Field: "response_code", Min: "1000"}, false, false},
		"numbers compare as numbers, upwards": {query.Range{Field: "response_code", Min: "30", Max: "1000"}, true, false},
		"zero is absent":                      {query.Range{Field: "response_code", Min: "-1", Max: "1"}, false, false},
		"inside a network":                    {within("10.0.0.0/8"), true, false},
		"outside a network":                   {within("10.1.2.4/31"), false, false},
		"all of IPv6 holds no IPv4":           {within("::/0"), false, false},
		"every word":                          {query.Text{Words: []string{"alice", "web"}}, true, false},
		"one word of two":                     {query.Text{Words: []string{"alice", "nope"}}, false, false},
		"a part of a word":                    {query.Text{Words: []string{"alic"}}, false, false},
		"one attribute has all the parts":     {query.Attribute{Type: []string{"role"}, ID: []string{"1", "9"}}, true, false},
		"parts of two attributes":             {query.Attribute{Type: []string{"role"}, ID: []string{"2"}}, false, false},
		"a part that the attribute lacks":     {query.Attribute{Type: []string{"role"}, Name: []string{"ops"}}, false, false},
		"not of an attribute":                 {query.Not{Filter: query.Attribute{Type: []string{"role"}}}, false, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := holds(full, tc.filter); got != tc.wantFull {
				t.Errorf("for the full record it holds: %t, want %t", got, tc.wantFull)
			}
			if got := holds(bare, tc.filter); got != tc.wantBare {
				t.Errorf("for the bare record it holds: %t, want %t", got, tc.wantBare)
			}
		})
	}
}

func TestGeneratedRecordsAreNormal(t *testing.T) {
	for _, r := range newGenerator(settings{seed: 3}.random(forRecords)).records(500) {
		before, err := record.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if changes := record.Normalize(r, r.Base().IngestTime.Time()); changes.Any() {
			t.Errorf("a generated record is changed: %+v", changes)
		}
		if after, err := record.Encode(r); err != nil || string(after) != string(before) || !json.Valid(after) {
			t.Errorf("a generated record became %s (%v), was %s", after, err, before)
		}
	}
}

// TestValidatingTwiceChangesNothing: the second page of a list is asked with
// the canonical filter of the first.
func TestValidatingTwiceChangesNothing(t *testing.T) {
	s := settings{seed: 5}
	ask := newAsker(s.random(forQueries), newGenerator(s.random(forRecords)).records(200))
	for range 3000 {
		q, err := ask.query()
		if err != nil {
			t.Fatal(err)
		}
		before, err := query.MarshalFilter(q.Filter)
		if err != nil {
			t.Fatal(err)
		}
		again, err := validated(q)
		if err != nil {
			t.Fatal(err)
		}
		after, err := query.MarshalFilter(again.Filter)
		if err != nil || string(after) != string(before) || again.From != q.From || again.To != q.To {
			t.Fatalf("%s became %s (%v)", before, after, err)
		}
	}
}
