package query_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
)

// tree makes a random filter, not always a valid one.
func tree(random *rand.Rand, depth int) query.Filter {
	text := func() string {
		return []string{"user", "org", "", "a\x00b", "<&>\u2028", `"\`, "😀", "\ufffd", "v"}[random.IntN(9)]
	}
	texts := func() []string {
		out := make([]string, 1+random.IntN(3))
		for i := range out {
			out[i] = text()
		}
		return out
	}
	children := func() []query.Filter {
		out := make([]query.Filter, random.IntN(4))
		for i := range out {
			out[i] = tree(random, depth-1)
		}
		return out
	}
	first := 0
	if depth == 0 {
		first = 3
	}
	switch first + random.IntN(11-first) {
	case 0:
		return query.And(children())
	case 1:
		return query.Or(children())
	case 2:
		return query.Not{Filter: tree(random, depth-1)}
	case 3:
		return query.Equal{Field: text(), Value: text()}
	case 4:
		return query.AnyOf{Field: text(), Values: texts()}
	case 5:
		return query.Prefix{Field: text(), Value: text()}
	case 6:
		return query.Exists{Field: text()}
	case 7:
		return query.Range{Field: text(), Min: text(), Max: text()}
	case 8:
		nets := []string{"10.0.0.0/8", "::/0", "2001:db8::/64", "::ffff:1.2.3.4/128"}
		return query.CIDR{Field: text(), Net: netip.MustParsePrefix(nets[random.IntN(len(nets))])}
	case 9:
		return query.Text{Words: texts()}
	default:
		return query.Attribute{Type: texts(), Name: texts()}
	}
}

func TestFilterSurvivesItsJSON(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 5000 {
		want := tree(random, 4)
		data, err := query.MarshalFilter(want)
		if err != nil {
			t.Fatalf("%#v: %v", want, err)
		}
		got, err := query.UnmarshalFilter(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(want, got, compare()); diff != "" {
			t.Fatalf("%s (-before +after):\n%s", data, diff)
		}
	}
}

// TestFilterJSONNeverChanges: cursors of an older server hold these.
func TestFilterJSONNeverChanges(t *testing.T) {
	tests := map[string]struct {
		filter query.Filter
		want   string
	}{
		"none":                 {nil, `null`},
		"and":                  {query.And{query.Exists{Field: "a"}}, `{"and":[{"has":"a"}]}`},
		"an empty and":         {query.And{}, `{"and":[]}`},
		"an empty or":          {query.Or{}, `{"or":[]}`},
		"an or that is nil":    {query.Or(nil), `{"or":[]}`},
		"not":                  {query.Not{Filter: query.Or{}}, `{"not":{"or":[]}}`},
		"equal":                {query.Equal{Field: "a", Value: "b"}, `{"eq":["a","b"]}`},
		"any of":               {query.AnyOf{Field: "a", Values: []string{"b", "c"}}, `{"in":{"f":"a","v":["b","c"]}}`},
		"prefix":               {query.Prefix{Field: "a", Value: "b"}, `{"pre":["a","b"]}`},
		"a range with one end": {query.Range{Field: "a", Max: "c"}, `{"rng":["a","","c"]}`},
		"CIDR":                 {query.CIDR{Field: "a", Net: netip.MustParsePrefix("10.0.0.0/8")}, `{"net":{"f":"a","n":"10.0.0.0/8"}}`},
		"text":                 {query.Text{Words: []string{"a"}}, `{"txt":["a"]}`},
		"attribute":            {query.Attribute{Type: []string{"t"}, ID: []string{"i"}, OrgID: []string{"o"}, Name: []string{"n"}}, `{"att":{"t":["t"],"i":["i"],"o":["o"],"n":["n"]}}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			data, err := query.MarshalFilter(tc.filter)
			if err != nil || string(data) != tc.want {
				t.Errorf("got %s (%v), want %s", data, err, tc.want)
			}
			back, err := query.UnmarshalFilter([]byte(tc.want))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.filter, back, compare()); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMarshalFilterRefuses(t *testing.T) {
	for name, f := range map[string]query.Filter{
		"a filter of another package": stranger{},
		"one inside others":           query.And{query.Not{Filter: stranger{}}},
		"a missing filter":            query.Not{},
		"a missing one among others":  query.Or{query.And{}, nil},
	} {
		if data, err := query.MarshalFilter(f); err == nil {
			t.Errorf("%s: written as %s", name, data)
		}
	}
}

func TestUnmarshalFilterRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                       ``,
		"no filter":                     `{}`,
		"an unknown filter":             `{"regex":["a","b"]}`,
		"two filters in one node":       `{"eq":["a","b"],"has":"c"}`,
		"a known and an unknown one":    `{"eq":["a","b"],"new":1}`,
		"too few parts":                 `{"eq":["a"]}`,
		"a short one beside another":    `{"eq":["a"],"has":"c"}`,
		"no parts":                      `{"pre":[]}`,
		"too many parts":                `{"eq":["a","b","c"]}`,
		"too few parts of a range":      `{"rng":["a","b"]}`,
		"a missing child":               `{"and":[null]}`,
		"a missing child of not":        `{"not":null}`,
		"an empty child":                `{"not":{}}`,
		"an unknown filter deep inside": `{"or":[{"and":[{"nope":1}]}]}`,
		"no list":                       `{"and":{}}`,
		"an address without a length":   `{"net":{"f":"a","n":"10.0.0.0"}}`,
		"something after the filter":    `{"or":[]}{"or":[]}`,
		"text that ends too soon":       `{"or":[`,
		"a number":                      `1`,
	} {
		if f, err := query.UnmarshalFilter([]byte(text)); err == nil {
			t.Errorf("%s: %s is read as %#v", name, text, f)
		}
	}
}

func FuzzUnmarshalFilter(f *testing.F) {
	random := rand.New(rand.NewPCG(9, 10))
	for range 50 {
		data, err := query.MarshalFilter(tree(random, 3))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`null`))
	f.Add([]byte(`{"and":[{"or":null}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := query.UnmarshalFilter(data)
		if err != nil {
			return
		}
		written, err := query.MarshalFilter(first)
		if err != nil {
			t.Fatalf("%s was read as %#v, which cannot be written: %v", data, first, err)
		}
		second, err := query.UnmarshalFilter(written)
		if err != nil {
			t.Fatalf("%s was written as %s, which cannot be read: %v", data, written, err)
		}
		again, err := query.MarshalFilter(second)
		if err != nil || !bytes.Equal(written, again) {
			t.Fatalf("%s became %s (%v)", written, again, err)
		}
		// Whatever a cursor holds, validation ends and its answer is valid.
		if q, err := query.Validate(filtered(first), schema{attributes: true}); err == nil {
			if _, err := query.Validate(q, schema{attributes: true}); err != nil {
				t.Fatalf("%s is valid, its canonical form is not: %v", data, err)
			}
		}
	})
}
