package ship

import (
	"time"

	"auditquery.dev/auditquery/internal/ingest/entry"
	"auditquery.dev/auditquery/internal/ingest/spool"
)

// item is one record on its way, as it was taken from the spool.
type item struct {
	seq  uint64
	data []byte
	// entry shares memory with data; it is valid where err is nil.
	entry entry.Entry
	err   error
}

// group is what is sent in one call.
type group struct {
	items []item
	bytes int
	// tries is how often it failed, or the items of it that failed most often.
	tries int
	// due is when it may be sent again.
	due time.Time
	// whole says that all of it failed together, when the store had succeeded
	// with so many groups.
	whole     bool
	successes uint64
	// forgiven says that it failed while the store was away, and that this is
	// not held against it when the store is back: free is true until it is sent
	// again. A group is forgiven once.
	forgiven, free bool
	// alone says that the group may be at fault itself: it is sent without
	// others, and what becomes of it says nothing about the store.
	alone bool
}

func newGroup(taken []spool.Taken) *group {
	g := &group{items: make([]item, 0, len(taken))}
	for _, t := range taken {
		i := item{seq: t.Seq, data: t.Data}
		i.entry, i.err = entry.Parse(t.Data)
		g.items = append(g.items, i)
		g.bytes += len(t.Data)
	}
	return g
}

// fresh says that none of it was sent before.
func (g *group) fresh() bool { return g.tries == 0 }

// split takes the items beyond records or bytes out of the group; nil when there
// are none. At least one item stays.
func (g *group) split(records, bytes int) *group {
	at, held := 0, 0
	for at < len(g.items) && at < records && (at == 0 || held+len(g.items[at].data) <= bytes) {
		held += len(g.items[at].data)
		at++
	}
	if at == len(g.items) {
		return nil
	}
	rest := *g
	rest.items, rest.bytes = g.items[at:], g.bytes-held
	g.items, g.bytes = g.items[:at:at], held
	return &rest
}

// join adds another group's items.
func (g *group) join(other *group) {
	g.items = append(g.items, other.items...)
	g.bytes += other.bytes
	g.tries = max(g.tries, other.tries)
}

// left is a group of those items that have to be sent again.
func (g *group) left(items []item) *group {
	rest := &group{items: items, tries: g.tries + 1}
	for _, i := range items {
		rest.bytes += len(i.data)
	}
	return rest
}
