package record

import (
	"bytes"
	"errors"
	"io"
)

const (
	// lineAhead is how far the end of a line is looked for before its first
	// value is read on its own.
	lineAhead = 64 << 10
	// smallBuffer is what a body needs whose values are small.
	smallBuffer = 16 << 10
)

// lineBuffer holds what was read of a body and is not used yet.
type lineBuffer struct {
	reader io.Reader
	// offset is that of the first unread byte in the body.
	offset int64
	buffer []byte
	start  int
	// searched of the unread bytes are known to hold no line's end.
	searched int
	// err is what the reader said last.
	err error
}

func (b *lineBuffer) unread() []byte { return b.buffer[b.start:] }

// drop goes on after the first size unread bytes.
func (b *lineBuffer) drop(size int) {
	b.start += size
	b.offset += int64(size)
	b.searched = max(0, b.searched-size)
}

// fill reads more. It fails when there is no more.
func (b *lineBuffer) fill() error {
	if b.err != nil {
		return b.err
	}
	b.makeRoom()
	const patience = 100 // as bufio has with readers that give nothing
	for range patience {
		n, err := b.reader.Read(b.buffer[len(b.buffer):cap(b.buffer)])
		b.buffer, b.err = b.buffer[:len(b.buffer)+n], err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	b.err = io.ErrNoProgress
	return b.err
}

// makeRoom makes sure of room behind what is unread. Bytes that trickle in are not
// moved for each of them, and the buffer of a large value is not kept.
func (b *lineBuffer) makeRoom() {
	unread := b.unread()
	switch room := cap(b.buffer); {
	case len(unread) == 0 && room >= smallBuffer && room <= 4*smallBuffer:
		b.buffer = b.buffer[:0]
	case len(unread) == 0:
		b.buffer = make([]byte, 0, smallBuffer)
	case len(b.buffer) < room:
		return
	case len(unread) <= room/2:
		b.buffer = b.buffer[:copy(b.buffer, unread)]
	default:
		b.buffer = append(make([]byte, 0, 2*room), unread...)
	}
	b.start = 0
}

// Read gives what is unread to whoever reads all the rest.
func (b *lineBuffer) Read(p []byte) (int, error) {
	if len(b.unread()) == 0 {
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.unread())
	b.drop(n)
	return n, nil
}

// skipSpace goes on to the first byte that is no space.
func (b *lineBuffer) skipSpace() error {
	for {
		unread := b.unread()
		rest := bytes.TrimLeft(unread, " \t\r\n")
		b.drop(len(unread) - len(rest))
		if len(rest) > 0 {
			return nil
		}
		if err := b.fill(); err != nil {
			return err
		}
	}
}

// line returns the rest of the line, without its end, and whether that is whole:
// it is not when there is more of it than lineAhead, or the reader fails.
func (b *lineBuffer) line() (line []byte, whole bool, err error) {
	for {
		unread := b.unread()
		if i := bytes.IndexByte(unread[b.searched:], '\n'); i >= 0 {
			return unread[:b.searched+i], true, nil
		}
		b.searched = len(unread)
		if len(unread) >= lineAhead {
			return unread, false, nil
		}
		if err := b.fill(); err != nil {
			return b.unread(), errors.Is(err, io.EOF), err // fill may have moved it
		}
	}
}

// dropLine goes on at the end of the line, however far that is.
func (b *lineBuffer) dropLine() error {
	for {
		unread := b.unread()
		if i := bytes.IndexByte(unread, '\n'); i >= 0 {
			b.drop(i)
			return nil
		}
		b.drop(len(unread))
		if err := b.fill(); err != nil {
			return err
		}
	}
}

// lineFeed gives a decoder the unread bytes of a lineBuffer, which keeps them, a
// line at a time: so no more is read than it needs.
type lineFeed struct {
	lines *lineBuffer
	given int
	limit int
	// atLimit is what the decoder gets after limit bytes.
	atLimit error
	// failed is the reader's own error.
	failed error
}

func (f *lineFeed) Read(p []byte) (int, error) {
	if f.given >= f.limit {
		return 0, f.atLimit
	}
	if f.given == len(f.lines.unread()) {
		if err := f.lines.fill(); err != nil {
			if !errors.Is(err, io.EOF) {
				f.failed = err
			}
			return 0, err
		}
	}
	rest := f.lines.unread()[f.given:]
	rest = rest[:min(len(rest), f.limit-f.given)]
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i+1]
	}
	n := copy(p, rest)
	f.given += n
	return n, nil
}
