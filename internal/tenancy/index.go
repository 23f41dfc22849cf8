package tenancy

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// Index says who sees what, given some tenants and namespaces. It never changes,
// and its methods may be called from several goroutines. Every answer costs the
// same however many tenants and namespaces there are, apart from the scope of
// SystemNamespace, which is built once.
type Index struct {
	namespaces map[string]*view
	// owners are the standing bindings, by org id.
	owners map[string]*binding
	// tenants are the verdicts on AuditTenants, by their names.
	tenants map[string]Verdict
	// system is the scope of SystemNamespace, built when it is first needed.
	system func() (query.Scope, error)
	claims Claims
}

// view is what a namespace sees.
type view struct {
	Namespace
	// orgs are the org ids bound to the namespace, sorted.
	orgs  []string
	scope query.Scope
}

// binding is an org id that belongs to a namespace.
type binding struct {
	tenant *Tenant
	view   *view
}

// Claims counts what an Index holds.
type Claims struct {
	// Namespaces that exist, and how many of them see the events of their own
	// name although they are bound nowhere.
	Namespaces, ByName int
	// OrgIDs that are bound, and to namespaces other than SystemNamespace.
	OrgIDs, Elsewhere int
	// Tenants that there are; those of which an org id belongs to another
	// namespace; those whose own namespace does not exist.
	Tenants, Conflicted, Dangling int
}

// total is how many claims there are against SystemNamespace.
func (c Claims) total() int { return c.Elsewhere + c.ByName }

// NewIndex decides who sees what. The order of tenants and namespaces means
// nothing. Of two tenants of one name, or two namespaces, the last counts.
func NewIndex(tenants []Tenant, namespaces []Namespace) *Index {
	return newIndex(tenants, namespaces, nil)
}

// newIndex is NewIndex; it takes from old the scopes that stay as they are.
func newIndex(tenants []Tenant, namespaces []Namespace, old *Index) *Index {
	x := &Index{
		namespaces: make(map[string]*view, len(namespaces)), owners: map[string]*binding{},
		tenants: make(map[string]Verdict, len(tenants)),
	}
	for _, ns := range namespaces {
		if ns.known() {
			x.namespaces[ns.Name] = &view{Namespace: ns}
		}
	}
	x.bind(tenants)
	for name, v := range x.namespaces {
		slices.Sort(v.orgs)
		if old != nil && v.sameAs(old.namespaces[name]) && x.own(v) == old.own(v) {
			v.scope = old.namespaces[name].scope
			continue
		}
		v.scope = query.Scope{Name: ScopeName(name), Restrict: x.restrict(v)}
	}
	x.count()
	x.system = sync.OnceValues(x.systemScope)
	return x
}

// bind gives each org id to the earliest tenant that binds it to a namespace that
// exists, and says to every tenant what it got.
func (x *Index) bind(tenants []Tenant) {
	ordered := slices.Clone(tenants)
	slices.SortStableFunc(ordered, func(a, b Tenant) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.UID, b.UID))
	})
	for i := range ordered {
		tenant := &ordered[i]
		verdict := Verdict{UID: tenant.UID, Generation: tenant.Generation}
		if v, ok := x.namespaces[tenant.Namespace]; ok {
			verdict.NamespaceExists = true
			x.bindTo(v, tenant, &verdict)
		}
		x.tenants[tenant.Name] = verdict
	}
}

func (x *Index) bindTo(v *view, tenant *Tenant, verdict *Verdict) {
	var conflicts []Conflict
	mine := &binding{tenant: tenant, view: v}
	for _, org := range tenant.OrgIDs {
		if org == "" {
			continue
		}
		owner, taken := x.owners[org]
		switch {
		case !taken:
			x.owners[org] = mine
			v.orgs = append(v.orgs, org)
			verdict.Claimed++
		case owner.view == v: // both say the same
			verdict.Claimed++
		default:
			conflicts = append(conflicts, Conflict{OrgID: org, Tenant: owner.tenant.Name, Namespace: owner.view.Name})
		}
	}
	slices.SortFunc(conflicts, func(a, b Conflict) int { return cmp.Compare(a.OrgID, b.OrgID) })
	verdict.Conflicting = len(conflicts)
	verdict.Conflicts = slices.Clone(conflicts[:min(len(conflicts), MaxConflicts)])
}

// own tells whether a namespace sees events by its name alone.
func (x *Index) own(v *view) bool { return x.owners[v.Name] == nil }

func (v *view) sameAs(old *view) bool {
	return old != nil && v.Created.Equal(old.Created) && slices.Equal(v.orgs, old.orgs)
}

// restrict is the scope of a namespace, apart from what nobody claims.
func (x *Index) restrict(v *view) query.Filter {
	var parts query.Or
	if len(v.orgs) > 0 {
		parts = append(parts, oneOf(v.orgs))
	}
	if x.own(v) {
		parts = append(parts, byName(v.Namespace))
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return slices.Clip(append(query.Or{}, parts...))
}

// oneOf is equality with one of some org ids.
func oneOf(orgs []string) query.Filter {
	if len(orgs) == 1 {
		return query.Equal{Field: fieldOrg, Value: orgs[0]}
	}
	return query.AnyOf{Field: fieldOrg, Values: orgs}
}

func (x *Index) count() {
	x.claims.Namespaces, x.claims.OrgIDs, x.claims.Tenants = len(x.namespaces), len(x.owners), len(x.tenants)
	for _, verdict := range x.tenants {
		if !verdict.NamespaceExists {
			x.claims.Dangling++
		}
		if verdict.Conflicting > 0 {
			x.claims.Conflicted++
		}
	}
	for name, v := range x.namespaces {
		if name == SystemNamespace {
			continue
		}
		x.claims.Elsewhere += len(v.orgs)
		if x.own(v) {
			x.claims.ByName++
		}
	}
}

// Claims counts what x holds.
func (x *Index) Claims() Claims { return x.claims }

// Scope returns what a namespace may see. The error is ErrUnknownNamespace or, for
// SystemNamespace alone, a *TooManyClaimsError.
func (x *Index) Scope(namespace string) (query.Scope, error) {
	v, ok := x.namespaces[namespace]
	if !ok {
		return query.Scope{}, fmt.Errorf("namespace %s: %w", namespace, ErrUnknownNamespace)
	}
	if namespace == SystemNamespace {
		return x.system()
	}
	return v.scope, nil
}

// Claimant returns the namespace that claims an org id: that to which it is bound,
// else the namespace of that name, else SystemNamespace.
//
// A namespace that claims an org id by its name alone doesn't see all of its
// records; SystemNamespace sees the rest.
func (x *Index) Claimant(orgID string) string {
	if owner, ok := x.owners[orgID]; ok {
		return owner.view.Name
	}
	if _, ok := x.namespaces[orgID]; ok {
		return orgID
	}
	return SystemNamespace
}

// Owns tells whether an org id is one of a namespace's: whether the namespace can
// see records of it at all.
func (x *Index) Owns(namespace, orgID string) bool {
	v, ok := x.namespaces[namespace]
	if !ok {
		return false
	}
	if owner, ok := x.owners[orgID]; ok {
		return owner.view == v
	}
	return namespace == orgID || namespace == SystemNamespace
}

// NamespaceOf returns the one namespace that sees a record. It is SystemNamespace
// also while that does not exist.
func (x *Index) NamespaceOf(b *record.Common) string {
	if owner, ok := x.owners[b.OrgID]; ok {
		return owner.view.Name
	}
	if v, ok := x.namespaces[b.OrgID]; ok && b.SourceType == record.SourceKubernetes && b.Time >= v.start() {
		return v.Name
	}
	return SystemNamespace
}
