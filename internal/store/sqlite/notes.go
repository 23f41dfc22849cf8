package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"auditquery.dev/auditquery/internal/store"
)

const (
	// notePrefix keeps the names of notes apart from what else is in meta.
	notePrefix = "note/"
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
	var value []byte
	err = s.read.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", notePrefix+name).Scan(&value)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.Note{}, nil
	case err != nil:
		return store.Note{}, failure(ctx, op, err)
	case len(value) < versionBytes:
		return store.Note{}, &store.Error{Reason: store.Conflict, Op: op,
			Message: fmt.Sprintf("the note %q has no version; another program wrote it", name)}
	}
	return store.Note{Version: hex.EncodeToString(value[:versionBytes]), Data: value[versionBytes:]}, nil
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
	var result sql.Result
	if version == "" {
		result, err = s.write.db.ExecContext(ctx,
			"INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", notePrefix+name, value)
	} else {
		// A version that is no hexadecimal number becomes NULL, which is
		// no note's version.
		result, err = s.write.db.ExecContext(ctx, "UPDATE meta SET value = ? WHERE name = ? AND substr(value, 1, ?) = unhex(?)",
			value, notePrefix+name, int64(versionBytes), version)
	}
	if err != nil {
		return "", failure(ctx, op, err)
	}
	changed, err := result.RowsAffected()
	if err != nil {
		return "", failure(ctx, op, err)
	}
	if changed == 0 {
		return "", &store.Error{Reason: store.Conflict, Op: op,
			Message: fmt.Sprintf("the note %q changed since it was read; read it again", name)}
	}
	return written, nil
}
