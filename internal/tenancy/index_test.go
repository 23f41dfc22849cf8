package tenancy

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// tenant is a binding of one org id to a namespace.
func tenant(name, namespace string, created float64, orgs ...string) Tenant {
	return Tenant{Name: name, UID: "uid-" + name, Generation: 1, Created: at(created), Namespace: namespace, OrgIDs: orgs}
}

func named(names ...string) []Namespace {
	var all []Namespace
	for _, name := range names {
		all = append(all, Namespace{Name: name, Created: epoch})
	}
	return all
}

func event(org string, seconds float64) *record.Common {
	return &record.Common{SourceType: record.SourceKubernetes, OrgID: org, Time: record.At(at(seconds))}
}

func bulk(org string) *record.Common {
	return &record.Common{SourceType: record.SourceBulk, OrgID: org, Time: record.At(at(5))}
}

func TestWhoSeesARecord(t *testing.T) {
	tests := map[string]struct {
		tenants    []Tenant
		namespaces []Namespace
		record     *record.Common
		want       string
	}{
		"an event belongs to the namespace in which it happened": {
			namespaces: named("shop"), record: event("shop", 5), want: "shop",
		},
		"the request that made a namespace is received up to a second before its creation time": {
			namespaces: named("shop"), record: event("shop", -1), want: "shop",
		},
		"an event of a namespace's predecessor is nobody's": {
			namespaces: named("shop"), record: event("shop", -1.000001), want: SystemNamespace,
		},
		"a record of another source is nobody's, although a namespace has the name of its organisation": {
			namespaces: named("shop"), record: bulk("shop"), want: SystemNamespace,
		},
		"an event of a namespace of another cluster is nobody's": {
			namespaces: named("shop"), record: event("west/shop", 5), want: SystemNamespace,
		},
		"a record without an organisation is nobody's": {
			namespaces: named("shop"), record: event("", 5), want: SystemNamespace,
		},
		"an event of a namespace that is gone is nobody's": {
			namespaces: named("other"), record: event("shop", 5), want: SystemNamespace,
		},
		"every record of a bound organisation belongs to the namespace, from any source": {
			tenants: []Tenant{tenant("t", "shop", 0, "acme")}, namespaces: named("shop"), record: bulk("acme"), want: "shop",
		},
		"every record of a bound organisation belongs to the namespace, from before it too": {
			tenants: []Tenant{tenant("t", "shop", 0, "acme")}, namespaces: named("shop"), record: event("acme", -1000), want: "shop",
		},
		"a namespace of another cluster can be bound": {
			tenants: []Tenant{tenant("t", "shop", 0, "west/shop")}, namespaces: named("shop"), record: event("west/shop", -9), want: "shop",
		},
		"a namespace doesn't see events of its own name when that is bound elsewhere": {
			tenants: []Tenant{tenant("t", "other", 0, "shop")}, namespaces: named("shop", "other"), record: event("shop", 5), want: "other",
		},
		"a namespace to which its own name is bound sees its predecessor's events": {
			tenants: []Tenant{tenant("t", "shop", 0, "shop")}, namespaces: named("shop"), record: event("shop", -1000), want: "shop",
		},
		"a namespace to which its own name is bound sees the organisation's other records": {
			tenants: []Tenant{tenant("t", "shop", 0, "shop")}, namespaces: named("shop"), record: bulk("shop"), want: "shop",
		},
		"of two bindings the earlier stands": {
			tenants:    []Tenant{tenant("late", "a", 2, "acme"), tenant("early", "b", 1, "acme")},
			namespaces: named("a", "b"), record: bulk("acme"), want: "b",
		},
		"of two bindings of the same second that of the lesser uid stands": {
			tenants:    []Tenant{tenant("y", "a", 1, "acme"), tenant("x", "b", 1, "acme")},
			namespaces: named("a", "b"), record: bulk("acme"), want: "b",
		},
		"a binding to a namespace that does not exist claims nothing": {
			tenants: []Tenant{tenant("t", "ghost", 0, "acme")}, namespaces: named("a"), record: bulk("acme"), want: SystemNamespace,
		},
		"a binding to a namespace that does not exist leaves the org id to a later one": {
			tenants:    []Tenant{tenant("early", "ghost", 0, "acme"), tenant("late", "a", 1, "acme")},
			namespaces: named("a"), record: bulk("acme"), want: "a",
		},
		"a binding to a namespace that does not exist leaves a namespace its own events": {
			tenants: []Tenant{tenant("t", "ghost", 0, "shop")}, namespaces: named("shop"), record: event("shop", 5), want: "shop",
		},
		"the system namespace has its own events": {
			namespaces: named(SystemNamespace), record: event(SystemNamespace, 5), want: SystemNamespace,
		},
		"the system namespace's name can be bound elsewhere": {
			tenants:    []Tenant{tenant("t", "a", 0, SystemNamespace)},
			namespaces: named(SystemNamespace, "a"), record: event(SystemNamespace, 5), want: "a",
		},
		"organisations can be bound to the system namespace": {
			tenants:    []Tenant{tenant("first", SystemNamespace, 0, "acme"), tenant("second", "a", 1, "acme")},
			namespaces: named(SystemNamespace, "a"), record: bulk("acme"), want: SystemNamespace,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := world{tenants: tc.tenants, namespaces: tc.namespaces}
			x := NewIndex(w.tenants, w.namespaces)
			if got := x.NamespaceOf(tc.record); got != tc.want {
				t.Errorf("namespace %s, want %s", got, tc.want)
			}
			wantSight(t, w, x, tc.record)
		})
	}
}

func TestVerdicts(t *testing.T) {
	tests := map[string]struct {
		tenants []Tenant
		want    map[string]Verdict
	}{
		"all org ids are claimed": {
			tenants: []Tenant{tenant("t", "a", 0, "acme", "globex")},
			want:    map[string]Verdict{"t": {UID: "uid-t", Generation: 1, NamespaceExists: true, Claimed: 2}},
		},
		"the later binding has the conflict": {
			tenants: []Tenant{tenant("late", "a", 2, "acme", "mine"), tenant("early", "b", 1, "acme")},
			want: map[string]Verdict{
				"early": {UID: "uid-early", Generation: 1, NamespaceExists: true, Claimed: 1},
				"late": {
					UID: "uid-late", Generation: 1, NamespaceExists: true, Claimed: 1, Conflicting: 1,
					Conflicts: []Conflict{{OrgID: "acme", Tenant: "early", Namespace: "b"}},
				},
			},
		},
		"two bindings to the same namespace agree": {
			tenants: []Tenant{tenant("late", "a", 2, "acme"), tenant("early", "a", 1, "acme")},
			want: map[string]Verdict{
				"early": {UID: "uid-early", Generation: 1, NamespaceExists: true, Claimed: 1},
				"late":  {UID: "uid-late", Generation: 1, NamespaceExists: true, Claimed: 1},
			},
		},
		"a binding to a namespace that does not exist claims nothing and has no conflict": {
			tenants: []Tenant{tenant("late", "ghost", 2, "acme"), tenant("early", "a", 1, "acme")},
			want: map[string]Verdict{
				"early": {UID: "uid-early", Generation: 1, NamespaceExists: true, Claimed: 1},
				"late":  {UID: "uid-late", Generation: 1},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			x := NewIndex(tc.tenants, named("a", "b"))
			if diff := cmp.Diff(tc.want, x.tenants); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConflictsAreBounded(t *testing.T) {
	var orgs []string
	for i := range 3 * MaxConflicts {
		orgs = append(orgs, fmt.Sprintf("org-%03d", 3*MaxConflicts-i))
	}
	x := NewIndex([]Tenant{tenant("early", "a", 1, orgs...), tenant("late", "b", 2, orgs...)}, named("a", "b"))
	got, _ := x.Verdict("late")
	if got.Conflicting != len(orgs) || len(got.Conflicts) != MaxConflicts || got.Conflicts[0].OrgID != "org-001" {
		t.Errorf("%+v", got)
	}
}

func TestClaimantAndOwns(t *testing.T) {
	x := NewIndex([]Tenant{tenant("t", "a", 0, "acme", "b")}, named("a", "b", "c", SystemNamespace))
	for org, tc := range map[string]struct {
		want   string
		owners []string
	}{
		"acme":          {want: "a", owners: []string{"a"}},
		"b":             {want: "a", owners: []string{"a"}},
		"c":             {want: "c", owners: []string{"c", SystemNamespace}},
		"nobody":        {want: SystemNamespace, owners: []string{SystemNamespace}},
		SystemNamespace: {want: SystemNamespace, owners: []string{SystemNamespace}},
	} {
		if got := x.Claimant(org); got != tc.want {
			t.Errorf("%s is claimed by %s, want %s", org, got, tc.want)
		}
		var owners []string
		for _, ns := range []string{"a", "b", "c", "ghost", SystemNamespace} {
			if x.Owns(ns, org) {
				owners = append(owners, ns)
			}
		}
		if diff := cmp.Diff(tc.owners, owners); diff != "" {
			t.Errorf("owners of %s (-want +got):\n%s", org, diff)
		}
	}
}

func TestUnknownNamespaceHasNoScope(t *testing.T) {
	for _, namespaces := range [][]Namespace{nil, named("other"), {{Name: "shop"}}} {
		scope, err := NewIndex(nil, namespaces).Scope("shop")
		if !errors.Is(err, ErrUnknownNamespace) || scope.Name != "" {
			t.Errorf("scope %+v, error %v", scope, err)
		}
	}
	nothing := Nothing("shop")
	if nothing.Name != "namespace/shop" || holds(nothing.Restrict, event("shop", 5)) {
		t.Errorf("%+v", nothing)
	}
}

func TestTooManyClaims(t *testing.T) {
	w := manyNamespaces(100, MaxClaims-99)
	x := NewIndex(w.tenants, w.namespaces)
	_, err := x.Scope(SystemNamespace)
	var tooMany *TooManyClaimsError
	if !errors.As(err, &tooMany) || tooMany.Claims != x.Claims().total() || tooMany.Claims <= MaxClaims {
		t.Errorf("error %v", err)
	}
	if _, err := x.Scope("ns-00001"); err != nil {
		t.Errorf("another namespace: %v", err)
	}
	w = manyNamespaces(100, MaxClaims-100)
	if _, err := NewIndex(w.tenants, w.namespaces).Scope(SystemNamespace); err != nil {
		t.Error(err)
	}
}

// TestScopesAreAsLargeInALargeCluster: what a namespace asks the store doesn't
// depend on how many others there are.
func TestScopesAreAsLargeInALargeCluster(t *testing.T) {
	small, large := manyNamespaces(5, 500), manyNamespaces(5000, 20_000)
	for _, namespace := range []string{"ns-00000", "ns-00004"} {
		a, errA := NewIndex(small.tenants, small.namespaces).Scope(namespace)
		b, errB := NewIndex(large.tenants, large.namespaces).Scope(namespace)
		if diff := cmp.Diff(a, b); diff != "" || errA != nil || errB != nil {
			t.Errorf("(-small +large):\n%s %v %v", diff, errA, errB)
		}
	}
	x := NewIndex(large.tenants, large.namespaces)
	whole, err := x.Scope(SystemNamespace)
	if err != nil {
		t.Fatal(err)
	}
	// A day after the last namespace was made, the unclaimed are two lists.
	if n := nodes(Narrow(whole, at(5000), at(90_000)).Restrict); n > 8 {
		t.Errorf("%d filters for a window without new namespaces", n)
	}
	most := 0
	for part := range Slices(whole, at(-100), at(90_000)) {
		most = max(most, nodes(part.Scope.Restrict))
	}
	if most > 1000 {
		t.Errorf("%d filters in one question", most)
	}
}

// nodes counts the filters of a tree; a list is one.
func nodes(f query.Filter) int {
	count := 1
	switch f := f.(type) {
	case query.And:
		for _, child := range f {
			count += nodes(child)
		}
	case query.Or:
		for _, child := range f {
			count += nodes(child)
		}
	case query.Not:
		count += nodes(f.Filter)
	}
	return count
}

func TestScopesAreValidQueries(t *testing.T) {
	w := manyNamespaces(40, 300)
	x := NewIndex(append(w.tenants, tenant("one", "ns-00002", 0, "one"), tenant("two", "ns-00003", 0, "ns-00004")), w.namespaces)
	for _, ns := range w.namespaces {
		scope, err := x.Scope(ns.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range record.Kinds() {
			q, err := query.Validate(query.Query{Kind: kind, Scope: scope, Limit: 1}, record.NewSchema(kind))
			if err != nil {
				t.Fatalf("%s: %v", ns.Name, err)
			}
			if diff := cmp.Diff(scope, q.Scope); diff != "" {
				t.Errorf("%s is not in canonical form (-scope +canonical):\n%s", ns.Name, diff)
			}
		}
	}
}
