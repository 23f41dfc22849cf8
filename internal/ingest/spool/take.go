package spool

import (
	"bytes"
	"context"
	"fmt"
)

// Taken is an entry that was taken and waits to be confirmed.
type Taken struct {
	// Seq is its number, greater than those of all entries before it.
	Seq uint64
	// Data is the entry, the taker's own.
	Data []byte
}

// reader is where the reading stands.
type reader struct {
	// seg is nil before the first segment is open.
	seg  *segment
	file File
	scan scanner
	// off is the offset behind what was read, last the number of its last entry.
	off  int64
	last uint64
	// ended is the number that was next when all before it had been read. What was
	// read may still be in hand, so only collect may make it readNext: together
	// with what it gives out, or a progress in between calls that confirmed.
	ended uint64
}

func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
}

// Take waits until there is an entry that was not yet taken, and returns those
// that are there, the oldest first: at most maxEntries (at least 1), of at most
// maxBytes unless the first alone is larger. Several goroutines may take; each
// entry is given to one of them, and given again only by a Spool that is opened
// later, if it was not confirmed.
//
// It returns ErrClosed after Close, the context's error, the error of
// Options.Damaged, and those of reading the disk. The last two do not end
// anything: the next Take tries again.
func (s *Spool) Take(ctx context.Context, maxEntries, maxBytes int) ([]Taken, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.closing:
		return nil, ErrClosed
	}
	defer func() { <-s.turn }()
	for {
		select {
		case <-s.closing:
			return nil, ErrClosed
		default:
		}
		out, err := s.collect(ctx, max(1, maxEntries), maxBytes)
		if len(out) > 0 || err != nil {
			return out, err
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.closing:
			return nil, ErrClosed
		}
	}
}

// collect reads what is there. With an error it returns no entry; what it had
// found before the error is returned first, and the error by the next call.
func (s *Spool) collect(ctx context.Context, maxEntries, maxBytes int) (out []Taken, err error) {
	appended := make([]int64, 0, 64)
	size := 0
	var room block
	for len(out) < maxEntries && err == nil {
		if err = ctx.Err(); err != nil {
			break
		}
		var f finding
		var more bool
		if f, more, err = s.step(len(out) == 0); err != nil || !more {
			break
		}
		if !f.ok {
			continue
		}
		if len(out) > 0 && size+len(f.data) > maxBytes {
			break
		}
		s.reader.off, s.reader.last = f.end, f.seq
		if s.found.confirmed(s.reader.seg, f.seq) {
			continue
		}
		size += len(f.data)
		out = append(out, Taken{Seq: f.seq, Data: room.clone(f.data)})
		appended = append(appended, f.appended)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readNext = max(s.readNext, s.reader.last+1, s.reader.ended)
	for i, t := range out {
		s.taken[t.Seq] = appended[i]
		s.readTime = appended[i]
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, err
}

// block gives small entries that are taken together memory together: one for each
// is most of what taking costs. It is small, as an entry that has to wait keeps all
// of it.
type block struct{ free []byte }

func (b *block) clone(data []byte) []byte {
	const size, large = 16 << 10, 4 << 10
	if len(data) > large {
		return bytes.Clone(data)
	}
	if len(data) > len(b.free) {
		b.free = make([]byte, size)
	}
	n := copy(b.free, data)
	own := b.free[:n:n]
	b.free = b.free[n:]
	return own
}

// step finds the next entry, without going past it; more is false when there is
// none, and f.ok is when something else was gone past. Damage is told of only
// when alone says that nothing was collected before.
func (s *Spool) step(alone bool) (f finding, more bool, err error) {
	in, more, err := s.unread()
	if err != nil || !more {
		return f, false, err
	}
	r := &s.reader
	f, err = r.scan.next(in)
	if err != nil {
		return f, false, err
	}
	behind := in.below
	if f.ok {
		behind = f.seq
	}
	lost := s.found.left(r.seg, in.after+1, behind)
	switch {
	case lost == 0 && f.ok:
		return f, true, nil
	case lost == 0:
		// Only what was cut off, or confirmed, is there.
	case !alone:
		return f, false, nil
	default:
		if err := s.report(in, f.start, lost); err != nil {
			return f, false, err
		}
	}
	if f.ok {
		r.off, r.last = f.start, f.seq-1
	} else {
		r.off, r.last = in.to, behind-1
	}
	if lost > 0 {
		s.mu.Lock()
		s.settle(r.seg, lost)
		s.readNext = max(s.readNext, r.last+1)
		s.mu.Unlock()
	}
	f.ok = false
	return f, true, nil
}

// unread says what is to be read next, and opens its segment; false when all was
// read.
func (s *Spool) unread() (stretch, bool, error) {
	r := &s.reader
	for {
		s.mu.Lock()
		g := r.seg
		if g == nil || (g.sealed && r.last+1 >= g.end) {
			g = s.segmentAfter(g)
		}
		if g == nil || (g == r.seg && r.last+1 >= g.end) {
			r.ended = s.next
			s.mu.Unlock()
			return stretch{}, false, nil
		}
		in := stretch{from: r.off, to: g.size, after: r.last, below: g.end}
		if g == r.seg {
			s.mu.Unlock()
			return in, true, nil
		}
		name := g.path(s.o.Dir)
		s.mu.Unlock()
		if err := s.open(g, name); err != nil {
			return in, false, err
		}
	}
}

// segmentAfter is the next segment with something to read. Spool.mu is held.
func (s *Spool) segmentAfter(g *segment) *segment {
	for _, next := range s.segments {
		if (g == nil || next.number > g.number) && !next.gone && (next.left > 0 || !next.sealed) {
			return next
		}
	}
	return nil
}

// open begins to read a segment.
func (s *Spool) open(g *segment, name string) error {
	file, err := s.o.FS.Open(name)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if g.sealed && g.left == 0 {
			// It was empty, and was removed meanwhile.
			return nil
		}
		return fmt.Errorf("opening a segment of the spool: %w", err)
	}
	r := &s.reader
	r.close()
	r.seg, r.file, r.off, r.last = g, file, 0, g.first-1
	r.scan.use(file, g.marker)
	return nil
}

// report tells of damage between in.from and to.
func (s *Spool) report(in stretch, to, lost int64) error {
	r := &s.reader
	d := Damage{
		Segment: r.seg.name(), Offset: in.from, Length: to - in.from, Records: int(lost),
		Doubtful: in.from >= r.seg.doubtful,
	}
	d.Bytes = make([]byte, min(d.Length, MaxDamage))
	if n, err := r.file.ReadAt(d.Bytes, d.Offset); n < len(d.Bytes) {
		s.o.Log.Info("a damaged stretch of the spool can't be read whole", "reason", fmt.Sprint(err))
		d.Bytes = d.Bytes[:n]
	}
	s.o.Log.Error(nil, "records in the spool are damaged", "segment", d.Segment, "offset", d.Offset,
		"bytes", d.Length, "records", d.Records, "doubtful", d.Doubtful)
	if s.o.Damaged == nil {
		return nil
	}
	if err := s.o.Damaged(d); err != nil {
		return fmt.Errorf("setting damage of the spool aside: %w", err)
	}
	return nil
}
