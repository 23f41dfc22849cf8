package spool

import (
	"encoding/binary"
	"fmt"
)

// Batch is filled by one goroutine and appended whole. The zero Batch is empty
// and ready. Its entries are framed where they are appended and are not copied
// again.
type Batch struct {
	buf []byte
	n   int
	err error
}

// Add appends one entry: entry appends its bytes to dst and returns the result,
// as append does. An entry of more than MaxEntry bytes makes Append fail with
// ErrTooLarge until the batch is reset.
func (b *Batch) Add(entry func(dst []byte) []byte) {
	start := len(b.buf)
	var room [headerSize]byte
	b.buf = entry(append(b.buf, room[:]...))
	data := b.buf[start+headerSize:]
	if len(data) > MaxEntry {
		b.err = fmt.Errorf("%w: an entry of %d bytes", ErrTooLarge, len(data))
		b.buf = b.buf[:start]
		return
	}
	head := b.buf[start:]
	binary.LittleEndian.PutUint32(head[lengthAt:], uint32(len(data)))
	binary.LittleEndian.PutUint32(head[sumAt:], castagnoli(data))
	b.n++
}

// Len is the number of entries.
func (b *Batch) Len() int { return b.n }

// Bytes is what the entries will take on disk.
func (b *Batch) Bytes() int { return len(b.buf) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.buf, b.n, b.err = b.buf[:0], 0, nil
}

// number fills in all headers; the first entry gets the sequence number of h.
func (b *Batch) number(h header, m marker) {
	for at := 0; at < len(b.buf); h.seq++ {
		head := b.buf[at:]
		h.put(head, m)
		at += headerSize + int(binary.LittleEndian.Uint32(head[lengthAt:]))
	}
}
