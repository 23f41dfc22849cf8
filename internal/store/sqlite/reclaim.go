package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// reclaimPages is how many free pages one step gives back: 2 MiB. The only writer
// is held for as long as it takes to move as many others into their places.
const reclaimPages = 512

// Reclaim gives the pages that erasing left free back to the disk, until none is
// left or ctx ends, which is no error. Each step is a transaction of its own, and
// after it the writer is left to others for as long as it took.
//
// The file itself shrinks when the log is copied into it: at the end of Reclaim
// where no reader is in the way, otherwise with the next writes.
func (s *Store) Reclaim(ctx context.Context) error {
	const op = "give space back"
	ctx, done, err := s.begin(ctx, op)
	if err != nil {
		return err
	}
	defer done()
	err = s.reclaim(ctx)
	if err == nil || (ctx.Err() != nil && !errors.Is(context.Cause(ctx), errClosed)) {
		return nil
	}
	return failure(ctx, op, err)
}

func (s *Store) reclaim(ctx context.Context) error {
	for before := int64(-1); ; {
		free, err := s.pragma(ctx, "freelist_count")
		if err != nil {
			return err
		}
		// Not fewer than before: another process erases, or the file is
		// one that can't shrink. The next call goes on.
		if free == 0 || (before >= 0 && free >= before) {
			return s.checkpoint(ctx)
		}
		before = free
		begin := time.Now()
		if _, err := s.write.db.ExecContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", reclaimPages)); err != nil {
			return err
		}
		if err := pause(ctx, time.Since(begin)); err != nil {
			return err
		}
	}
}

func (s *Store) pragma(ctx context.Context, name string) (int64, error) {
	var value int64
	err := s.read.db.QueryRowContext(ctx, "PRAGMA "+name).Scan(&value)
	return value, err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// checkpoint copies the log into the file, and empties it if no one reads from
// it now. It never waits for readers: the writer would wait with it.
func (s *Store) checkpoint(ctx context.Context) (err error) {
	conn, err := s.write.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var patience int64
	if err := conn.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&patience); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
		return err
	}
	defer func() {
		// Also when ctx ended: the connection goes back to the writers.
		_, restored := conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("PRAGMA busy_timeout = %d", patience))
		err = errors.Join(err, restored)
	}()
	_, err = conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}
