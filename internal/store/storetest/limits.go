package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// limit is a value at or beyond a limit of the record model: how a sender
// wrote it, how it is stored, and which questions find it.
type limit struct {
	name string
	// send changes a record before it is normalised.
	send change
	// stored judges the record after it.
	stored func(*record.Audit) error
	// finds are filters that hold for the record, misses such that do not.
	finds, misses []query.Filter
	// ingest is the time of ingest, if not the suite's.
	ingest time.Time
	// from and to are a window that holds the record.
	from, to time.Time
}

// limits: what normalising makes of values is stored as it is, and questions
// that are written with the original values find it.
func limits(ctx context.Context, b *Backend, _ settings) error {
	want := newNaive()
	cases := allLimits()
	records := make([]record.Record, len(cases))
	for n, c := range cases {
		a := audit(n)
		a.Session = fmt.Sprint("limit-", n)
		c.send(a)
		record.Normalize(a, c.ingested())
		if err := c.stored(a); err != nil {
			return fmt.Errorf("%s: after Normalize: %w", c.name, err)
		}
		records[n] = a
	}
	if err := errors.Join(want.add(records...), appendAll(ctx, b, records)); err != nil {
		return err
	}
	for n, c := range cases {
		if err := c.check(ctx, b, want, records[n]); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return sameWalk(ctx, b.Store, want, everyAudit(7))
}

func (c limit) ingested() time.Time {
	if c.ingest.IsZero() {
		return ingested()
	}
	return c.ingest
}

func (c limit) check(ctx context.Context, b *Backend, want *naive, r record.Record) error {
	if err := sameGet(ctx, b.Store, want, r.Kind(), r.Base().ID, query.All()); err != nil {
		return err
	}
	ask := func(f query.Filter, hits int64) error {
		q, err := validated(query.Query{
			Kind: record.KindAudit, Scope: query.All(), Limit: 10, From: c.from, To: c.to,
			Filter: query.And{query.Equal{Field: "session", Value: r.Base().Session}, f},
		})
		if err != nil {
			return err
		}
		if err := sameWalk(ctx, b.Store, want, q); err != nil {
			return describe(q, err)
		}
		count, err := b.Store.Count(ctx, q, 0)
		if err != nil {
			return describe(q, err)
		}
		if count.Records != hits {
			return describe(q, fmt.Errorf("%d records, want %d", count.Records, hits))
		}
		return nil
	}
	for _, f := range append(c.finds, query.And{}) {
		if err := ask(f, 1); err != nil {
			return err
		}
	}
	for _, f := range c.misses {
		if err := ask(f, 0); err != nil {
			return err
		}
	}
	return nil
}

func allLimits() []limit {
	var out []limit
	out = append(out, textLimits()...)
	out = append(out, addressLimits()...)
	out = append(out, timeLimits()...)
	out = append(out, detailLimits()...)
	return append(out, attributeLimits()...)
}

// textLimits are lengths around the greatest one, and text that is not UTF-8.
func textLimits() []limit {
	cases := []struct{ name, sent, stored string }{
		{"8,190 bytes", strings.Repeat("x", 8190), strings.Repeat("x", 8190)},
		{"8,191 bytes", strings.Repeat("x", 8191), strings.Repeat("x", 8191)},
		{"8,192 bytes", strings.Repeat("x", 8192), strings.Repeat("x", 8191)},
		{"64 kB", strings.Repeat("y", 64<<10), strings.Repeat("y", 8191)},
		{"a rune of two bytes that ends at the limit", strings.Repeat("x", 8189) + "é", strings.Repeat("x", 8189) + "é"},
		{"a rune of two bytes across the limit", strings.Repeat("x", 8190) + "é", strings.Repeat("x", 8190)},
		{"a rune of four bytes across the limit", strings.Repeat("x", 8188) + "😀tail", strings.Repeat("x", 8188)},
		{"a byte that is no UTF-8", "a\xffb", "a\ufffdb"},
		{"a rune that ends too soon", "a\xc3", "a\ufffd"},
		{"a lone surrogate as three bytes", "a\xed\xa0\x80b", "a\ufffdb"},
		{"NUL", "a\x00b", "a\x00b"},
	}
	var out []limit
	for _, c := range cases {
		out = append(out, limit{
			name:   c.name,
			send:   func(a *record.Audit) { a.UserID = c.sent },
			stored: storesUser(c.stored),
			finds: []query.Filter{
				query.Equal{Field: "user_id", Value: c.sent}, query.Prefix{Field: "user_id", Value: c.sent},
				query.AnyOf{Field: "user_id", Values: []string{c.sent, "other"}}, query.Equal{Field: "user_id", Value: c.stored},
			},
			misses: []query.Filter{
				query.Equal{Field: "user_id", Value: "!" + c.sent}, query.Not{Filter: query.Equal{Field: "user_id", Value: c.sent}},
			},
		})
	}
	return append(out, limit{
		name: "a lone surrogate as an escape of JSON",
		send: func(a *record.Audit) {
			if err := record.Decode([]byte(`{"user_id":"a\ud800b"}`), a); err != nil {
				a.UserID = err.Error()
			}
		},
		stored: storesUser("a\ufffdb"),
		finds:  []query.Filter{query.Equal{Field: "user_id", Value: "a\ufffdb"}},
	})
}

func storesUser(want string) func(*record.Audit) error {
	return func(a *record.Audit) error {
		if a.UserID != want {
			return fmt.Errorf("user_id is %q, want %q", brief([]byte(a.UserID)), brief([]byte(want)))
		}
		return nil
	}
}

func addressLimits() []limit {
	in := func(text string) query.Filter {
		return query.CIDR{Field: "source_ip", Net: netip.MustParsePrefix(text)}
	}
	is := func(text string) query.Filter { return query.Equal{Field: "source_ip", Value: text} }
	address := func(sent, stored string, finds, misses []query.Filter) limit {
		return limit{
			name: "the address " + brief([]byte(sent)), send: func(a *record.Audit) { a.SourceIP = sent }, finds: finds, misses: misses,
			stored: func(a *record.Audit) error {
				if a.SourceIP != stored {
					return fmt.Errorf("source_ip is %q, want %q", a.SourceIP, stored)
				}
				return nil
			},
		}
	}
	absent := []query.Filter{query.Not{Filter: query.Exists{Field: "source_ip"}}, query.Not{Filter: is("0.0.0.0")}}
	none := []query.Filter{query.Exists{Field: "source_ip"}, in("0.0.0.0/0"), in("::/0")}
	return []limit{
		address("1.2.3.4", "1.2.3.4", []query.Filter{is("1.2.3.4"), is("::ffff:1.2.3.4"), in("1.2.3.0/24"), in("::ffff:1.2.3.0/120")},
			[]query.Filter{in("::/0"), in("1.2.3.5/32")}),
		address("::ffff:1.2.3.4", "1.2.3.4", []query.Filter{is("1.2.3.4"), is("::ffff:102:304"), in("0.0.0.0/0"), in("::ffff:0:0/96")},
			[]query.Filter{in("::/0"), in("::/96")}),
		address("fe80::1%eth0", "fe80::1", []query.Filter{is("fe80::1"), is("fe80::1%eth1"), in("fe80::/10")}, []query.Filter{in("0.0.0.0/0")}),
		address("2001:DB8:0:0::0001", "2001:db8::1", []query.Filter{is("2001:db8::1"), in("2001:db8::/64"), in("::/0")}, nil),
		address("", "", absent, none),
		address("not an address", "", absent, none),
		address("1.2.3.4.5", "", absent, none),
		address("1.2.3.4:443", "", absent, none),
		address(strings.Repeat("9", 10_000), "", absent, none),
	}
}

func timeLimits() []limit {
	at := mustTime
	early, late := at("1800-01-01T00:00:00Z"), at("2900-01-01T00:00:00Z")
	timed := func(name string, sent, ingest, stored time.Time) limit {
		return limit{
			name: name, ingest: ingest, from: early, to: late,
			send: func(a *record.Audit) { a.Time = record.At(sent) },
			stored: func(a *record.Audit) error {
				if a.Time != record.At(stored) {
					return fmt.Errorf("time is %s, want %s", a.Time, record.At(stored))
				}
				return nil
			},
			finds: []query.Filter{
				query.Equal{Field: "time", Value: stored.Format(time.RFC3339Nano)},
				query.Range{Field: "time", Min: early.Format(time.RFC3339), Max: late.Format(time.RFC3339)},
				query.Range{Field: "time", Min: stored.Format(time.RFC3339Nano), Max: stored.Add(time.Microsecond).Format(time.RFC3339Nano)},
			},
			misses: []query.Filter{
				query.Range{Field: "time", Max: stored.Format(time.RFC3339Nano)}, query.Range{Field: "time", Max: early.Format(time.RFC3339)},
				query.Range{Field: "time", Min: late.Format(time.RFC3339)}, query.Equal{Field: "time", Value: late.Format(time.RFC3339)},
			},
		}
	}
	now, last := ingested(), at("2261-12-31T22:59:59.999999Z")
	return []limit{
		timed("the last microsecond of 1969", at("1969-12-31T23:59:59.999999Z"), now, now),
		timed("the first microsecond of 1970", at("1970-01-01T00:00:00Z"), now, at("1970-01-01T00:00:00Z")),
		timed("the second microsecond of 1970", at("1970-01-01T00:00:00.000001Z"), now, at("1970-01-01T00:00:00.000001Z")),
		timed("2262", at("2262-01-01T00:00:00Z"), now, now),
		timed("2263", at("2263-01-01T00:00:00Z"), now, now),
		timed("the last microsecond before 2262", last.Add(time.Hour), last, last.Add(time.Hour)),
		timed("an hour after ingest, less a microsecond", now.Add(time.Hour-time.Microsecond), now, now.Add(time.Hour-time.Microsecond)),
		timed("an hour after ingest", now.Add(time.Hour), now, now.Add(time.Hour)),
		timed("an hour after ingest and a microsecond", now.Add(time.Hour+time.Microsecond), now, now),
		timed("a year after ingest", now.AddDate(1, 0, 0), now, now),
	}
}

// detailLimits are depths and sizes around the greatest ones.
func detailLimits() []limit {
	nested := func(depth int) string {
		return strings.Repeat(`{"a":`, depth-1) + `{}` + strings.Repeat(`}`, depth-1)
	}
	sized := func(bytes int) string {
		return `{"a":"` + strings.Repeat("d", bytes-len(`{"a":""}`)) + `"}`
	}
	detailed := func(name, sent string, kept bool) limit {
		return limit{
			name: "details: " + name, send: func(a *record.Audit) { a.Details = json.RawMessage(sent) },
			stored: func(a *record.Audit) error {
				if kept && string(a.Details) != sent {
					return fmt.Errorf("details are %s, want what was sent", brief(a.Details))
				}
				marked := strings.Contains(string(a.Details), `"`+record.MarkKey+`"`)
				if !kept && (!marked || len(a.Details) > record.MaxDetailsBytes) {
					return fmt.Errorf("details of %d bytes, marked: %t, want at most %d, marked", len(a.Details), marked, record.MaxDetailsBytes)
				}
				return nil
			},
		}
	}
	return []limit{
		detailed("100 deep", nested(100), true),
		detailed("101 deep", nested(101), false),
		detailed("5,000 deep", nested(5000), false),
		detailed("64 kB", sized(record.MaxDetailsBytes), true),
		detailed("64 kB and a byte", sized(record.MaxDetailsBytes+1), false),
		detailed("1 MB", sized(1<<20), false),
		detailed("a name with a NUL, and dots", `{"a\u0000b":1,"a.b..c":{".":2}}`, true),
	}
}

func attributeLimits() []limit {
	many := func(a *record.Audit, count int) {
		for n := range count {
			a.Attributes = append(a.Attributes, record.Attribute{Type: "user", ID: fmt.Sprint("u", n)})
		}
	}
	holds := func(want int) func(*record.Audit) error {
		return func(a *record.Audit) error {
			if len(a.Attributes) != want {
				return fmt.Errorf("%d attributes, want %d", len(a.Attributes), want)
			}
			return nil
		}
	}
	id := func(n int) query.Filter {
		return query.Attribute{Type: []string{"user"}, ID: []string{fmt.Sprint("u", n)}}
	}
	long := strings.Repeat("x", 9000)
	return []limit{
		{name: "100 attributes", send: func(a *record.Audit) { many(a, 100) }, stored: holds(100), finds: []query.Filter{id(0), id(99)}},
		{
			name: "101 attributes", send: func(a *record.Audit) { many(a, 101) }, stored: holds(100),
			finds: []query.Filter{id(99)}, misses: []query.Filter{id(100)},
		},
		{
			name:   "an attribute of 9,000 bytes",
			send:   func(a *record.Audit) { a.Attributes = []record.Attribute{{Name: long, OrgID: "o"}, {Type: "t"}} },
			stored: holds(2),
			finds:  []query.Filter{query.Attribute{Name: []string{long}}, query.Attribute{Name: []string{long}, OrgID: []string{"o"}}},
			misses: []query.Filter{query.Attribute{Name: []string{long}, Type: []string{"t"}}},
		},
	}
}
