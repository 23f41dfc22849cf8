package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// marker begins each frame of a segment. It is drawn at random for each segment,
// so that nobody can send a record that is taken for frames when the bytes before
// it are damaged.
type marker [8]byte

// header is what a frame has before its entry.
type header struct {
	// seq is the entry's sequence number.
	seq uint64
	// appended is when it was appended, in microseconds since 1970.
	appended int64
	// group is where in the segment the write began that the frame was part of:
	// all before it had been made durable by then.
	group uint32
	// length and sum are the entry's number of bytes and their CRC-32C.
	length, sum uint32
}

// headerSize is that of header with marker and its own checksum.
const headerSize = 8 + 8 + 8 + 4 + 4 + 4 + 4

// The offsets of length and sum, which a batch knows before the rest.
const (
	lengthAt = 28
	sumAt    = 32
)

func castagnoli(data []byte) uint32 {
	return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
}

// put fills in the first headerSize bytes of b, of which length and sum are there.
func (h *header) put(b []byte, m marker) {
	copy(b, m[:])
	binary.LittleEndian.PutUint64(b[8:], h.seq)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.appended))
	binary.LittleEndian.PutUint32(b[24:], h.group)
	binary.LittleEndian.PutUint32(b[36:], castagnoli(b[:36]))
}

// parseHeader reads what put wrote; false when it is damaged or none.
func parseHeader(b []byte, m marker) (header, bool) {
	if len(b) < headerSize || !bytes.Equal(b[:8], m[:]) ||
		binary.LittleEndian.Uint32(b[36:]) != castagnoli(b[:36]) {
		return header{}, false
	}
	return header{
		seq:      binary.LittleEndian.Uint64(b[8:]),
		appended: int64(binary.LittleEndian.Uint64(b[16:])),
		group:    binary.LittleEndian.Uint32(b[24:]),
		length:   binary.LittleEndian.Uint32(b[lengthAt:]),
		sum:      binary.LittleEndian.Uint32(b[sumAt:]),
	}, true
}
