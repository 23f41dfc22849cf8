package query

import "net/netip"

// Filter is a node of the filter tree. The set of nodes is closed.
//
// A record without a field satisfies no predicate on it but Not's: Not is set
// complement.
type Filter interface{ filter() }

type (
	// And holds when all of its filters hold; an empty And holds always.
	And []Filter
	// Or holds when one of its filters holds; an empty Or never holds.
	Or []Filter
	// Not holds when its filter does not, also for records without the field.
	Not struct{ Filter Filter }
	// Equal holds when the field has exactly this value.
	Equal struct{ Field, Value string }
	// AnyOf holds when the field has one of these values (1 to MaxValues).
	AnyOf struct {
		Field  string
		Values []string
	}
	// Prefix holds when a keyword field starts with Value.
	Prefix struct{ Field, Value string }
	// Exists holds when the field has a value.
	Exists struct{ Field string }
	// Range holds when Min <= field < Max. An empty bound is open; one must
	// be given. Keywords compare by their UTF-8 bytes; addresses take CIDR.
	Range struct{ Field, Min, Max string }
	// CIDR holds when an address field is inside Net (masked by Validate).
	CIDR struct {
		Field string
		Net   netip.Prefix
	}
	// Text holds when every word is among the words of the record.
	Text struct{ Words []string }
	// Attribute holds when one attribute of the record satisfies all the
	// given parts. Each part is any of its values; an empty part is free;
	// one must be given.
	Attribute struct {
		Type, ID, OrgID, Name []string
	}
)

func (And) filter()       {}
func (Or) filter()        {}
func (Not) filter()       {}
func (Equal) filter()     {}
func (AnyOf) filter()     {}
func (Prefix) filter()    {}
func (Exists) filter()    {}
func (Range) filter()     {}
func (CIDR) filter()      {}
func (Text) filter()      {}
func (Attribute) filter() {}
