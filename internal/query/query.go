// Package query is the backend-neutral question: a kind of record, a scope, a
// time window, a tree of filters, and a position to go on from.
//
// A Query is data. Validate checks and canonicalises it once, before a store
// sees it, so that no backend has to decide what a value means. The package
// imports only the standard library; what fields exist is asked of a Schema.
package query

import "time"

// Kind names a kind of record. The record model defines the values.
type Kind string

// Bounds of one query.
const (
	// MaxLimit is the most rows that one page holds.
	MaxLimit = 500
	// DefaultLimit is used by callers that were given no limit.
	DefaultLimit = 20
)

// The range of instants that both stores can hold. Window bounds outside it are
// moved to it: no record has a time beyond.
var (
	minTime = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	maxTime = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Query asks for the records of one kind, newest first: ordered by
// (time descending, id descending), a total order.
type Query struct {
	Kind Kind
	// Scope is who may see what; the zero Scope is refused.
	Scope Scope
	// From is inclusive, To exclusive; the zero time is an open end.
	From, To time.Time
	// Filter is nil for every record in scope and window.
	Filter Filter
	// Limit is the page size, 1 to MaxLimit.
	Limit int
	// After, when set, starts the page behind that position.
	After *Position
}

// Position is a place in the total order, taken from a record.
type Position struct {
	// Micros is the record's time in µs since 1970 UTC.
	Micros int64
	// ID is the record's id.
	ID [16]byte
}

// AllScope is the name of the scope that restricts nothing.
const AllScope = "*"

// Scope restricts a query to the records that its asker may see. It comes from
// the request's path or the object's namespace, never from a token or a client.
type Scope struct {
	// Name identifies the scope in a cursor: AllScope, or "namespace/NAME".
	Name string
	// Restrict is a filter that every answer satisfies. It is nil only for
	// AllScope; a scope that may see nothing restricts to an empty Or.
	Restrict Filter
}

// All is the scope of cluster-wide readers.
func All() Scope { return Scope{Name: AllScope} }

// Schema says which fields a kind of record has and how its values are written.
type Schema interface {
	// Kind is the kind of record that the schema describes.
	Kind() Kind
	// FieldType returns the type of a field that can be filtered, by its
	// stored (snake_case) name.
	FieldType(name string) (FieldType, bool)
	// FieldNames lists the fields that can be filtered, sorted.
	FieldNames() []string
	// HasAttributes tells whether attribute filters apply.
	HasAttributes() bool
	// Canonical returns a value as the store holds it: text cut as records
	// are cut, an address in its shortest form, a number in plain decimal.
	Canonical(name, value string) (string, error)
	// CanonicalText is Canonical for the parts of attributes.
	CanonicalText(value string) string
	// Words splits free text as records are split.
	Words(text string) []string
}

// FieldType says which predicates a field takes and how its values are written.
type FieldType int

// The types of fields.
const (
	// Keyword is exact text, ordered by its UTF-8 bytes.
	Keyword FieldType = iota + 1
	// IP is an IPv4 or IPv6 address.
	IP
	// Integer is a 64-bit decimal number.
	Integer
	// Time is an RFC 3339 instant, kept to the microsecond.
	Time
)

func (t FieldType) String() string {
	switch t {
	case Keyword:
		return "keyword"
	case IP:
		return "ip"
	case Integer:
		return "integer"
	case Time:
		return "time"
	default:
		return "unknown"
	}
}
