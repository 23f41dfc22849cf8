package sqlite

import (
	"math"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// pageStatement reads up to limit documents of a plan, newest first, with their
// times and ids.
//
// The rows are found first, as a materialised list of references, and fetched
// afterwards. So all the searching happens in the statement's first step, which
// is the only one that the driver interrupts when a context ends, while the
// documents can still be read one by one and no more than a page may hold.
func pageStatement(l *layout, p plan, limit int) (statement, error) {
	c := &compiler{layout: l}
	c.write("WITH page (ref, time, id) AS MATERIALIZED (")
	c.found(p, "DESC", limit)
	c.write(") SELECT page.time, page.id, r.doc FROM page CROSS JOIN ", l.table, " AS r ON r.ref = page.ref")
	return c.done()
}

// refsStatement finds up to limit rows of a plan, oldest first: their references,
// times and ids.
func refsStatement(l *layout, p plan, limit int) (statement, error) {
	c := &compiler{layout: l}
	c.write("WITH page (ref, time, id) AS MATERIALIZED (")
	c.found(p, "ASC", limit)
	c.write(") SELECT ref, time, id FROM page")
	return c.done()
}

// found writes the SELECT of the first rows of a plan in an order of time.
func (c *compiler) found(p plan, direction string, limit int) {
	if p.walk == walkMerge {
		for i, value := range p.values {
			if i > 0 {
				c.write(" UNION ALL ")
			}
			arm := p
			arm.walk, arm.values = walkField, []string{value}
			c.rows(arm, "d.ref AS ref, d.time AS time, d.id AS id")
		}
	} else {
		c.rows(p, c.references(p))
	}
	c.write(" ORDER BY time ", direction, ", id ", direction, " LIMIT ")
	c.bind(int64(limit))
}

// countStatement counts the rows of a plan, at most `most` of them.
func countStatement(l *layout, p plan, most int64) (statement, error) {
	c := &compiler{layout: l}
	if p.walk == walkMerge { // order costs, and counting needs none
		p.walk = walkGather
	}
	c.write("SELECT count(*) FROM (")
	if p.walk == walkPart {
		c.rows(p, c.references(p))
	} else {
		c.rows(p, "1")
	}
	c.write(" LIMIT ")
	c.bind(most)
	c.write(")")
	return c.done()
}

// probeStatement counts the index entries that a walkGather would sort, at most
// `most` of them.
func probeStatement(l *layout, p plan, most int64) (statement, error) {
	if p.condition != nil {
		// The index is not ordered by time below a range: bounding time
		// would not bound what is read.
		p.window = window{from: math.MinInt64, to: math.MaxInt64}
	}
	p.residual = nil
	return countStatement(l, p, most)
}

// documentStatement reads the document with an id, if scope allows it.
func documentStatement(l *layout, id record.ID, scope query.Filter) (statement, error) {
	c := &compiler{layout: l}
	c.write("SELECT d.doc FROM ", l.table, " AS d WHERE d.id = ")
	c.bind(id[:])
	if scope != nil {
		c.write(" AND ")
		c.filter(scope, "d")
	}
	return c.done()
}

func (c *compiler) references(p plan) string {
	if p.walk == walkPart {
		// Two attributes of one record may have the value. They are
		// neighbours in the index, so that nothing is sorted.
		return "DISTINCT d.ref AS ref, d.time AS time, d.id AS id"
	}
	return "d.ref AS ref, d.time AS time, d.id AS id"
}

// rows writes the SELECT that walks a plan's index; d is what is walked.
func (c *compiler) rows(p plan, columns string) {
	c.write("SELECT ", columns, " FROM ")
	row := "d"
	switch p.walk {
	case walkWord, walkPart:
		c.write(p.table(c.layout), " AS d")
		if p.walk == walkPart {
			c.write(" INDEXED BY ", c.layout.parts, "_by_", p.field)
		}
		if needsRow(query.And(p.residual)) {
			row = "t"
			c.write(" CROSS JOIN ", c.layout.table, " AS t ON t.ref = d.ref")
		}
	case walkTime:
		c.write(c.layout.table, " AS d INDEXED BY ", c.layout.index("time"))
	default:
		c.write(c.layout.table, " AS d INDEXED BY ", c.layout.index(p.field))
	}
	c.write(" WHERE ")
	c.walked(p)
	c.window(p.window)
	if len(p.residual) > 0 {
		c.write(" AND ")
		c.filter(query.And(p.residual), row)
	}
}

func (p plan) table(l *layout) string {
	if p.walk == walkPart {
		return l.parts
	}
	return l.words
}

// walked writes the condition that fixes the walked index.
func (c *compiler) walked(p plan) {
	switch {
	case p.walk == walkTime:
		c.write("1")
	case p.walk == walkWord:
		c.write("d.word = ")
		c.bind(p.values[0])
	case p.walk == walkPart:
		c.write("1")
		c.attribute(p.part, "d")
	case p.condition != nil:
		c.leaf(p.condition, "d")
	default:
		c.oneOf(p.indexed(c.layout), "d."+p.field, p.values)
	}
}

// window writes the bounds of time. At most one bound of a side is written, the
// narrower of window's end and position, so that the walk starts there.
func (c *compiler) window(w window) {
	switch {
	case w.past != nil && w.past.Micros >= w.from:
		c.write(" AND (d.time, d.id) > (")
		c.bind(w.past.Micros)
		c.write(", ")
		c.bind(w.past.ID[:])
		c.write(")")
	case w.from != math.MinInt64:
		c.write(" AND d.time >= ")
		c.bind(w.from)
	}
	switch {
	case w.after != nil && w.after.Micros < w.to:
		c.write(" AND (d.time, d.id) < (")
		c.bind(w.after.Micros)
		c.write(", ")
		c.bind(w.after.ID[:])
		c.write(")")
	case w.to != math.MaxInt64:
		c.write(" AND d.time < ")
		c.bind(w.to)
	}
}
