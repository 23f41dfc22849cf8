package storetest

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// asker makes random valid queries over records, which it takes half of its
// values from.
type asker struct {
	random  *rand.Rand
	records []record.Record
	schemas map[record.Kind]*record.Schema
	texts   []string
}

func newAsker(random *rand.Rand, records []record.Record) *asker {
	schemas := map[record.Kind]*record.Schema{}
	for _, kind := range record.Kinds() {
		schemas[kind] = record.NewSchema(kind)
	}
	return &asker{random: random, records: records, schemas: schemas, texts: texts()}
}

// query returns a validated query.
func (a *asker) query() (query.Query, error) {
	kind := pick(a.random, record.Kinds())
	q := query.Query{Kind: kind, Scope: query.All(), Limit: pick(a.random, []int{1, 7, 50, 100, 499, query.MaxLimit})}
	if a.random.IntN(4) != 0 {
		q.Filter = a.filter(kind, 3)
	}
	if a.random.IntN(3) == 0 {
		q.Scope = query.Scope{Name: "namespace/random", Restrict: a.filter(kind, 2)}
	}
	if a.random.IntN(2) == 0 {
		q.From, q.To = a.window()
	}
	return query.Validate(q, a.schemas[kind])
}

// window returns a valid window, whose ends are often times of records.
func (a *asker) window() (from, to time.Time) {
	end := func() time.Time {
		at := pick(a.random, a.records).Base().Time.Time()
		return at.Add(pick(a.random, []time.Duration{0, 0, time.Microsecond, -time.Microsecond, time.Nanosecond, 31 * 24 * time.Hour}))
	}
	switch a.random.IntN(5) {
	case 0:
		return end(), time.Time{}
	case 1:
		return time.Time{}, end()
	case 2:
		return time.Date(1800, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	from, to = end(), end()
	if from.After(to) {
		from, to = to, from
	}
	if from.Equal(to) {
		to = to.Add(time.Microsecond)
	}
	return from, to
}

func (a *asker) filter(kind record.Kind, depth int) query.Filter {
	if depth > 0 {
		switch a.random.IntN(6) {
		case 0:
			return query.And(a.filters(kind, depth))
		case 1:
			return query.Or(a.filters(kind, depth))
		case 2:
			return query.Not{Filter: a.filter(kind, depth-1)}
		}
	}
	return a.leaf(kind)
}

// filters may be empty: so are the filters of a namespace that owns nothing.
func (a *asker) filters(kind record.Kind, depth int) []query.Filter {
	out := make([]query.Filter, a.random.IntN(4))
	for i := range out {
		out[i] = a.filter(kind, depth-1)
	}
	return out
}

func (a *asker) leaf(kind record.Kind) query.Filter {
	if kind == record.KindAudit && a.random.IntN(8) == 0 {
		return a.attribute()
	}
	field := pick(a.random, a.schemas[kind].FieldNames())
	fieldType, _ := a.schemas[kind].FieldType(field)
	switch a.random.IntN(8) {
	case 0:
		return query.Exists{Field: field}
	case 1:
		return query.Text{Words: []string{pick(a.random, searches())}}
	case 2:
		values := make([]string, 1+a.random.IntN(5))
		for i := range values {
			values[i] = a.value(kind, field, fieldType)
		}
		return query.AnyOf{Field: field, Values: values}
	case 3, 4:
		return a.comparison(kind, field, fieldType)
	default:
		return query.Equal{Field: field, Value: a.value(kind, field, fieldType)}
	}
}

// comparison is a prefix, a range or a CIDR, as the field's type allows.
func (a *asker) comparison(kind record.Kind, field string, t query.FieldType) query.Filter {
	switch {
	case t == query.IP:
		return query.CIDR{Field: field, Net: netip.MustParsePrefix(pick(a.random, networks()))}
	case t == query.Keyword && field != "id" && a.random.IntN(2) == 0:
		return query.Prefix{Field: field, Value: a.prefix(kind, field)}
	}
	r := query.Range{Field: field, Min: a.value(kind, field, t), Max: a.value(kind, field, t)}
	switch a.random.IntN(3) {
	case 0:
		r.Min = ""
	case 1:
		r.Max = ""
	}
	return r
}

// prefix cuts a value anywhere, also within a rune, as a caller might.
func (a *asker) prefix(kind record.Kind, field string) string {
	value := a.value(kind, field, query.Keyword)
	return value[:1+a.random.IntN(len(value))]
}

// value returns a value of some record, or any other of the field's type.
func (a *asker) value(kind record.Kind, field string, t query.FieldType) string {
	if a.random.IntN(2) == 0 {
		if value, ok := a.stored(kind, field); ok {
			return value
		}
	}
	switch {
	case field == "id":
		return pick(a.random, a.records).Base().ID.String()
	case t == query.IP:
		return pick(a.random, append(addresses(), "::ffff:10.0.0.1", "fe80::1%eth0", "2001:DB8::1"))
	case t == query.Integer:
		return strconv.FormatInt(pick(a.random, integers()), 10)
	case t == query.Time:
		at := pick(a.random, a.records).Base().Time.Time()
		return pick(a.random, []string{
			at.Format(time.RFC3339Nano), at.In(time.FixedZone("", 5400)).Format(time.RFC3339Nano),
			at.Add(time.Nanosecond).Format(time.RFC3339Nano), "0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:00",
		})
	default:
		return pick(a.random, a.texts)
	}
}

func (a *asker) stored(kind record.Kind, name string) (string, bool) {
	r := pick(a.random, a.records)
	for _, field := range record.Fields(kind) {
		if field.Name == name && r.Kind() == kind {
			return field.Value(r)
		}
	}
	return "", false
}

func (a *asker) attribute() query.Filter {
	part := func() []string {
		values := make([]string, a.random.IntN(3))
		for i := range values {
			values[i] = pick(a.random, []string{"alice", "bob", "role", "group", "ALICE", "a%b", "a_b", "nul\x00in", "😀", "été web", record8191("q") + "more"})
		}
		return values
	}
	f := query.Attribute{Type: part(), ID: part(), OrgID: part(), Name: part()}
	if len(f.Type)+len(f.ID)+len(f.OrgID)+len(f.Name) == 0 {
		f.Type = []string{"role"}
	}
	return f
}
