// Package sqlite is the embedded store: one SQLite file for one process on one
// host, read and written by several goroutines.
//
// The file is in WAL mode, so that readers and the writer do not wait for each
// other, and every acknowledged record was synced to it (synchronous=FULL): the
// senders of audit records forget what we acknowledged, so a power cut must not.
//
// Filters become SQL in compile.go, drive.go decides which index a query walks,
// page.go writes the statements. All three are pure. erase.go erases in bounded
// transactions, and reclaim.go gives the space back.
package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"sync"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// Options say which file to open and how much to spend on it.
type Options struct {
	// Path is the file's path. It is made when absent, for its owner only;
	// its directory must be there. Beside it lie PATH-wal and PATH-shm.
	Path string
	// Readers is how many queries run at once; others wait. 0 means 4.
	Readers int
	// BusyTimeout is how long a write waits for another process that writes,
	// unless its context ends earlier. 0 means 5 s.
	BusyTimeout time.Duration
}

const (
	defaultReaders     = 4
	defaultBusyTimeout = 5 * time.Second
	// cursorKeyBytes is the length of the key that signs cursors.
	cursorKeyBytes = 32
)

// Store is an open file. Its methods may be called from several goroutines.
type Store struct {
	layouts map[record.Kind]*layout
	readers int
	read    *statements
	write   *statements
	// maxStretch is the constant of this name, but in tests.
	maxStretch int

	// closing ends with Close, and with it every operation that runs.
	closing context.Context
	close   context.CancelFunc
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

var (
	_ store.Reader         = (*Store)(nil)
	_ store.BatchReader    = (*Store)(nil)
	_ store.Writer         = (*Store)(nil)
	_ store.PreparedWriter = (*Store)(nil)
	_ store.Deleter        = (*Store)(nil)
	_ store.Notebook       = (*Store)(nil)
)

// Open opens the file, making it or bringing its tables up to date when needed.
// The error is a *store.Error: Conflict for a file that is not ours or of a newer
// version, Unavailable for one that cannot be used now.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Readers <= 0 {
		o.Readers = defaultReaders
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = defaultBusyTimeout
	}
	writer, reader, err := connect(ctx, o)
	if err != nil {
		return nil, failure(ctx, opOpen, err)
	}
	s := &Store{layouts: layouts(), readers: o.Readers, read: newStatements(reader), write: newStatements(writer), maxStretch: maxStretch}
	s.closing, s.close = context.WithCancel(context.Background())
	return s, nil
}

// Close ends running operations, which fail as Unavailable, waits for them and
// closes the file. Closing again does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	s.close()
	s.running.Wait()
	// The writer is last: the last connection of all puts the log into the
	// file, which a reader may not do.
	if err := errors.Join(s.read.close(), s.write.close()); err != nil {
		return failure(context.Background(), "close", err)
	}
	return nil
}

// begin registers an operation. Its context also ends when the store is closed;
// done must be called when it is over.
func (s *Store) begin(ctx context.Context, op string) (context.Context, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, failure(ctx, op, errClosed)
	}
	s.running.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.closing, func() { cancel(errClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		s.running.Done()
	}, nil
}

// CursorKey returns the key that signs cursors, 32 random bytes. It is made on
// the first call and kept in the file.
func (s *Store) CursorKey(ctx context.Context) ([]byte, error) {
	const op = "read the cursor key"
	ctx, done, err := s.begin(ctx, op)
	if err != nil {
		return nil, err
	}
	defer done()
	key, err := s.meta(ctx, "cursor-key", func() []byte {
		key := make([]byte, cursorKeyBytes)
		_, _ = rand.Read(key) // never fails
		return key
	})
	if err != nil {
		return nil, failure(ctx, op, err)
	}
	return key, nil
}

// meta returns the value of a name, made on the first call.
func (s *Store) meta(ctx context.Context, name string, initial func() []byte) ([]byte, error) {
	var value []byte
	row := s.read.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", name)
	err := row.Scan(&value)
	if !errors.Is(err, sql.ErrNoRows) {
		return value, err
	}
	// Of two that make it at once the first stands, and both return it.
	row = s.write.db.QueryRowContext(ctx,
		"INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value RETURNING value",
		name, initial())
	err = row.Scan(&value)
	return value, err
}
