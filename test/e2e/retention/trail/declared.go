package trail

import (
	"fmt"
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// Declared is what the API says: the policies and the holds.
type Declared struct {
	Policies []retention.Policy `json:"policies"`
	Holds    []retention.Hold   `json:"holds"`
}

// Clone shares nothing with d that a change of a policy or of a hold reaches.
func (d Declared) Clone() Declared {
	return Declared{Policies: slices.Clone(d.Policies), Holds: slices.Clone(d.Holds)}
}

// Policy finds a policy, to change it.
func (d *Declared) Policy(name string) *retention.Policy {
	for i := range d.Policies {
		if d.Policies[i].Name == name {
			return &d.Policies[i]
		}
	}
	panic(fmt.Sprintf("there is no policy %s", name)) // a test that is wrong
}

// Hold finds a hold, to change it.
func (d *Declared) Hold(name string) *retention.Hold {
	for i := range d.Holds {
		if d.Holds[i].Name == name {
			return &d.Holds[i]
		}
	}
	panic(fmt.Sprintf("there is no hold %s", name)) // a test that is wrong
}

// DropPolicy takes a policy out of the API.
func (d *Declared) DropPolicy(name string) {
	d.Policies = slices.DeleteFunc(d.Policies, func(p retention.Policy) bool { return p.Name == name })
}

// DropHold takes a hold out of the API.
func (d *Declared) DropHold(name string) {
	d.Holds = slices.DeleteFunc(d.Holds, func(h retention.Hold) bool { return h.Name == name })
}

// Policy is one that enforces keep on all records, and changes after a day.
func Policy(name, keep string, modify ...func(*retention.Rule)) retention.Policy {
	p := retention.Policy{Name: name, UID: "uid-" + name, Rule: retention.Rule{
		Kinds: record.Kinds(), Keep: Age(keep), Mode: retention.Enforce, ChangeDelay: 24 * time.Hour,
	}}
	for _, m := range modify {
		m(&p.Rule)
	}
	return p
}

// Hold is one of all records, released after a week.
func Hold(name string, modify ...func(*retention.HoldSpec)) retention.Hold {
	h := retention.Hold{Name: name, UID: "uid-" + name, Spec: retention.HoldSpec{
		Kinds: record.Kinds(), ReleaseDelay: 168 * time.Hour,
	}}
	for _, m := range modify {
		m(&h.Spec)
	}
	return h
}

// Age reads one that a test wrote.
func Age(text string) retention.Age {
	age, err := retention.ParseAge(text)
	if err != nil {
		panic(err) // a test that is wrong
	}
	return age
}

// Named names the organisations from one to another.
func Named(first, last int) []string {
	var names []string
	for n := first; n <= last; n++ {
		names = append(names, Org(n))
	}
	return names
}
