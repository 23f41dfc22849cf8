package spool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
)

// recover finds out what is in the folder.
func (s *Spool) recover(ctx context.Context) error {
	if err := s.list(); err != nil {
		return err
	}
	s.found = s.readProgress()
	s.next = max(1, s.found.durable+1)
	for i, g := range s.segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.found.tell(g)
		g.sealed = true
		s.number = g.number + 1
		if err := s.measure(g, i == len(s.segments)-1); err != nil {
			return err
		}
		s.bytes += g.size
		s.records += g.left
	}
	s.atOpen = s.records
	s.readNext = s.next
	for _, g := range s.segments {
		if g.left > 0 {
			s.readNext = g.first
			break
		}
	}
	if err := s.firstTime(); err != nil {
		return err
	}
	if last := len(s.segments) - 1; last >= 0 && s.segments[last].doubtful < s.segments[last].size {
		if err := s.writeProgress(true); err != nil {
			// A full disk, for one, must not keep from emptying the spool.
			s.o.Log.Error(err, "damage may later be reported as certain that is doubtful")
		}
	}
	if s.records > 0 {
		s.o.Log.Info("records were found in the spool", "records", s.records, "segments", len(s.segments), "bytes", s.bytes)
	}
	signal(s.swept)
	return nil
}

// list reads the names of the segments, removes what an earlier run left half
// done, and checks that each segment says where the one before it ends.
func (s *Spool) list() error {
	names, err := s.o.FS.Names(s.o.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == progressTemp || name == probeName {
			if err := s.o.FS.Remove(filepath.Join(s.o.Dir, name)); err != nil {
				return err
			}
			continue
		}
		g, err := parseName(name)
		if err != nil {
			return err
		}
		if g != nil {
			s.segments = append(s.segments, g)
		}
	}
	slices.SortFunc(s.segments, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	for i, g := range s.segments[:max(0, len(s.segments)-1)] {
		next := s.segments[i+1]
		if next.number == g.number || next.first < g.first {
			return fmt.Errorf("the segments %s and %s can't both be right", g.name(), next.name())
		}
		g.end = next.first
	}
	return nil
}

// measure finds out how much is in a segment; in the last one by reading it.
func (s *Spool) measure(g *segment, last bool) error {
	if g.gone {
		if last {
			s.next = max(s.next, g.first)
			g.end = s.next
		}
		return nil
	}
	file, err := s.o.FS.Open(g.path(s.o.Dir))
	if err != nil {
		return err
	}
	defer file.Close()
	if g.size, err = file.Size(); err != nil {
		return err
	}
	if last {
		if err := s.readLast(g, file); err != nil {
			return err
		}
	}
	g.left = s.found.left(g, g.first, g.end)
	return nil
}

// readLast reads the last segment: it alone can have an end that a crash tore.
func (s *Spool) readLast(g *segment, file File) error {
	scan := scanner{}
	scan.use(file, g.marker)
	in := stretch{to: g.size, after: g.first - 1, below: math.MaxUint64}
	// certain is the offset of the last write: all before it was durable. hole is
	// where the last stretch lies that is no frame.
	certain, hole := int64(0), int64(-1)
	var f finding
	var err error
	for {
		if f, err = scan.next(in); err != nil {
			return err
		}
		if !f.ok {
			break
		}
		if f.start > in.from {
			hole = in.from
		}
		certain = max(certain, int64(f.group))
		in.from, in.after = f.end, f.seq
	}
	g.end = in.after + 1
	if g.known && s.found.durable >= in.after {
		// The progress file has seen all this, and maybe more.
		g.end, certain, hole = max(g.end, s.found.durable+1), in.from, -1
	}
	switch {
	case g.end > in.after+1:
		g.end = max(g.end, f.broken+1)
	case in.from < g.size:
		torn, err := isTorn(file, in.from, g.size)
		if err != nil {
			return err
		}
		if torn || f.short {
			if err := s.cutTorn(g, file, in.from); err != nil {
				return err
			}
			break
		}
		g.end, hole = max(in.after+2, f.broken+1), in.from
	}
	if hole >= certain {
		g.doubtful = min(g.doubtful, certain)
	}
	s.next = max(s.next, g.end)
	// What a process that was killed had written may not be durable yet.
	return file.Sync()
}

func (s *Spool) cutTorn(g *segment, file File, at int64) error {
	s.o.Log.Info("the last write to the spool was torn by a crash and is cut off; it was never acknowledged",
		"segment", g.name(), "offset", at, "bytes", g.size-at)
	g.size = at
	return file.Truncate(at)
}

// isTorn tells the end of a write that a crash tore, from damage: it is shorter
// than any frame, or a sector of it was never written.
func isTorn(file io.ReaderAt, from, to int64) (bool, error) {
	const sector = 512
	if to-from < headerSize {
		return true, nil
	}
	b := make([]byte, readAhead)
	for at := from; at < to; {
		n := int(min(int64(len(b)), to-at))
		// From the second read on, all begins at a sector.
		n -= int((at + int64(n)) % sector)
		if n <= 0 {
			n = int(to - at)
		}
		if _, err := file.ReadAt(b[:n], at); err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		for rest := b[:n]; len(rest) > 0; {
			k := min(len(rest), sector-int(at%sector))
			// A sector of which only a few bytes are in the stretch tells nothing.
			if k >= sector/4 && len(bytes.Trim(rest[:k], "\x00")) == 0 {
				return true, nil
			}
			rest, at = rest[k:], at+int64(k)
		}
	}
	return false, nil
}

// firstTime reads when the oldest record was appended.
func (s *Spool) firstTime() error {
	g := s.segmentAfter(nil)
	if g == nil {
		return nil
	}
	file, err := s.o.FS.Open(g.path(s.o.Dir))
	if err != nil {
		return err
	}
	defer file.Close()
	scan := scanner{}
	scan.use(file, g.marker)
	f, err := scan.next(stretch{to: g.size, after: g.first - 1, below: g.end})
	s.readTime = f.appended
	return err
}
