package tenancy

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

func source(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// wantSight checks that the namespaces of a world see exactly the records that the
// rules say, each by one of them, and that every answer of the index agrees.
func wantSight(t *testing.T, w world, x *Index, b *record.Common) {
	t.Helper()
	var seen []string
	for _, ns := range w.namespaces {
		scope, err := x.Scope(ns.Name)
		if err != nil {
			t.Fatal(err)
		}
		got, want := holds(scope.Restrict, b), w.sees(ns, b)
		if got != want {
			t.Fatalf("%s sees %+v: %v, want %v\n%+v\n%+v", ns.Name, b, got, want, w, scope)
		}
		if got {
			seen = append(seen, ns.Name)
		}
		if got && b.OrgID != "" && !x.Owns(ns.Name, b.OrgID) {
			t.Fatalf("%s sees %+v and does not own its org id\n%+v", ns.Name, b, w)
		}
	}
	owner := x.NamespaceOf(b)
	if want := []string{owner}; !slices.Equal(seen, want) && (w.exists(owner) || len(seen) > 0) {
		t.Fatalf("%+v is of %s and seen by %v\n%+v", b, owner, seen, w)
	}
	if bound := w.boundTo(b.OrgID); bound != "" && x.Claimant(b.OrgID) != bound {
		t.Fatalf("%s is claimed by %s, want %s\n%+v", b.OrgID, x.Claimant(b.OrgID), bound, w)
	}
}

func TestEveryRecordIsSeenByExactlyOneNamespace(t *testing.T) {
	random := source(t)
	for range 400 {
		w := randomWorld(random)
		x := NewIndex(w.tenants, w.namespaces)
		for range 60 {
			wantSight(t, w, x, randomRecord(random))
		}
	}
}

func TestOrderMeansNothing(t *testing.T) {
	random := source(t)
	for range 200 {
		w := randomWorld(random)
		// Two tenants of one moment and uid can't be told apart.
		want := NewIndex(w.tenants, w.namespaces)
		other := world{tenants: slices.Clone(w.tenants), namespaces: slices.Clone(w.namespaces)}
		random.Shuffle(len(other.tenants), func(i, j int) {
			other.tenants[i], other.tenants[j] = other.tenants[j], other.tenants[i]
		})
		random.Shuffle(len(other.namespaces), func(i, j int) {
			other.namespaces[i], other.namespaces[j] = other.namespaces[j], other.namespaces[i]
		})
		wantSame(t, want, NewIndex(other.tenants, other.namespaces))
	}
}

// TestRebuildIsLikeANewIndex changes one thing after another.
func TestRebuildIsLikeANewIndex(t *testing.T) {
	random := source(t)
	var old *Index
	for range 300 {
		w := randomWorld(random)
		next := newIndex(w.tenants, w.namespaces, old)
		wantSame(t, NewIndex(w.tenants, w.namespaces), next)
		old = next
	}
}

func wantSame(t *testing.T, want, got *Index) {
	t.Helper()
	for name := range want.namespaces {
		a, errA := want.Scope(name)
		b, errB := got.Scope(name)
		if diff := cmp.Diff(a, b); diff != "" || errA != nil || errB != nil {
			t.Fatalf("scope of %s (-want +got):\n%s %v %v", name, diff, errA, errB)
		}
	}
	if diff := cmp.Diff(want.tenants, got.tenants); diff != "" {
		t.Fatalf("verdicts (-want +got):\n%s", diff)
	}
	if len(want.namespaces) != len(got.namespaces) || want.Claims() != got.Claims() {
		t.Fatalf("claims %+v, want %+v", got.Claims(), want.Claims())
	}
}

// TestSlicesHoldForTheSameRecords asks about windows in a world of so many
// namespaces that the unclaimed scope is cut.
func TestSlicesHoldForTheSameRecords(t *testing.T) {
	const namespaces = 3*maxStarts + 7
	random := source(t)
	w := manyNamespaces(namespaces, 300)
	x := NewIndex(w.tenants, w.namespaces)
	scope, err := x.Scope(SystemNamespace)
	if err != nil {
		t.Fatal(err)
	}
	moment := func() time.Time { return at(float64(random.IntN(2*namespaces+40))/2 - 10) }
	for range 60 {
		var from, to time.Time
		if random.IntN(3) > 0 {
			from = moment()
		}
		if random.IntN(3) > 0 {
			to = from.Add(time.Duration(1+random.IntN(namespaces)) * time.Second)
			if from.IsZero() {
				to = moment()
			}
		}
		parts := slices.Collect(Slices(scope, from, to))
		if (len(parts) > 1) != Sliced(scope, from, to) {
			t.Fatalf("%d parts, and Sliced says %v", len(parts), len(parts) <= 1)
		}
		for _, part := range parts {
			if n := len(starts(part.Scope.Restrict, part.From, part.To)); n > maxStarts {
				t.Fatalf("a part speaks of %d times", n)
			}
		}
		for range 300 {
			b := &record.Common{OrgID: w.namespaces[random.IntN(len(w.namespaces))].Name, SourceType: record.SourceKubernetes, Time: record.At(moment())}
			if random.IntN(5) == 0 {
				b.OrgID, b.SourceType = "org-000007", record.SourceBulk
			}
			wantInOnePart(t, scope, parts, from, to, b)
		}
	}
}

func wantInOnePart(t *testing.T, scope query.Scope, parts []Slice, from, to time.Time, b *record.Common) {
	t.Helper()
	inside := func(from, to time.Time) bool {
		moment := b.Time.Time()
		return (from.IsZero() || !moment.Before(from)) && (to.IsZero() || moment.Before(to))
	}
	seen := 0
	for i, part := range parts {
		if !inside(part.From, part.To) {
			continue
		}
		seen++
		if got, want := holds(part.Scope.Restrict, b), holds(scope.Restrict, b); got != want {
			t.Fatalf("part %d of %d, %s to %s, holds for %+v: %v, want %v", i, len(parts), part.From, part.To, b, got, want)
		}
	}
	if want := inside(from, to); (seen == 1) != want || seen > 1 {
		t.Fatalf("%+v is in %d of %d parts of %s to %s", b, seen, len(parts), from, to)
	}
}
