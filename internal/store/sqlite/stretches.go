package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// monthName is how a stretch is named: a calendar month in UTC.
const monthName = "2006-01"

// Stretches lists the calendar months (UTC) that hold records of a kind, oldest
// first, as they are at one instant. The counts and times are exact; they are read
// from two indices, an entry for each record, and no documents. Bytes is an
// estimate: of what the file uses of the disk, indices and the other kind of
// record included, the part that falls to so many records.
func (s *Store) Stretches(ctx context.Context, kind record.Kind) ([]store.Stretch, error) {
	op := fmt.Sprintf("list the months of %s", kind)
	ctx, done, err := s.begin(ctx, op)
	if err != nil {
		return nil, err
	}
	defer done()
	l, ok := s.layouts[kind]
	if !ok {
		return nil, invalid(op, fmt.Errorf("%q is not a kind of record", kind))
	}
	months, err := s.months(ctx, l)
	if err != nil {
		return nil, failure(ctx, op, err)
	}
	return months, nil
}

func (s *Store) months(ctx context.Context, l *layout) ([]store.Stretch, error) {
	tx, err := s.read.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	totals, err := stocks(ctx, tx, l.stockStatement(l.byMonth()))
	if err != nil || len(totals) == 0 {
		return nil, err
	}
	orgs, err := stocks(ctx, tx, l.stockStatement(l.byOrgAndMonth()))
	if err != nil {
		return nil, err
	}
	each, err := s.bytesPerRecord(ctx, tx)
	if err != nil {
		return nil, err
	}
	months := make([]store.Stretch, 0, len(totals))
	for _, total := range totals {
		m := store.Stretch{Kind: l.kind, Name: total.from.Format(monthName), From: total.from, To: total.from.AddDate(0, 1, 0),
			Bytes: int64(each * float64(total.Records))}
		rest := total.Records // of no org
		for len(orgs) > 0 && orgs[0].from.Equal(total.from) {
			m.Orgs = append(m.Orgs, orgs[0].Stock)
			rest -= orgs[0].Records
			orgs = orgs[1:]
		}
		if rest > 0 {
			of, err := l.ofNoOrg(ctx, tx, m)
			if err != nil {
				return nil, err
			}
			of.Records = rest
			m.Orgs = slices.Insert(m.Orgs, 0, of)
		}
		months = append(months, m)
	}
	return months, nil
}

// monthStock is what one month has, of one org or of all.
type monthStock struct {
	store.Stock
	from time.Time
}

// grouping is how records are counted: on which index, in which groups.
type grouping struct {
	index string
	org   string // the group's org, of the record t
	key   string // the order of the index
	where string // what the index has
	after string // the first entry n of the group behind m
	of    string // c is of the org of m
}

func (l *layout) byMonth() grouping {
	return grouping{index: l.index("time"), org: "''", key: "n.time, n.id", where: "1", after: "n.time >= m.stop", of: "1"}
}

func (l *layout) byOrgAndMonth() grouping {
	return grouping{index: l.index("org_id"), org: "t.org_id", key: "n.org_id, n.time, n.id", where: "n.org_id IS NOT NULL",
		after: "(n.org_id, n.time) >= (m.org_id, m.stop)", of: "c.org_id = m.org_id"}
}

// stockStatement counts the records of each group that has any. It goes from one
// group to the next by the first entry that the index has behind it: a GROUP BY
// would compute the month of every record.
func (l *layout) stockStatement(g grouping) string {
	first := func(where string) string {
		return fmt.Sprintf("SELECT n.ref FROM %s AS n INDEXED BY %s WHERE %s AND %s ORDER BY %s LIMIT 1", l.table, g.index, g.where, where, g.key)
	}
	group := fmt.Sprintf("%s, t.time, unixepoch(t.time / 1000000, 'unixepoch', 'start of month') * 1000000, "+
		"unixepoch(t.time / 1000000, 'unixepoch', 'start of month', '+1 month') * 1000000", g.org)
	all := fmt.Sprintf("FROM %s AS c INDEXED BY %s WHERE %s AND c.time >= m.start AND c.time < m.stop", l.table, g.index, g.of)
	return fmt.Sprintf("WITH RECURSIVE month (org_id, oldest, start, stop) AS ("+
		"SELECT %[1]s FROM %[2]s AS t WHERE t.ref = (%[3]s) "+
		"UNION ALL SELECT %[1]s FROM month AS m CROSS JOIN %[2]s AS t ON t.ref = (%[4]s)) "+
		"SELECT m.start, m.org_id, (SELECT count(*) %[5]s), m.oldest, (SELECT max(c.time) %[5]s) FROM month AS m ORDER BY m.start, m.org_id",
		group, l.table, first("1"), first(g.after), all)
}

// stocks reads what stockStatement selects.
func stocks(ctx context.Context, tx *sql.Tx, text string) (all []monthStock, err error) {
	rows, err := tx.QueryContext(ctx, text)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var start, oldest, newest int64
		var of monthStock
		if err := rows.Scan(&start, &of.OrgID, &of.Records, &oldest, &newest); err != nil {
			return nil, err
		}
		of.from, of.Oldest, of.Newest = instant(start), instant(oldest), instant(newest)
		all = append(all, of)
	}
	return all, rows.Err()
}

func instant(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// ofNoOrg finds the oldest and the newest record of a month that has no org. There
// is one.
func (l *layout) ofNoOrg(ctx context.Context, tx *sql.Tx, m store.Stretch) (store.Stock, error) {
	var of store.Stock
	for direction, into := range map[string]*time.Time{"ASC": &of.Oldest, "DESC": &of.Newest} {
		text := fmt.Sprintf("SELECT time FROM %s INDEXED BY %s WHERE time >= ? AND time < ? AND org_id IS NULL ORDER BY time %s LIMIT 1",
			l.table, l.index("time"), direction)
		var micros int64
		if err := tx.QueryRowContext(ctx, text, m.From.UnixMicro(), m.To.UnixMicro()).Scan(&micros); err != nil {
			return of, err
		}
		*into = instant(micros)
	}
	return of, nil
}

// bytesPerRecord is what a record uses of the disk, on average over both kinds; 0
// when there is none.
func (s *Store) bytesPerRecord(ctx context.Context, tx *sql.Tx) (float64, error) {
	var pages, free, records int64
	for text, into := range map[string]*int64{
		"PRAGMA page_count":     &pages,
		"PRAGMA freelist_count": &free,
		"SELECT (SELECT count(*) FROM audit) + (SELECT count(*) FROM auth_audit)": &records,
	} {
		if err := tx.QueryRowContext(ctx, text).Scan(into); err != nil {
			return 0, err
		}
	}
	if records == 0 {
		return 0, nil
	}
	return float64((pages-free)*pageBytes) / float64(records), nil
}
