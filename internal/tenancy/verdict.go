package tenancy

import "slices"

// MaxConflicts is how many conflicts a Verdict names.
const MaxConflicts = 20

// Verdict is what became of one AuditTenant's bindings.
type Verdict struct {
	// UID and Generation say which object, and which state of its spec, this
	// is about.
	UID        string
	Generation int64
	// NamespaceExists is false when the binding claims nothing for want of its
	// namespace.
	NamespaceExists bool
	// Claimed is how many of the org ids the namespace sees, Conflicting how
	// many belong to another namespace.
	Claimed, Conflicting int
	// Conflicts are the first MaxConflicts, ordered by org id.
	Conflicts []Conflict
}

// Conflict is an org id that an earlier AuditTenant binds to another namespace.
type Conflict struct {
	OrgID             string
	Tenant, Namespace string
}

func (v Verdict) equal(other Verdict) bool {
	return v.UID == other.UID && v.Generation == other.Generation && v.NamespaceExists == other.NamespaceExists &&
		v.Claimed == other.Claimed && v.Conflicting == other.Conflicting && slices.Equal(v.Conflicts, other.Conflicts)
}

// Verdict returns what became of an AuditTenant's bindings; false when x knows no
// such tenant.
func (x *Index) Verdict(tenant string) (Verdict, bool) {
	v, ok := x.tenants[tenant]
	return v, ok
}

// changed lists the tenants whose verdicts differ from those of old, sorted.
func (x *Index) changed(old *Index) []string {
	var names []string
	for name, verdict := range x.tenants {
		if old == nil {
			names = append(names, name)
		} else if before, ok := old.tenants[name]; !ok || !verdict.equal(before) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
