package spool

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// keepHouse removes what is confirmed, writes the progress down, and tries a disk
// that failed.
func (s *Spool) keepHouse() {
	write := time.NewTicker(s.o.ProgressEvery)
	defer write.Stop()
	probe := time.NewTicker(s.o.ProbeEvery)
	defer probe.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-s.swept:
			s.sweep()
		case <-write.C:
			s.mu.Lock()
			dirty, unswept := s.dirty, s.unswept
			s.mu.Unlock()
			if unswept {
				s.sweep()
			}
			if !dirty {
				continue
			}
			if err := s.writeProgress(false); err != nil {
				s.o.Log.Error(err, "the spool's progress is not written down")
			}
		case <-probe.C:
			s.probe()
		}
	}
}

// probe tries whether a disk that failed takes writes again, so that who waits
// for the spool to be usable before they send anything does not wait for ever.
func (s *Spool) probe() {
	s.mu.Lock()
	failure := s.failure
	s.mu.Unlock()
	if failure == nil {
		return
	}
	name := filepath.Join(s.o.Dir, probeName)
	_ = s.o.FS.Remove(name)
	f, err := s.o.FS.Create(name)
	if err != nil {
		return
	}
	_, err = f.WriteAt(make([]byte, s.margin()), 0)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close(), s.o.FS.Remove(name))
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == failure { //nolint:errorlint // it asks whether this very failure is still the last
		s.failure = nil
	}
}

const probeName = "probe"

// sweep removes the sealed segments of which all is confirmed. One that has older
// ones before it leaves a placeholder, an empty file, because its first number
// tells where the records of the segment before it end. Only one goroutine sweeps
// at a time.
func (s *Spool) sweep() {
	removed := false
	for {
		victim, before := s.victim()
		if victim == nil {
			break
		}
		if err := s.discard(victim, before); err != nil {
			s.o.Log.Error(err, "a segment of the spool that is confirmed can't be removed", "segment", victim.name())
			s.mu.Lock()
			s.unswept = true
			s.mu.Unlock()
			return
		}
		removed = true
	}
	if !removed {
		return
	}
	err := s.o.FS.SyncDir(s.o.Dir)
	if err != nil {
		s.o.Log.Error(err, "syncing the spool's folder failed")
	}
	s.mu.Lock()
	s.unswept = false
	s.mu.Unlock()
}

// victim is the first segment to remove: one that is confirmed, or a placeholder
// that nobody needs. before is the one before it, nil for none.
func (s *Spool) victim() (victim, before *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		needless := g.gone && (before == nil || before.gone)
		if needless || (!g.gone && g.sealed && g.left == 0) {
			return g, before
		}
		before = g
	}
	return nil, nil
}

func (s *Spool) discard(g, before *segment) error {
	name := g.path(s.o.Dir)
	whole := before == nil || before.gone
	if whole {
		if err := s.o.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	} else if err := s.hollow(g, name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= g.size
	g.size, g.gone = 0, true
	if whole {
		s.segments = slices.DeleteFunc(s.segments, func(other *segment) bool { return other == g })
	}
	return nil
}

// hollow makes a segment a placeholder. It is renamed first, for good: an empty
// segment would look like one that lost its records.
func (s *Spool) hollow(g *segment, name string) error {
	placeholder := filepath.Join(s.o.Dir, g.base()+goneSuffix)
	// A try that failed at the next step has renamed it.
	if err := s.o.FS.Rename(name, placeholder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.o.FS.SyncDir(s.o.Dir); err != nil {
		return err
	}
	f, err := s.o.FS.Open(placeholder)
	if err == nil {
		err = errors.Join(f.Truncate(0), f.Close())
	}
	if err != nil {
		s.o.Log.Error(err, "the space of a segment is kept until the older ones are confirmed", "segment", g.base())
	}
	return nil
}
