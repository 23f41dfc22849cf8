package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// readAhead is how much a scanner reads at once, unless a frame is larger.
	readAhead = 256 << 10
	// keepBuffer is the largest buffer that is kept for the next frame.
	keepBuffer = 1 << 20
)

// scanner finds the frames of one segment.
type scanner struct {
	file   io.ReaderAt
	marker marker
	// buf holds the file's bytes from offset at on.
	buf []byte
	at  int64
}

// stretch is the part of a segment that a scanner looks through.
type stretch struct {
	// from is where to begin, to where to end.
	from, to int64
	// after is the number of the last frame before from; frames that are to be
	// found have a greater one, less than below.
	after, below uint64
}

// finding is the next frame of a stretch, or that there is none.
type finding struct {
	header
	// ok says that there is one.
	ok bool
	// data is its entry, until the scanner is used again.
	data []byte
	// start is where it begins, or where the stretch ends in which there is none.
	// What lies between the beginning and start is damaged.
	start int64
	// end is the offset behind it.
	end int64
	// broken is the greatest number of the frames before start of which only the
	// header is whole, 0 for none.
	broken uint64
	// short says that a frame before start would go on behind the end.
	short bool
}

// next looks for the next whole frame. Its errors are those of reading.
func (s *scanner) next(in stretch) (finding, error) {
	none := finding{start: in.to, end: in.to}
	at := in.from
	for at+headerSize <= in.to {
		h, whole, err := s.header(at, in)
		if err != nil {
			return none, err
		}
		if !whole {
			if at, err = s.seek(at+1, in.to); err != nil {
				return none, err
			}
			continue
		}
		if h.seq >= in.below {
			// From here on lies what was cut off but could not be removed.
			none.start, none.end = at, at
			return none, nil
		}
		end := at + headerSize + int64(h.length)
		if end > in.to {
			none.short = true
			none.broken = h.seq
			if at, err = s.seek(at+1, in.to); err != nil {
				return none, err
			}
			continue
		}
		window, err := s.window(at, int(end-at), in.to)
		if err != nil {
			return none, err
		}
		data := window[headerSize : end-at]
		if castagnoli(data) == h.sum {
			return finding{header: h, ok: true, data: data, start: at, end: end, broken: none.broken}, nil
		}
		none.broken = h.seq
		in.after = h.seq
		at = end
	}
	return none, nil
}

// header reads the header at an offset; false when there is none that can be one
// of the frames to be found.
func (s *scanner) header(at int64, in stretch) (header, bool, error) {
	b, err := s.window(at, headerSize, in.to)
	if err != nil {
		return header{}, false, err
	}
	h, whole := parseHeader(b, s.marker)
	return h, whole && h.seq > in.after && h.length <= MaxEntry, nil
}

// seek looks for the marker; it returns to when there is none.
func (s *scanner) seek(at, to int64) (int64, error) {
	for at+headerSize <= to {
		n := int(min(int64(readAhead), to-at))
		b, err := s.window(at, n, to)
		if err != nil {
			return to, err
		}
		if i := bytes.Index(b[:n], s.marker[:]); i >= 0 {
			return at + int64(i), nil
		}
		at += int64(n - len(s.marker) + 1)
	}
	return to, nil
}

// window returns at least n bytes of the file from offset at on, which must not
// reach behind to.
func (s *scanner) window(at int64, n int, to int64) ([]byte, error) {
	if at >= s.at && at+int64(n) <= s.at+int64(len(s.buf)) {
		return s.buf[at-s.at:], nil
	}
	size := max(n, int(min(int64(readAhead), to-at)))
	if cap(s.buf) < size || cap(s.buf) > max(size, keepBuffer) {
		s.buf = make([]byte, size)
	}
	s.buf = s.buf[:size]
	s.at = at
	read, err := s.file.ReadAt(s.buf, at)
	if err != nil && !errors.Is(err, io.EOF) {
		s.buf = s.buf[:0]
		return nil, fmt.Errorf("reading a segment of the spool: %w", err)
	}
	// Somebody shortened the file: what is missing is damaged.
	clear(s.buf[read:])
	return s.buf, nil
}

// use begins with another file, and keeps the buffer's memory.
func (s *scanner) use(file io.ReaderAt, m marker) {
	s.file, s.marker, s.buf, s.at = file, m, s.buf[:0], 0
}
