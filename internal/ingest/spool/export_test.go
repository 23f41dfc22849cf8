package spool

import (
	"encoding/binary"
	"fmt"
)

// Frames is what a segment with these entries holds. The marker is all zero but
// for its first byte.
func Frames(first uint64, group uint32, entries ...[]byte) []byte {
	var b Batch
	for _, entry := range entries {
		b.Add(func(dst []byte) []byte { return append(dst, entry...) })
	}
	b.number(header{seq: first, appended: 1, group: group}, marker{1})
	return b.buf
}

// Name is the name of the segment that Frames made.
func Name(number, first uint64) string {
	return fmt.Sprintf("%010d-%020d-0100000000000000.v1", number, first)
}

// HeaderSize is the bytes that an entry takes beside its own.
const HeaderSize = headerSize

// WriteProgress writes the progress down now.
func (s *Spool) WriteProgress() { _ = s.writeProgress(false) }

// CheckProgress decodes data, and the same with the right ends around it, and asks
// what is left of a segment.
func CheckProgress(fail func(string, ...any), data []byte, low, high uint64) {
	framed := append([]byte(progressMark), data...)
	framed = binary.LittleEndian.AppendUint32(framed, castagnoli(framed))
	for _, b := range [][]byte{data, framed} {
		p, err := decodeProgress(b)
		if err != nil {
			continue
		}
		again, err := decodeProgress(p.encode())
		if err != nil || again.next != p.next || len(again.outstanding) != len(p.outstanding) {
			fail("decoded again it is %+v, %v, not %+v", again, err, p)
		}
		for _, g := range []*segment{{known: true}, {}} {
			if left := p.left(g, low, high); low < high && high < 1<<62 && (left < 0 || uint64(left) > high-low) {
				fail("%d are left of %d", left, high-low)
			}
		}
	}
}
