package storetest

import (
	"net/netip"
	"strconv"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// systematicQueries asks every kind of filter, on its own and inside Not, with
// every value of the pools.
func systematicQueries() []query.Query {
	var filters []query.Filter
	seen := map[string]bool{}
	for _, text := range texts() {
		if seen[text] {
			continue
		}
		seen[text] = true
		filters = append(filters,
			query.Equal{Field: "user_id", Value: text},
			query.Prefix{Field: "user_id", Value: text},
			query.AnyOf{Field: "user_id", Values: []string{text, "bob"}},
			query.Range{Field: "user_id", Min: text},
			query.Range{Field: "user_id", Max: text})
	}
	filters = append(filters, systematicAddresses()...)
	for _, n := range integers() {
		text := strconv.FormatInt(n, 10)
		filters = append(filters,
			query.Equal{Field: "response_code", Value: text},
			query.Range{Field: "response_code", Min: text},
			query.Range{Field: "response_code", Max: text})
	}
	for _, text := range searches() {
		filters = append(filters, query.Text{Words: []string{text}})
	}
	filters = append(filters, systematicTimes()...)
	filters = append(filters, systematicAttributes()...)
	for _, name := range record.NewSchema(record.KindAudit).FieldNames() {
		filters = append(filters, query.Exists{Field: name})
	}
	filters = append(filters, query.And{}, query.Or{},
		query.And{query.Or{}, query.Exists{Field: "id"}}, query.Or{query.Or{}, query.And{}})
	var out []query.Query
	for i, f := range filters {
		q := query.Query{Kind: record.KindAudit, Scope: query.All(), Limit: query.MaxLimit, Filter: f}
		out = append(out, q)
		if i%3 == 0 {
			q.Filter = query.Not{Filter: f}
			out = append(out, q)
		}
	}
	return out
}

func systematicAddresses() []query.Filter {
	var out []query.Filter
	for _, address := range addresses() {
		out = append(out,
			query.Equal{Field: "source_ip", Value: address},
			query.AnyOf{Field: "source_ip", Values: []string{address, "10.0.0.2"}})
	}
	for _, network := range networks() {
		out = append(out, query.CIDR{Field: "source_ip", Net: netip.MustParsePrefix(network)})
	}
	return out
}

func systematicTimes() []query.Filter {
	var out []query.Filter
	for month := range spanMonths + 1 {
		at := spanStart().AddDate(0, month, 0)
		for _, near := range []time.Duration{-time.Microsecond, 0, time.Nanosecond, time.Microsecond} {
			text := at.Add(near).Format(time.RFC3339Nano)
			out = append(out,
				query.Equal{Field: "time", Value: text},
				query.Range{Field: "time", Min: text},
				query.Range{Field: "time", Max: text})
		}
	}
	for _, text := range []string{"0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2262-06-01T00:00:00Z", "9999-12-31T23:59:59.9-23:59"} {
		out = append(out,
			query.Equal{Field: "ingest_time", Value: text},
			query.AnyOf{Field: "ingest_time", Values: []string{text, ingested().Format(time.RFC3339Nano)}},
			query.Range{Field: "ingest_time", Min: text},
			query.Range{Field: "ingest_time", Max: text})
	}
	return out
}

func systematicAttributes() []query.Filter {
	a, b, r := []string{"alice"}, []string{"bob"}, []string{"role", "group"}
	return []query.Filter{
		query.Attribute{Type: r},
		query.Attribute{ID: a},
		query.Attribute{OrgID: b},
		query.Attribute{Name: []string{"été web"}},
		query.Attribute{Type: r, ID: a},
		query.Attribute{Type: r, Name: a},
		query.Attribute{ID: a, OrgID: b},
		query.Attribute{Type: []string{"nul\x00in"}},
		query.Attribute{Type: []string{"a_b"}},
		query.Attribute{ID: []string{record8191("q") + "more"}},
		query.Attribute{Type: append(r, "alice"), ID: append(r, "alice"), OrgID: append(r, "alice"), Name: append(r, "alice")},
	}
}
