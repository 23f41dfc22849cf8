package ingest

import (
	"bytes"
	"hash/maphash"
	"sync"

	"auditquery.dev/auditquery/internal/record"
)

// MaxKnown is how many records of the spool are known by their ids: some 15 MB.
const MaxKnown = 200_000

// Known is which records are in the spool, as far as it remembers, so that a
// sender can be told that it sent the same record before. Nothing depends on it:
// what it doesn't know goes through the spool again, and the store finds out. It
// is safe for concurrent use.
type Known struct {
	seed  maphash.Seed
	limit int

	mutex   sync.Mutex
	records map[record.ID]knownRecord
	claims  uint64
}

// knownRecord is a record that is in the spool or, until it is durable, is on its
// way there in the hands of the one that claimed its id first.
type knownRecord struct {
	content uint64
	claim   uint64 // 0 once the record is durable
}

// knownItem is a record's identity and the hash of its content.
type knownItem struct {
	id      record.ID
	content uint64
}

// NewKnown returns a set that knows nothing yet.
func NewKnown() *Known {
	return &Known{seed: maphash.MakeSeed(), limit: MaxKnown, records: map[record.ID]knownRecord{}}
}

// Forget is told of records that have left the spool.
func (k *Known) Forget(ids []record.ID) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	for _, id := range ids {
		delete(k.records, id)
	}
}

// Len is how many records are known.
func (k *Known) Len() int {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return len(k.records)
}

// item hashes a document without the time of its ingest, in which two copies of
// one record differ.
func (k *Known) item(id record.ID, document []byte) knownItem {
	var h maphash.Hash
	h.SetSeed(k.seed)
	before, after := withoutIngestTime(document)
	_, _ = h.Write(before)
	_, _ = h.Write(after)
	return knownItem{id: id, content: h.Sum64()}
}

func withoutIngestTime(document []byte) (before, after []byte) {
	const name = `"ingest_time":"`
	// It is the third member, after two of fixed length.
	head := document[:min(len(document), 256)]
	start := bytes.Index(head, []byte(name))
	if start < 0 {
		return document, nil
	}
	value := document[start+len(name):]
	end := bytes.IndexByte(value, '"')
	if end < 0 {
		return document, nil
	}
	return document[:start], value[end:]
}

// has tells whether the same record is in the spool for sure.
func (k *Known) has(item knownItem) bool {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	r, ok := k.records[item.id]
	return ok && r.claim == 0 && r.content == item.content
}

// claim notes records that are about to go into the spool, before they do: the
// spool may hand them on, and Forget may be called, before the one that put them
// there runs again.
func (k *Known) claim(items []knownItem) (claim uint64) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.claims++
	for _, item := range items {
		if _, ok := k.records[item.id]; !ok && len(k.records) < k.limit {
			k.records[item.id] = knownRecord{content: item.content, claim: k.claims}
		}
	}
	return k.claims
}

// settle ends a claim: the records are durable, or none of them is.
func (k *Known) settle(claim uint64, items []knownItem, durable bool) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	for _, item := range items {
		r, ok := k.records[item.id]
		switch {
		case !ok || r.claim != claim:
		case durable:
			r.claim = 0
			k.records[item.id] = r
		default:
			delete(k.records, item.id)
		}
	}
}
