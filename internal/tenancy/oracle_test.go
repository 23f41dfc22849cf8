package tenancy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// epoch is when the first namespace of every test was created.
var epoch = time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return epoch.Add(time.Duration(seconds * float64(time.Second)))
}

// world is what an Index is made of.
type world struct {
	tenants    []Tenant
	namespaces []Namespace
}

// claims says, in the words of the rules and looking at everything, whether a
// namespace claims a record.
func (w world) claims(ns Namespace, b *record.Common) bool {
	if owner := w.boundTo(b.OrgID); owner != "" {
		return owner == ns.Name
	}
	return w.boundTo(ns.Name) == "" && b.SourceType == record.SourceKubernetes && b.OrgID == ns.Name &&
		!b.Time.Time().Before(ns.Created.Add(-time.Second))
}

// boundTo is the namespace that an org id is bound to, empty for none.
func (w world) boundTo(org string) string {
	var first *Tenant
	for i := range w.tenants {
		t := &w.tenants[i]
		if !slices.Contains(t.OrgIDs, org) || !w.exists(t.Namespace) {
			continue
		}
		if first == nil || t.Created.Before(first.Created) || (t.Created.Equal(first.Created) && t.UID < first.UID) {
			first = t
		}
	}
	if first == nil {
		return ""
	}
	return first.Namespace
}

func (w world) exists(namespace string) bool {
	return slices.ContainsFunc(w.namespaces, func(n Namespace) bool { return n.Name == namespace })
}

// sees is claims, with what nobody claims.
func (w world) sees(ns Namespace, b *record.Common) bool {
	if ns.Name != SystemNamespace {
		return w.claims(ns, b)
	}
	return !slices.ContainsFunc(w.namespaces, func(other Namespace) bool {
		return other.Name != SystemNamespace && w.claims(other, b)
	})
}

// holds evaluates the filters that scopes are made of.
func holds(f query.Filter, b *record.Common) bool {
	values := map[string]string{fieldOrg: b.OrgID, fieldSource: b.SourceType, fieldTime: b.Time.String()}
	switch f := f.(type) {
	case query.And:
		return !slices.ContainsFunc(f, func(child query.Filter) bool { return !holds(child, b) })
	case query.Or:
		return slices.ContainsFunc(f, func(child query.Filter) bool { return holds(child, b) })
	case query.Not:
		return !holds(f.Filter, b)
	case query.Equal:
		return values[f.Field] != "" && values[f.Field] == f.Value
	case query.AnyOf:
		return values[f.Field] != "" && slices.Contains(f.Values, values[f.Field])
	case query.Range: // times sort as text
		return (f.Min == "" || values[f.Field] >= f.Min) && (f.Max == "" || values[f.Field] < f.Max)
	default:
		panic(fmt.Sprintf("%T is in no scope", f))
	}
}

// randomWorld is small, so that names, org ids and times meet.
func randomWorld(random *rand.Rand) world {
	names := []string{"a", "b", "c", "d", "e", SystemNamespace}
	orgs := slices.Concat(names, []string{"acme", "globex", "other/a", "_cluster"})
	var w world
	for _, name := range names {
		if random.IntN(4) > 0 {
			w.namespaces = append(w.namespaces, Namespace{Name: name, Created: at(float64(random.IntN(6)))})
		}
	}
	for i := range random.IntN(6) {
		t := Tenant{
			Name: fmt.Sprintf("t%d", i), UID: fmt.Sprintf("u%d", random.IntN(100)*10+i), Generation: 1,
			Created: at(float64(random.IntN(3))), Namespace: names[random.IntN(len(names))],
		}
		for _, org := range orgs {
			if random.IntN(3) == 0 {
				t.OrgIDs = append(t.OrgIDs, org)
			}
		}
		w.tenants = append(w.tenants, t)
	}
	return w
}

func randomRecord(random *rand.Rand) *record.Common {
	orgs := []string{"a", "b", "c", "d", "e", SystemNamespace, "acme", "globex", "other/a", "_cluster", "", "nobody"}
	sources := []string{record.SourceKubernetes, record.SourceKubernetes, record.SourceBulk, ""}
	return &record.Common{
		OrgID: orgs[random.IntN(len(orgs))], SourceType: sources[random.IntN(len(sources))],
		Time: record.At(at(float64(random.IntN(20))/2 - 2)),
	}
}

// manyNamespaces has a namespace for each of count seconds, some org ids bound to
// each of the first, and SystemNamespace.
func manyNamespaces(count, orgs int) world {
	w := world{namespaces: []Namespace{{Name: SystemNamespace, Created: epoch}}}
	for i := range count {
		w.namespaces = append(w.namespaces, Namespace{Name: fmt.Sprintf("ns-%05d", i), Created: at(float64(i))})
	}
	const perTenant = 100
	for i := 0; i < orgs; i += perTenant {
		t := Tenant{
			Name: fmt.Sprintf("tenant-%d", i), UID: fmt.Sprint(i), Created: epoch, Namespace: fmt.Sprintf("ns-%05d", i/perTenant%count),
		}
		for j := range perTenant {
			t.OrgIDs = append(t.OrgIDs, fmt.Sprintf("org-%06d", i+j))
		}
		w.tenants = append(w.tenants, t)
	}
	return w
}
