package trail

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

// What records are drawn from.
const (
	// Orgs is how many organisations there are; a few records have none.
	Orgs = 40
	// Users is how many people each of them has.
	Users = 25
	// Targets is how many things there are to act on.
	Targets = 60
)

// Org names an organisation, 0 to Orgs-1. The first have the most records.
func Org(n int) string { return fmt.Sprintf("org-%02d", n) }

// User names a person, 0 to Users-1.
func User(n int) string { return fmt.Sprintf("user-%02d", n) }

// Target names a thing, 0 to Targets-1.
func Target(n int) string { return fmt.Sprintf("target-%02d", n) }

// Maker makes records, each of them once. The same seed gives the same records.
type Maker struct {
	random *rand.Rand
	made   int64
}

// NewMaker starts anew.
func NewMaker(seed uint64) *Maker {
	return &Maker{random: rand.New(rand.NewPCG(seed, 6))}
}

// Between makes n records of both kinds of times in [from, to), one in a hundred at
// the first instant of a month. They are taken in at to.
func (m *Maker) Between(n int, from, to time.Time) []record.Record {
	records := make([]record.Record, 0, n)
	for range n {
		at := from.Add(time.Duration(m.random.Int64N(to.Sub(from).Microseconds())) * time.Microsecond)
		if first := time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC); m.random.IntN(100) == 0 && !first.Before(from) {
			at = first
		}
		records = append(records, m.At(at, to))
	}
	return records
}

// Late makes n records that come late, of two weeks between two instants.
func (m *Maker) Late(n int, from, to time.Time) []record.Record {
	const week = 7 * 24 * time.Hour
	records := make([]record.Record, 0, n)
	for range 2 {
		begin := from.Add(time.Duration(m.random.Int64N(int64(to.Sub(from) - week))))
		for range n / 2 {
			records = append(records, m.At(begin.Add(time.Duration(m.random.Int64N(int64(week)))), to))
		}
	}
	return records
}

// Around makes n records of both kinds at an instant and as many a microsecond
// before and after it.
func (m *Maker) Around(n int, at, ingested time.Time) []record.Record {
	var records []record.Record
	for range n {
		for _, shift := range []time.Duration{-time.Microsecond, 0, time.Microsecond} {
			records = append(records, m.At(at.Add(shift), ingested))
		}
	}
	return records
}

// At makes one record.
func (m *Maker) At(at, ingested time.Time) record.Record {
	m.made++
	common := m.common(at)
	var r record.Record
	if m.random.IntN(4) == 0 {
		r = &record.AuthAudit{Common: common, EventName: "Login", Result: record.OutcomeSuccess, ClientID: "client-1"}
	} else {
		a := &record.Audit{Common: common, Action: "update", Outcome: record.OutcomeSuccess, APIName: "applications",
			TargetResourceType: "application", TargetResourceName: "intranet", Description: "somebody updated the application intranet"}
		if m.random.IntN(3) > 0 {
			a.TargetID = Target(m.random.IntN(Targets))
		}
		r = a
	}
	record.Normalize(r, ingested)
	return r
}

func (m *Maker) common(at time.Time) record.Common {
	c := record.Common{
		Time: record.At(at), SourceType: record.SourceBulk, Cluster: "shop", UserID: User(m.random.IntN(Users)),
		ActorType: record.ActorHuman, SourceIP: "192.0.2.7", TraceID: fmt.Sprintf("trace-%d", m.made),
	}
	if m.random.IntN(200) > 0 {
		share := m.random.Float64()
		c.OrgID = Org(int(Orgs * share * share))
	}
	binary.BigEndian.PutUint64(c.ID[:8], m.random.Uint64())
	binary.BigEndian.PutUint64(c.ID[8:], uint64(m.made))
	return c
}
