package storetest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// spanMonths is how many months random records are spread over.
const spanMonths = 14

func spanStart() time.Time { return time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC) }

// ingested is when the records of the suite were taken in.
func ingested() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 123456000, time.UTC) }

// generator makes random records that Normalize leaves as they are.
type generator struct {
	random *rand.Rand
	// times is a small pool, so that many records share a time.
	times     []record.Timestamp
	texts     []string
	addresses []string
	phrases   []string
	details   []string
	integers  []int64
	serial    uint64
}

func newGenerator(random *rand.Rand) *generator {
	g := &generator{
		random: random, texts: texts(), addresses: addresses(), phrases: phrases(), details: details(), integers: integers(),
	}
	start := spanStart()
	end := start.AddDate(0, spanMonths, 0)
	for month := range spanMonths {
		first := record.At(start.AddDate(0, month, 0))
		g.times = append(g.times, first, first-1)
	}
	g.times = g.times[2:] // the first month has no predecessor in the span
	for len(g.times) < randomTimes {
		at := record.At(start.Add(time.Duration(g.random.Int64N(int64(end.Sub(start))))))
		g.times = append(g.times, at, at+1, at/1000*1000, at/1_000_000*1_000_000)
	}
	return g
}

// id returns an id that no other record of the generator has. Half of the ids
// have a sign bit, and many share their first half.
func (g *generator) id() record.ID {
	var id record.ID
	binary.BigEndian.PutUint64(id[:8], pick(g.random, []uint64{
		0, 1, 1<<63 - 1, 1 << 63, 1<<64 - 1, 1<<53 + 1, g.random.Uint64(), g.random.Uint64(), g.random.Uint64(),
	}))
	g.serial++
	low := g.serial
	if g.random.IntN(2) == 0 {
		low |= 1 << 63
	}
	binary.BigEndian.PutUint64(id[8:], low)
	return id
}

// record makes one record, in which every field is sometimes absent.
func (g *generator) record(kind record.Kind) record.Record {
	r := record.New(kind)
	base := r.Base()
	base.ID = g.id()
	base.Time = pick(g.random, g.times)
	for _, field := range record.Fields(kind) {
		g.fill(field, r)
	}
	if text := pick(g.random, g.details); text != "" {
		base.Details = json.RawMessage(text)
	}
	record.Normalize(r, ingested().Add(time.Duration(g.random.IntN(5))*time.Hour))
	return r
}

func (g *generator) fill(field record.Field, r record.Record) {
	if g.random.IntN(3) == 0 {
		return
	}
	switch p := field.Pointer(r).(type) {
	case *string:
		switch {
		case field.Type == query.IP:
			*p = pick(g.random, g.addresses)
		case field.Name == "description" || (field.Name == "target_resource_name" && g.random.IntN(2) == 0):
			*p = pick(g.random, g.phrases)
		default:
			*p = g.text()
		}
	case *int64:
		*p = pick(g.random, g.integers)
	case *[]record.Attribute:
		*p = g.attributes()
	}
}

// text favours short values: long ones are a tenth of the pool but must not be
// a tenth of the bytes that a run sends.
func (g *generator) text() string {
	text := pick(g.random, g.texts)
	if len(text) > 1000 && g.random.IntN(4) != 0 {
		return "alice"
	}
	return text
}

func (g *generator) attributes() []record.Attribute {
	var out []record.Attribute
	part := func() string {
		if g.random.IntN(3) == 0 {
			return ""
		}
		return pick(g.random, []string{"alice", "bob", "role", "group", "ALICE", "a%b", "nul\x00in", "😀", "été web", record8191("q")})
	}
	for range g.random.IntN(4) {
		out = append(out, record.Attribute{Type: part(), ID: part(), OrgID: part(), Name: part()})
	}
	return out
}

// records makes count records, of both kinds in turn.
func (g *generator) records(count int) []record.Record {
	out := make([]record.Record, count)
	for i := range out {
		out[i] = g.record(record.Kinds()[i%len(record.Kinds())])
	}
	return out
}

// change modifies a record that is to be valid otherwise.
type change func(*record.Audit)

// audit makes a plain record number n, a second after number n-1.
func audit(n int, changes ...change) *record.Audit {
	a := &record.Audit{
		Common: record.Common{
			ID:         record.BulkID(record.KindAudit, "storetest", fmt.Sprint(n), spanStart()),
			Time:       record.At(spanStart().Add(time.Duration(n) * time.Second)),
			SourceType: record.SourceBulk, Cluster: "main", OrgID: "shop", UserID: "alice",
		},
		Action: "delete", Outcome: "Success", ResponseCode: 200,
	}
	for _, c := range changes {
		c(a)
	}
	record.Normalize(a, ingested())
	return a
}

// audits makes plain records with the numbers from first to before end.
func audits(first, end int, changes ...change) []record.Record {
	var out []record.Record
	for n := first; n < end; n++ {
		out = append(out, audit(n, changes...))
	}
	return out
}
