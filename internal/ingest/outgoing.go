package ingest

import (
	"sync"

	"auditquery.dev/auditquery/internal/ingest/entry"
	"auditquery.dev/auditquery/internal/ingest/spool"
)

const (
	// A body goes into the spool in parts of so much.
	maxBatchRecords = 1000
	maxBatchBytes   = 1 << 20
	// stageBytes is how much stays in a small buffer of the request's own, for
	// which it is not charged: so even when all memory is taken, a request goes
	// on in parts that are worth writing. Beyond it a large one is worth its
	// charge.
	stageBytes = 24 << 10
	// maxEntryBytes is less than what the spool takes as one entry.
	maxEntryBytes = 7 << 20
)

// outgoing is what one request has for the spool. A few records stay in a buffer
// that grows with them; more of them go into a batch of maxBatchBytes, which
// several requests use one after the other.
type outgoing struct {
	pool *sync.Pool // of *spool.Batch

	stage []byte
	ends  []int
	batch *spool.Batch // nil until there is much

	next   *entry.Entry
	append func(b []byte) []byte // appends next
}

func newOutgoing(pool *sync.Pool) *outgoing {
	o := &outgoing{pool: pool}
	o.append = func(b []byte) []byte { return entry.Append(b, o.next) }
	return o
}

// add appends a record. Its memory may be used again afterwards.
func (o *outgoing) add(e *entry.Entry) {
	o.next = e
	if o.batch != nil {
		o.batch.Add(o.append)
	} else {
		o.stage = o.append(o.stage)
		o.ends = append(o.ends, len(o.stage))
	}
	o.next = nil
}

func (o *outgoing) len() int {
	if o.batch != nil {
		return o.batch.Len()
	}
	return len(o.ends)
}

func (o *outgoing) bytes() int {
	if o.batch != nil {
		return o.batch.Bytes()
	}
	return len(o.stage)
}

// held is how much memory it takes beyond stageBytes, or would take once settleIn
// was called.
func (o *outgoing) held() int64 {
	if o.batch == nil && len(o.stage) <= stageBytes {
		return 0
	}
	return int64(max(o.bytes(), maxBatchBytes))
}

// settleIn moves much into a batch. What held said was charged.
func (o *outgoing) settleIn() {
	if o.batch == nil && len(o.stage) > stageBytes {
		o.intoBatch()
	}
}

// intoBatch returns everything as a batch.
func (o *outgoing) intoBatch() *spool.Batch {
	if o.batch != nil {
		return o.batch
	}
	o.batch, _ = o.pool.Get().(*spool.Batch)
	start := 0
	for _, end := range o.ends {
		o.batch.Add(func(b []byte) []byte { return append(b, o.stage[start:end]...) })
		start = end
	}
	if cap(o.stage) > 2*stageBytes {
		o.stage = nil // one large record was in it
	}
	return o.batch
}

// clear drops everything, and gives the batch to others.
func (o *outgoing) clear() {
	if o.batch != nil {
		o.batch.Reset()
		o.pool.Put(o.batch)
		o.batch = nil
	}
	o.stage, o.ends = o.stage[:0], o.ends[:0]
}
