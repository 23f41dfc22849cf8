package storetest

import (
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/store"
)

func TestMemoryStorePasses(t *testing.T) {
	Run(t, func(*testing.T) Backend { return newMemory(defect{}).backend() })
}

func TestMemoryStoresAgree(t *testing.T) {
	memory := func(*testing.T) Backend { return newMemory(defect{}).backend() }
	RunPair(t, memory, memory)
}

// rewrite applies f to every node of a tree, from its leaves.
func rewrite(f query.Filter, change func(query.Filter) query.Filter) query.Filter {
	all := func(in []query.Filter) []query.Filter {
		out := make([]query.Filter, len(in))
		for i, child := range in {
			out[i] = rewrite(child, change)
		}
		return out
	}
	switch f := f.(type) {
	case nil:
		return nil
	case query.And:
		return change(query.And(all(f)))
	case query.Or:
		return change(query.Or(all(f)))
	case query.Not:
		return change(query.Not{Filter: rewrite(f.Filter, change)})
	default:
		return change(f)
	}
}

// filtering is a defect in how filters are evaluated.
func filtering(change func(query.Filter) query.Filter) defect {
	asked := func(q query.Query) query.Query {
		q.Filter = rewrite(q.Filter, change)
		return q
	}
	return defect{asked: asked, counted: asked}
}

// defective is a store with one defect and the check that must notice it.
type defective struct {
	defect     defect
	wantCaught string
}

func testDefective(t *testing.T, tests map[string]defective) {
	t.Helper()
	byName := map[string]check{}
	for _, c := range checks() {
		byName[c.name] = c
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newMemory(tc.defect).backend()
			c, ok := byName[tc.wantCaught]
			if !ok {
				t.Fatalf("there is no check %q", tc.wantCaught)
			}
			err := c.run(&b, settings{seed: 1, queries: 100})
			if err == nil {
				t.Errorf("%q did not notice", tc.wantCaught)
			}
			t.Log(err)
		})
	}
}

func TestStoresWithDefectivePagesFail(t *testing.T) {
	testDefective(t, map[string]defective{
		"a page begins with the record that ended the last one": {
			defect{asked: func(q query.Query) query.Query {
				if q.After != nil {
					place := *q.After
					place.Micros++
					q.After = &place
				}
				return q
			}}, "records of one instant are ordered by id",
		},
		"a page forgets the id of its cursor and skips equal times": {
			defect{asked: func(q query.Query) query.Query {
				if q.After != nil {
					q.After = &query.Position{Micros: q.After.Micros}
				}
				return q
			}}, "records of one instant are ordered by id",
		},
		"the last row of a walk is dropped": {
			defect{paged: func(_ query.Query, p store.Page) store.Page {
				if p.Next == nil && len(p.Documents) > 0 {
					p.Documents = p.Documents[:len(p.Documents)-1]
				}
				return p
			}}, "pages of every size end where the records do",
		},
		"a full page always has a next one": {
			defect{paged: func(q query.Query, p store.Page) store.Page {
				if p.Next == nil && len(p.Documents) == q.Limit {
					p.Next = &query.Position{}
				}
				return p
			}}, "pages of every size end where the records do",
		},
		"a page never has a next one": {
			defect{paged: func(_ query.Query, p store.Page) store.Page { p.Next = nil; return p }}, "large records end a page early",
		},
		"the end of the window is inclusive": {
			defect{asked: func(q query.Query) query.Query {
				if !q.To.IsZero() {
					q.To = q.To.Add(time.Microsecond)
				}
				return q
			}}, "random records and queries",
		},
		"documents are written anew": {
			defect{paged: func(_ query.Query, p store.Page) store.Page {
				for i := range p.Documents {
					p.Documents[i] = append([]byte(" "), p.Documents[i]...)
				}
				return p
			}}, "random records and queries",
		},
	})
}

func TestStoresWithDefectiveFiltersFail(t *testing.T) {
	testDefective(t, map[string]defective{
		"not ignores records without the field": {
			filtering(func(f query.Filter) query.Filter {
				if not, ok := f.(query.Not); ok {
					if equal, ok := not.Filter.(query.Equal); ok {
						return query.And{not, query.Exists{Field: equal.Field}}
					}
				}
				return f
			}), "random records and queries",
		},
		"an empty or is no restriction": {
			filtering(func(f query.Filter) query.Filter {
				if or, ok := f.(query.Or); ok && len(or) == 0 {
					return query.And{}
				}
				return f
			}), "each kind of filter with each value",
		},
		"a prefix is an equality": {
			filtering(func(f query.Filter) query.Filter {
				if prefix, ok := f.(query.Prefix); ok {
					return query.Equal(prefix)
				}
				return f
			}), "each kind of filter with each value",
		},
		"a range of numbers compares text": {
			filtering(func(f query.Filter) query.Filter {
				if r, ok := f.(query.Range); ok && r.Field == "response_code" && r.Min == "9" {
					return query.Range{Field: r.Field, Min: "90", Max: r.Max}
				}
				return f
			}), "each kind of filter with each value",
		},
		"parts of an attribute filter match across attributes": {
			filtering(func(f query.Filter) query.Filter {
				if a, ok := f.(query.Attribute); ok && len(a.Type) > 0 && len(a.Name) > 0 {
					return query.And{query.Attribute{Type: a.Type}, query.Attribute{Name: a.Name}}
				}
				return f
			}), "values at the limits of normalising",
		},
		"one word of a text is enough": {
			filtering(func(f query.Filter) query.Filter {
				if text, ok := f.(query.Text); ok {
					return query.Text{Words: text.Words[:1]}
				}
				return f
			}), "each kind of filter with each value",
		},
		"long values are not indexed": {
			filtering(func(f query.Filter) query.Filter {
				if equal, ok := f.(query.Equal); ok && len(equal.Value) > 8000 {
					return query.Or{}
				}
				return f
			}), "values at the limits of normalising",
		},
	})
}

func TestStoresWithDefectiveScopesFail(t *testing.T) {
	testDefective(t, map[string]defective{
		"count ignores the scope": {
			defect{counted: func(q query.Query) query.Query { q.Scope = query.All(); return q }}, "scopes",
		},
		"get ignores the scope": {
			defect{got: func(query.Scope) query.Scope { return query.All() }}, "scopes",
		},
		"list ignores the scope": {
			defect{asked: func(q query.Query) query.Query { q.Scope = query.All(); return q }}, "many questions at once",
		},
	})
}

func TestStoresWithDefectiveOutcomesFail(t *testing.T) {
	testDefective(t, map[string]defective{
		"a collision overwrites":                  {defect{overwrites: true}, "records that are there already"},
		"a collision of prepared ones overwrites": {defect{overwrites: true}, "prepared records that are there already"},
		"a prepared document is kept, not copied": {defect{keeps: true}, "prepared records are lent"},
		"a prepared document is not looked at":    {defect{trusts: true}, "prepared records that are none"},
		"a collision is called a duplicate": {
			defect{appended: func(o store.Outcome) store.Outcome {
				if o.Result == store.Collision {
					return store.Outcome{Result: store.Duplicate}
				}
				return o
			}}, "records that are there already",
		},
		"outcomes are out of order": {defect{blended: true}, "records that are there already"},
		"answers are out of order": {
			defect{answered: func(a []store.Answer) []store.Answer {
				if len(a) > 1 {
					a[0], a[1] = a[1], a[0]
				}
				return a
			}}, "many questions at once",
		},
		"one bad question spoils the batch": {
			defect{answered: func(answers []store.Answer) []store.Answer {
				for _, a := range answers {
					if a.Err != nil {
						return make([]store.Answer, len(answers))
					}
				}
				return answers
			}}, "many questions at once",
		},
		"an unknown field finds nothing":     {defect{gullible: true}, "refused questions and absent records"},
		"an outage looks like an empty page": {defect{down: true}, "the store stops in the middle"},
		"a deadline is ignored":              {defect{deaf: true}, "interrupted callers"},
		"a deadline's error has no reason":   {defect{untyped: true}, "interrupted callers"},
	})
}
