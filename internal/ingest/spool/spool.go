package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sort"
	"sync"
	"time"
)

// Spool is a queue of entries on disk. All methods may be called by several
// goroutines.
type Spool struct {
	o    Options
	lock io.Closer
	// found is what the last run had confirmed.
	found *progress

	// turn is held by who reads; reader is theirs.
	turn   chan struct{}
	reader reader

	// Only the committer uses these.
	active *segment
	file   File
	number uint64

	wake    chan struct{} // tells the committer that something is queued
	more    chan struct{} // tells the reader that something was appended
	swept   chan struct{} // tells the housekeeper that a segment is confirmed
	closing chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	queue  []*waiting
	// pending is the bytes of all Appends that wait.
	pending int64
	// segments are all that exist, the oldest first.
	segments []*segment
	// next is the number that the next entry gets.
	next uint64
	// readNext is the first number that was not taken.
	readNext uint64
	// readTime is when, or a little before, that entry was appended.
	readTime int64
	// taken are the entries that were taken and not confirmed, and when they were
	// appended.
	taken map[uint64]int64
	// records are all that are not confirmed, atOpen how many were found.
	records, atOpen int64
	bytes           int64
	failure         error
	// dirty says that the progress file is older than the progress.
	dirty bool
	// unswept says that a segment could not be removed.
	unswept bool
}

// Open opens the spool in a folder, and takes the folder's lock: ErrLocked when
// somebody else has it. It reads the last segment whole and cuts off what a crash
// left half written. The context ends the opening only.
func Open(ctx context.Context, o Options) (*Spool, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := o.FS.MakeDir(o.Dir); err != nil {
		return nil, fmt.Errorf("making the spool's folder: %w", err)
	}
	lock, err := o.FS.Lock(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("locking the spool's folder: %w", err)
	}
	s := &Spool{
		o: o, lock: lock,
		turn:    make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
		more:    make(chan struct{}, 1),
		swept:   make(chan struct{}, 1),
		closing: make(chan struct{}),
		taken:   map[uint64]int64{},
	}
	if err := s.recover(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the spool: %w", err), lock.Close())
	}
	s.running.Go(s.commitAll)
	s.running.Go(s.keepHouse)
	return s, nil
}

// Confirm says that entries are safe elsewhere. Numbers that were not taken, or
// were confirmed before, are ignored. It does not wait for the disk.
func (s *Spool) Confirm(seqs ...uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, seq := range seqs {
		if _, taken := s.taken[seq]; !taken {
			continue
		}
		delete(s.taken, seq)
		s.settle(s.segmentOf(seq), 1)
	}
}

// settle takes records that are confirmed, or lost, off the account.
func (s *Spool) settle(g *segment, n int64) {
	g.left -= n
	s.records -= n
	s.dirty = true
	if g.left > 0 {
		return
	}
	if g.sealed {
		signal(s.swept)
	} else if s.full() {
		signal(s.wake)
	}
}

// segmentOf finds the segment of an entry that is not confirmed.
func (s *Spool) segmentOf(seq uint64) *segment {
	i := sort.Search(len(s.segments), func(i int) bool { return s.segments[i].first > seq })
	return s.segments[i-1]
}

// full says whether there is no room for an Append of middling size.
func (s *Spool) full() bool {
	return s.bytes+s.margin() > s.o.MaxBytes
}

// margin is what must be free so that the spool does not count as full.
func (s *Spool) margin() int64 { return min(1<<20, s.o.SegmentBytes) }

// Stats is the spool's state now.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Records: s.records, Found: s.atOpen,
		Bytes: s.bytes, MaxBytes: s.o.MaxBytes,
		FreePending: max(0, s.o.PendingBytes-s.pending),
		Full:        s.full() || errors.Is(s.failure, ErrFull),
		Failure:     s.failure,
	}
	for _, g := range s.segments {
		if !g.gone {
			st.Segments++
		}
	}
	if s.records == 0 {
		return st
	}
	oldest := int64(0)
	if s.readNext < s.next {
		oldest = s.readTime
	}
	for _, appended := range s.taken {
		if oldest == 0 || appended < oldest {
			oldest = appended
		}
	}
	if oldest != 0 {
		st.OldestAppended = time.UnixMicro(oldest)
	}
	return st
}

// Close writes what waits, ends all Takes, writes down what was confirmed and
// gives the folder up. Nothing may be confirmed any more.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.closing)
	s.mu.Unlock()
	s.running.Wait()
	s.turn <- struct{}{}
	s.reader.close()
	s.sweep()
	err := s.writeProgress(true)
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
	}
	return errors.Join(err, s.lock.Close())
}

// signal wakes who waits on the channel; a signal that was not read yet is enough.
func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}
