package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// progress is what was confirmed. It is written now and then, after the
// confirmation: when it is lost or damaged, entries are given out again.
//
// It speaks only of the segments that it names, with their markers, so that one
// that is older than the segments beside it says nothing wrong.
type progress struct {
	// next is the first number that was not yet taken; all before it that are not
	// outstanding are confirmed.
	next uint64
	// durable is the greatest number that was durable.
	durable uint64
	// outstanding are the numbers before next that are not confirmed, ascending.
	outstanding []uint64
	// segments are what is known of the segments, by their numbers.
	segments map[uint64]known
}

// known is what a progress file says of a segment.
type known struct {
	marker marker
	// doubtful is the segment's, which cannot be found out again once there are
	// newer segments.
	doubtful int64
}

const (
	progressName = "progress"
	progressTemp = "progress.new"
	progressMark = "AQSPROG1"
	// maxOutstanding bounds the file. With more, next is put before the rest.
	maxOutstanding = 1 << 16
	maxProgress    = 16 << 20
)

var errNoProgress = errors.New("the progress file is damaged")

func (p *progress) encode() []byte {
	b := []byte(progressMark)
	b = binary.LittleEndian.AppendUint64(b, p.next)
	b = binary.LittleEndian.AppendUint64(b, p.durable)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p.segments)))
	for number, k := range p.segments {
		b = binary.LittleEndian.AppendUint64(b, number)
		b = append(b, k.marker[:]...)
		b = binary.LittleEndian.AppendUint32(b, uint32(k.doubtful))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p.outstanding)))
	for _, seq := range p.outstanding {
		b = binary.LittleEndian.AppendUint64(b, seq)
	}
	return binary.LittleEndian.AppendUint32(b, castagnoli(b))
}

func decodeProgress(b []byte) (*progress, error) {
	body := len(b) - 4
	if body < len(progressMark)+24 || string(b[:len(progressMark)]) != progressMark ||
		binary.LittleEndian.Uint32(b[body:]) != castagnoli(b[:body]) {
		return nil, errNoProgress
	}
	rest := b[len(progressMark):body]
	p := &progress{
		next:     binary.LittleEndian.Uint64(rest),
		durable:  binary.LittleEndian.Uint64(rest[8:]),
		segments: map[uint64]known{},
	}
	count := uint64(binary.LittleEndian.Uint32(rest[16:]))
	rest = rest[20:]
	if uint64(len(rest)) < count*20+4 {
		return nil, errNoProgress
	}
	for range count {
		p.segments[binary.LittleEndian.Uint64(rest)] = known{
			marker: marker(rest[8:16]), doubtful: int64(binary.LittleEndian.Uint32(rest[16:])),
		}
		rest = rest[20:]
	}
	count = uint64(binary.LittleEndian.Uint32(rest))
	rest = rest[4:]
	if uint64(len(rest)) != count*8 {
		return nil, errNoProgress
	}
	for ; len(rest) > 0; rest = rest[8:] {
		p.outstanding = append(p.outstanding, binary.LittleEndian.Uint64(rest))
	}
	if !slices.IsSorted(p.outstanding) {
		return nil, errNoProgress
	}
	return p, nil
}

// tell puts into a segment what the progress says of it.
func (p *progress) tell(g *segment) {
	g.doubtful = maxSegment
	k, named := p.segments[g.number]
	if named && k.marker == g.marker {
		g.known, g.doubtful = true, k.doubtful
	}
}

// confirmed says whether an entry of a segment was confirmed.
func (p *progress) confirmed(g *segment, seq uint64) bool {
	return p.left(g, seq, seq+1) == 0
}

// left is how many entries of a segment with numbers from low to below high were
// not confirmed.
func (p *progress) left(g *segment, low, high uint64) int64 {
	if low >= high {
		return 0
	}
	if !g.known {
		return int64(high - low)
	}
	n := int64(0)
	if from := max(low, p.next); from < high {
		n = int64(high - from)
	}
	i, _ := slices.BinarySearch(p.outstanding, low)
	j, _ := slices.BinarySearch(p.outstanding, min(high, p.next))
	return n + int64(max(0, j-i))
}

// readProgress returns an empty progress when there is none that can be read.
func (s *Spool) readProgress() *progress {
	p, err := s.loadProgress()
	if errors.Is(err, fs.ErrNotExist) && len(s.segments) == 0 {
		return &progress{}
	}
	if err != nil {
		s.o.Log.Info("the spool's progress is not known, records may be shipped again", "reason", err.Error())
		return &progress{}
	}
	return p
}

func (s *Spool) loadProgress() (*progress, error) {
	f, err := s.o.FS.Open(filepath.Join(s.o.Dir, progressName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxProgress {
		return nil, errNoProgress
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); int64(n) < size {
		return nil, err
	}
	return decodeProgress(b)
}

// writeProgress replaces the progress file; a power cut leaves the old one or the
// new one, and only the new one when sync says so.
func (s *Spool) writeProgress(sync bool) error {
	b := s.progressNow().encode()
	temp := filepath.Join(s.o.Dir, progressTemp)
	_ = s.o.FS.Remove(temp)
	f, err := s.o.FS.Create(temp)
	if err != nil {
		return fmt.Errorf("writing the spool's progress: %w", err)
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = s.o.FS.Rename(temp, filepath.Join(s.o.Dir, progressName))
	}
	if sync && err == nil {
		err = s.o.FS.SyncDir(s.o.Dir)
	}
	if err != nil {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
		return fmt.Errorf("writing the spool's progress: %w", err)
	}
	return nil
}

func (s *Spool) progressNow() *progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = false
	p := &progress{
		next:     max(s.readNext, s.found.next),
		durable:  s.next - 1,
		segments: map[uint64]known{},
	}
	for _, g := range s.segments {
		if !g.gone {
			p.segments[g.number] = known{marker: g.marker, doubtful: g.doubtful}
		}
	}
	for seq := range s.taken {
		p.outstanding = append(p.outstanding, seq)
	}
	// What the last run had taken and this one did not yet come to.
	i, _ := slices.BinarySearch(s.found.outstanding, s.readNext)
	p.outstanding = append(p.outstanding, s.found.outstanding[i:]...)
	slices.Sort(p.outstanding)
	if len(p.outstanding) > maxOutstanding {
		p.next = p.outstanding[maxOutstanding]
		p.outstanding = p.outstanding[:maxOutstanding]
	}
	return p
}
