package storetest

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// naive holds records in memory and answers by looking at each of them. It is
// what the checks compare stores with.
type naive struct {
	mu      sync.Mutex
	records map[record.Kind][]entry
	// positions finds the entry of an id.
	positions map[record.ID]entry
}

// entry is a record as it must be stored.
type entry struct {
	record   record.Record
	document []byte
	words    []string
	// values are the fields that are present; types those that there are.
	values map[string]string
	types  map[string]query.FieldType
}

func newEntry(r record.Record) (entry, error) {
	document, err := record.Encode(r)
	if err != nil {
		return entry{}, err
	}
	e := entry{
		record: r, document: document, words: record.Words(r),
		values: map[string]string{}, types: map[string]query.FieldType{},
	}
	for _, field := range record.Fields(r.Kind()) {
		e.types[field.Name] = field.Type
		if value, ok := field.Value(r); ok {
			e.values[field.Name] = value
		}
	}
	return e, nil
}

func newNaive() *naive {
	return &naive{records: map[record.Kind][]entry{}, positions: map[record.ID]entry{}}
}

// add stores records whose ids are new.
func (n *naive) add(records ...record.Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range records {
		e, err := newEntry(r)
		if err != nil {
			return err
		}
		if _, ok := n.positions[r.Base().ID]; ok {
			return fmt.Errorf("the check added the id %s twice", r.Base().ID)
		}
		n.positions[r.Base().ID] = e
		of := n.records[r.Kind()]
		at, _ := slices.BinarySearchFunc(of, e, newestFirst)
		n.records[r.Kind()] = slices.Insert(of, at, e)
	}
	return nil
}

// newestFirst is the total order: time descending, id descending.
func newestFirst(a, b entry) int {
	return cmp.Or(
		cmp.Compare(b.record.Base().Time, a.record.Base().Time),
		bytes.Compare(b.record.Base().ID[:], a.record.Base().ID[:]))
}

// matching returns what q finds, ignoring Limit and After.
func (n *naive) matching(q query.Query) []entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	var found []entry
	for _, e := range n.records[q.Kind] {
		if inWindow(e, q) && inScope(e, q.Scope) && (q.Filter == nil || holds(e, q.Filter)) {
			found = append(found, e)
		}
	}
	return found
}

// page returns the page that q asks for.
func (n *naive) page(q query.Query) store.Page {
	found := n.matching(q)
	if q.After != nil {
		found = slices.DeleteFunc(found, func(e entry) bool { return !behind(e, *q.After) })
	}
	var page store.Page
	size := 0
	for i, e := range found {
		size += len(e.document)
		if len(page.Documents) == q.Limit || (i > 0 && size > store.MaxPageBytes) {
			last := store.PositionOf(found[i-1].record)
			page.Next = &last
			break
		}
		page.Documents = append(page.Documents, e.document)
	}
	return page
}

func (n *naive) get(kind record.Kind, id record.ID, scope query.Scope) ([]byte, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e, ok := n.positions[id]
	if !ok || e.record.Kind() != kind || !inScope(e, scope) {
		return nil, false
	}
	return e.document, true
}

// behind tells whether e comes after a position in the total order.
func behind(e entry, p query.Position) bool {
	base := e.record.Base()
	if int64(base.Time) != p.Micros {
		return int64(base.Time) < p.Micros
	}
	return bytes.Compare(base.ID[:], p.ID[:]) < 0
}

func inWindow(e entry, q query.Query) bool {
	at := e.record.Base().Time.Time()
	return (q.From.IsZero() || !at.Before(q.From)) && (q.To.IsZero() || at.Before(q.To))
}

func inScope(e entry, s query.Scope) bool {
	return s.Restrict == nil || holds(e, s.Restrict)
}

// holds evaluates a filter as package query describes it.
func holds(e entry, f query.Filter) bool {
	switch f := f.(type) {
	case query.And:
		return !slices.ContainsFunc(f, func(child query.Filter) bool { return !holds(e, child) })
	case query.Or:
		return slices.ContainsFunc(f, func(child query.Filter) bool { return holds(e, child) })
	case query.Not:
		return !holds(e, f.Filter)
	case query.Equal:
		value, ok := valueOf(e, f.Field)
		return ok && value == f.Value
	case query.AnyOf:
		value, ok := valueOf(e, f.Field)
		return ok && slices.Contains(f.Values, value)
	case query.Prefix:
		value, ok := valueOf(e, f.Field)
		return ok && strings.HasPrefix(value, f.Value)
	case query.Exists:
		_, ok := valueOf(e, f.Field)
		return ok
	case query.Range:
		value, ok := valueOf(e, f.Field)
		less := order(e, f.Field)
		return ok && (f.Min == "" || !less(value, f.Min)) && (f.Max == "" || less(value, f.Max))
	case query.CIDR:
		value, ok := valueOf(e, f.Field)
		return ok && f.Net.Contains(netip.MustParseAddr(value))
	case query.Text:
		return !slices.ContainsFunc(f.Words, func(w string) bool { return !slices.Contains(e.words, w) })
	case query.Attribute:
		return holdsAttribute(e, f)
	default:
		panic(fmt.Sprintf("the reference does not know the filter %T", f))
	}
}

func holdsAttribute(e entry, f query.Attribute) bool {
	audit, ok := e.record.(*record.Audit)
	if !ok {
		return false
	}
	part := func(value string, wanted []string) bool {
		return len(wanted) == 0 || (value != "" && slices.Contains(wanted, value))
	}
	return slices.ContainsFunc(audit.Attributes, func(a record.Attribute) bool {
		return part(a.Type, f.Type) && part(a.ID, f.ID) && part(a.OrgID, f.OrgID) && part(a.Name, f.Name)
	})
}

func valueOf(e entry, name string) (string, bool) {
	if e.types[name] == 0 {
		panic(fmt.Sprintf("the reference does not know the field %q", name))
	}
	value, ok := e.values[name]
	return value, ok
}

// order returns how values of a field compare.
func order(e entry, name string) func(a, b string) bool {
	switch e.types[name] {
	case query.Integer:
		return func(a, b string) bool { return mustInteger(a) < mustInteger(b) }
	case query.Time:
		return func(a, b string) bool { return mustTime(a).Before(mustTime(b)) }
	default:
		return func(a, b string) bool { return a < b }
	}
}

func mustInteger(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func mustTime(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return at
}
