package sqlite

import (
	"fmt"
	"net/netip"
	"strconv"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// layout is how one kind of record lies in tables. Its columns are those of the
// filterable fields, named as they are. Keywords are TEXT compared by bytes,
// instants µs, ids 16 bytes, addresses what addressBytes makes; an absent field
// is NULL.
type layout struct {
	kind   record.Kind
	table  string // one row per record
	words  string // (word, time, id) -> record
	parts  string // the attributes of records, "" for kinds without
	fields []record.Field
	byName map[string]record.Field
	schema *record.Schema
}

// layouts returns the layout of every kind.
func layouts() map[record.Kind]*layout {
	all := map[record.Kind]*layout{}
	for kind, table := range map[record.Kind]string{record.KindAudit: "audit", record.KindAuthAudit: "auth_audit"} {
		l := &layout{kind: kind, table: table, words: table + "_word", byName: map[string]record.Field{},
			schema: record.NewSchema(kind)}
		if kind == record.KindAudit {
			l.parts = table + "_attribute"
		}
		for _, f := range record.Fields(kind) {
			if f.Filterable() {
				l.fields = append(l.fields, f)
				l.byName[f.Name] = f
			}
		}
		all[kind] = l
	}
	return all
}

// index names the index on a field.
func (l *layout) index(field string) string { return l.table + "_by_" + field }

// partColumns are the columns of an attribute, in the order of record.Attribute.
var partColumns = [...]string{"attribute_type", "attribute_id", "attribute_org_id", "attribute_name"}

func (l *layout) field(name string) (record.Field, error) {
	f, ok := l.byName[name]
	if !ok {
		return f, fmt.Errorf("%s records have no field %q to filter on", l.kind, name)
	}
	return f, nil
}

// columnType is the declared type of a field's column. It is also the column's
// affinity, so a bound value is always of the type that is stored.
func columnType(f record.Field) string {
	switch {
	case f.Name == "id" || f.Type == query.IP:
		return "BLOB"
	case f.Type == query.Integer || f.Type == query.Time:
		return "INTEGER"
	default:
		return "TEXT"
	}
}

// bound turns the canonical text of a field's value into what its column holds.
func bound(f record.Field, text string) (any, error) {
	switch {
	case f.Name == "id":
		id, err := record.ParseID(text)
		return id[:], err
	case f.Type == query.IP:
		addr, err := netip.ParseAddr(text)
		return addressBytes(addr), err
	case f.Type == query.Integer:
		return strconv.ParseInt(text, 10, 64)
	case f.Type == query.Time:
		var t record.Timestamp
		err := t.UnmarshalText([]byte(text))
		return int64(t), err
	default:
		return text, nil
	}
}

// addressBytes puts the family before the address: 4 or 6, then its bytes. So
// the addresses of one network are one range of bytes, and ::/0, which is every
// IPv6 address, holds no IPv4 one.
func addressBytes(addr netip.Addr) []byte {
	addr = addr.Unmap()
	family := byte('6')
	if addr.Is4() {
		family = '4'
	}
	return append([]byte{family}, addr.AsSlice()...)
}

// networkBounds returns the first and the last address of a network.
func networkBounds(net netip.Prefix) (first, last []byte) {
	family, address := byte('6'), net.Masked().Addr().AsSlice()
	if net.Addr().Is4() {
		family = '4'
	}
	first = append([]byte{family}, address...)
	last = append([]byte{family}, address...)
	for bit := net.Bits(); bit < 8*len(address); bit++ {
		last[1+bit/8] |= 1 << (7 - bit%8)
	}
	return first, last
}

// afterPrefix returns the least text that is greater than every text with the
// prefix, and false when there is none. It need not be valid UTF-8: SQLite
// compares bytes.
func afterPrefix(prefix string) (string, bool) {
	end := []byte(prefix)
	for len(end) > 0 && end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	if len(end) == 0 {
		return "", false
	}
	end[len(end)-1]++
	return string(end), true
}
