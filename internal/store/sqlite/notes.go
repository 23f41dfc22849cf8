package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"

	"auditquery.dev/auditquery/internal/store"
)

const (
	// notePrefix keeps the names of notes apart from what else is in meta.
	notePrefix = "note/"
	// markPrefix keeps the names of the notes that were ever written, in rows of
	// their own, so that one that is lost is not taken for one that never was.
	markPrefix = "noted/"
	// versionBytes is the length of a note's version, which stands before its
	// data. It is random: a counter would begin to repeat itself when the
	// file is replaced by an older copy.
	versionBytes = 16
)

// ReadNote returns a note, and the zero Note when there is none.
func (s *Store) ReadNote(ctx context.Context, name string) (store.Note, error) {
	const op = "read a note"
	ctx, done, err := s.begin(ctx, op)
	if err != nil {
		return store.Note{}, err
	}
	defer done()
	if err := store.CheckNote(op, name, nil); err != nil {
		return store.Note{}, err
	}
	value, marked, err := readNote(ctx, s.read.db, name)
	switch {
	case err != nil:
		return store.Note{}, failure(ctx, op, err)
	case value == nil && marked:
		return store.Note{}, lostNote(op, name)
	case value == nil:
		return store.Note{}, nil
	case len(value) < versionBytes:
		return store.Note{}, &store.Error{Reason: store.Conflict, Op: op,
			Message: fmt.Sprintf("the note %q has no version; another program wrote it", name)}
	}
	return store.Note{Version: hex.EncodeToString(value[:versionBytes]), Data: value[versionBytes:]}, nil
}

// readNote returns the row of a note, nil for none, and whether there ever was one.
func readNote(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, name string) (value []byte, marked bool, err error) {
	// One statement sees one state of the file.
	err = db.QueryRowContext(ctx, "SELECT (SELECT value FROM meta WHERE name = ?), EXISTS (SELECT 1 FROM meta WHERE name = ?)",
		notePrefix+name, markPrefix+name).Scan(&value, &marked)
	return value, marked, err
}

func lostNote(op, name string) error {
	return &store.Error{Reason: store.Conflict, Op: op,
		Message: fmt.Sprintf("the note %s is lost; restore the file from a backup, or accept the loss by deleting the row %s%[1]s of its table meta",
			name, markPrefix)}
}

// WriteNote replaces a note of a version, or makes it where the version is empty.
// The error is a Conflict when the note has another version or is there already.
func (s *Store) WriteNote(ctx context.Context, name string, data []byte, version string) (string, error) {
	const op = "write a note"
	ctx, done, err := s.begin(ctx, op)
	if err != nil {
		return "", err
	}
	defer done()
	if err := store.CheckNote(op, name, data); err != nil {
		return "", err
	}
	value := make([]byte, versionBytes, versionBytes+len(data))
	_, _ = rand.Read(value) // never fails
	written := hex.EncodeToString(value)
	value = append(value, data...)
	if err := s.writeNote(ctx, name, value, version); err != nil {
		return "", failure(ctx, op, err)
	}
	return written, nil
}

// writeNote writes a note and its mark, or neither.
func (s *Store) writeNote(ctx context.Context, name string, value []byte, version string) error {
	const op = "write a note"
	tx, err := s.write.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing once it is committed
	var result sql.Result
	if version == "" {
		found, marked, err := readNote(ctx, tx, name)
		if err != nil {
			return err
		}
		if found == nil && marked {
			return lostNote(op, name) // it is not made anew, as if nothing had been in it
		}
		result, err = tx.ExecContext(ctx,
			"INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", notePrefix+name, value)
		if err != nil {
			return err
		}
	} else {
		// A version that is no hexadecimal number becomes NULL, which is
		// no note's version.
		result, err = tx.ExecContext(ctx, "UPDATE meta SET value = ? WHERE name = ? AND substr(value, 1, ?) = unhex(?)",
			value, notePrefix+name, int64(versionBytes), version)
		if err != nil {
			return err
		}
	}
	changed, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if changed == 0 {
		return &store.Error{Reason: store.Conflict, Op: op,
			Message: fmt.Sprintf("the note %q changed since it was read; read it again", name)}
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES (?, x'') ON CONFLICT (name) DO NOTHING", markPrefix+name)
	if err != nil {
		return err
	}
	return tx.Commit()
}
