package spool

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// waiting is a batch that waits to be durable.
type waiting struct {
	batch *Batch
	size  int64
	// taken says that the committer has it, so that its fate must be awaited.
	// Guarded by Spool.mu.
	taken bool
	done  chan error
}

// Append returns nil when all of the batch is durable. On an error nothing of it
// is in the spool: ErrFull, ErrBusy, ErrTooLarge, ErrClosed, the context's own, or
// what the disk said. The batch must not be touched until Append has returned, and
// may be reset and filled again afterwards.
//
// All batches that wait at the same time are made durable by one sync. A context
// that ends is heeded only while the batch still waits for its turn.
func (s *Spool) Append(ctx context.Context, b *Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.err != nil {
		return b.err
	}
	if b.n == 0 {
		return nil
	}
	w := &waiting{batch: b, size: int64(len(b.buf)), done: make(chan error, 1)}
	if w.size > maxSegment {
		return fmt.Errorf("%w: a batch of %d bytes", ErrTooLarge, w.size)
	}
	if err := s.enqueue(w); err != nil {
		return err
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
	}
	if s.withdraw(w) {
		return ctx.Err()
	}
	return <-w.done
}

func (s *Spool) enqueue(w *waiting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.pending > 0 && s.pending+w.size > s.o.PendingBytes {
		return ErrBusy
	}
	s.pending += w.size
	s.queue = append(s.queue, w)
	signal(s.wake)
	return nil
}

// withdraw takes a batch out of the queue; false when the committer has it.
func (s *Spool) withdraw(w *waiting) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.taken {
		return false
	}
	s.queue = slices.DeleteFunc(s.queue, func(other *waiting) bool { return other == w })
	s.pending -= w.size
	return true
}

// commitAll is the committer: the only one that writes segments.
func (s *Spool) commitAll() {
	for {
		group, refused, closed := s.group()
		for _, w := range refused {
			w.done <- ErrFull
		}
		switch {
		case len(group) > 0:
			err := s.commit(group)
			for _, w := range group {
				w.done <- err
			}
		case len(refused) > 0:
		case closed:
			return
		default:
			select {
			case <-s.wake:
			case <-s.closing:
			}
		}
	}
}

// group takes from the queue what goes into the active segment, at least one
// batch, and what there is no room for.
func (s *Spool) group() (group, refused []*waiting, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active != nil && s.full() && s.active.left == 0 && s.active.size > 0 {
		// All of it is confirmed: sealed, it can be removed.
		s.sealActive()
	}
	room, size := s.o.SegmentBytes, int64(0)
	if s.active != nil && s.active.size < room {
		room -= s.active.size
	}
	n := 0
	for _, w := range s.queue {
		if size >= room {
			break
		}
		n++
		w.taken = true
		if s.bytes+size+w.size > s.o.MaxBytes {
			refused = append(refused, w)
			s.pending -= w.size
			continue
		}
		group = append(group, w)
		size += w.size
	}
	s.queue = slices.Delete(s.queue, 0, n)
	return group, refused, s.closed
}

// commit makes a group durable, or returns why nothing of it is.
func (s *Spool) commit(group []*waiting) error {
	size, n := int64(0), 0
	for _, w := range group {
		size += w.size
		n += w.batch.n
	}
	now := s.o.Now().UnixMicro()
	err := s.write(group, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.failure == nil {
		s.o.Log.Error(err, "appending to the spool failed", "records", n, "bytes", size)
	}
	s.pending -= size
	s.failure = err
	if err != nil {
		return err
	}
	if s.readNext == s.next {
		s.readTime = now
	}
	s.next += uint64(n)
	s.records += int64(n)
	s.bytes += size
	s.active.end = s.next
	s.active.left += int64(n)
	s.active.size += size
	s.dirty = true
	signal(s.more)
	return nil
}

// write writes a group behind what is durable and syncs it. After a failed sync
// nobody knows what of the file is on disk, and the next sync of it would not
// tell: so the group goes into a new segment.
func (s *Spool) write(group []*waiting, now int64) error {
	var err error
	for range 2 {
		if err = s.ready(); err != nil {
			return diskError(err)
		}
		if err = s.put(group, now); err != nil {
			err = diskError(err)
			s.cutBack()
			return err
		}
		if err = s.file.Sync(); err == nil {
			return nil
		}
		err = diskError(err)
		s.o.Log.Error(err, "syncing a segment of the spool failed", "segment", s.active.name())
		s.abandon()
	}
	return err
}

func (s *Spool) put(group []*waiting, now int64) error {
	at := s.active.size
	h := header{seq: s.next, appended: now, group: uint32(at)}
	for _, w := range group {
		w.batch.number(h, s.active.marker)
		if _, err := s.file.WriteAt(w.batch.buf, at); err != nil {
			return err
		}
		h.seq += uint64(w.batch.n)
		at += w.size
	}
	return nil
}

// cutBack takes back a write that failed, so that nothing of it can come back
// after a crash.
func (s *Spool) cutBack() {
	err := s.file.Truncate(s.active.size)
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		s.o.Log.Error(err, "cutting a segment of the spool back failed", "segment", s.active.name())
		s.abandon()
	}
}

// abandon seals the active segment at its durable length. When it can't be cut
// back, the first number of the next one tells what of it counts.
func (s *Spool) abandon() {
	_ = s.file.Truncate(s.active.size)
	g := s.active
	s.mu.Lock()
	s.sealActive()
	if g.size == 0 {
		s.segments = slices.DeleteFunc(s.segments, func(other *segment) bool { return other == g })
	}
	s.mu.Unlock()
	if g.size == 0 {
		_ = s.o.FS.Remove(g.path(s.o.Dir))
	}
}

// sealActive ends the active segment. Spool.mu is held.
func (s *Spool) sealActive() {
	s.active.sealed = true
	if s.active.left == 0 {
		signal(s.swept)
	}
	// Every byte that counts was synced.
	_ = s.file.Close()
	s.active, s.file = nil, nil
}

// ready makes sure that there is an active segment with room in it.
func (s *Spool) ready() error {
	s.mu.Lock()
	if s.active != nil && s.active.size >= s.o.SegmentBytes {
		s.sealActive()
	}
	g := &segment{number: s.number, first: s.next, end: s.next, doubtful: maxSegment}
	s.mu.Unlock()
	if s.active != nil {
		return nil
	}
	s.number++
	if _, err := rand.Read(g.marker[:]); err != nil {
		return err
	}
	name := filepath.Join(s.o.Dir, g.name())
	file, err := s.o.FS.Create(name)
	if err != nil {
		return err
	}
	if err := s.o.FS.SyncDir(s.o.Dir); err != nil {
		return errors.Join(err, file.Close(), s.o.FS.Remove(name))
	}
	s.active, s.file = g, file
	s.mu.Lock()
	s.segments = append(s.segments, g)
	s.mu.Unlock()
	return nil
}

// diskError marks a disk without room.
func diskError(err error) error {
	if outOfSpace(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("writing to the spool: %w", err)
}
