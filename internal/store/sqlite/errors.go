package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"time"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"auditquery.dev/auditquery/internal/store"
)

const (
	opOpen   = "open the database"
	opAppend = "append records"

	// retryAfter is when to ask again: what passes by itself passes quickly.
	retryAfter = time.Second
	// retryRepair is when to ask again if someone must act first.
	retryRepair = 30 * time.Second
)

var (
	errClosed = errors.New("the store is closed")
	errNoWAL  = errors.New("the file system does not support SQLite's write-ahead log")
	// errDisorder guards what SQLite does but does not promise, see
	// pageStatement.
	errDisorder = errors.New("the database returned rows out of order")
)

// failure turns any error of an operation into a *store.Error. The message never
// has the cause's text, which may name paths.
func failure(ctx context.Context, op string, err error) error {
	var known *store.Error
	if errors.As(err, &known) {
		return known
	}
	e := &store.Error{Reason: store.Unavailable, Op: op, RetryAfter: retryAfter, Err: err}
	var coded *driver.Error
	switch {
	case errors.Is(err, errClosed), errors.Is(context.Cause(ctx), errClosed), errors.Is(err, sql.ErrConnDone):
		e.Message = "the store is closed"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded):
		e.Reason, e.Message, e.RetryAfter = store.Timeout, "the deadline passed; ask for a narrower window or a rarer value", 0
		e.Err = errors.Join(context.DeadlineExceeded, err)
	case errors.Is(err, context.Canceled), errors.Is(ctx.Err(), context.Canceled):
		e.Reason, e.Message, e.RetryAfter = store.Timeout, "the caller went away", 0
		e.Err = errors.Join(context.Canceled, err)
	case errors.As(err, &coded):
		e.Message, e.RetryAfter = describe(coded.Code())
	case errors.Is(err, fs.ErrNotExist):
		e.Message, e.RetryAfter = "the directory of the database file does not exist", retryRepair
	case errors.Is(err, fs.ErrPermission):
		e.Message, e.RetryAfter = "permission to open the database file is denied", retryRepair
	case errors.Is(err, errNoWAL), errors.Is(err, errDisorder):
		e.Message, e.RetryAfter = err.Error(), retryRepair
	default:
		e.Message = "the database failed"
	}
	return e
}

// describe says what an SQLite result code means for an operator.
func describe(code int) (string, time.Duration) {
	switch code & 0xff { // the rest of the code is detail
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return "another process holds the database file", retryAfter
	case codes.SQLITE_FULL:
		return "the disk is full", retryRepair
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return "the database file is damaged or not a database; restore it from a copy", retryRepair
	case codes.SQLITE_CANTOPEN, codes.SQLITE_PERM, codes.SQLITE_READONLY, codes.SQLITE_AUTH:
		return "the database file cannot be opened for writing", retryRepair
	case codes.SQLITE_IOERR:
		return "reading or writing the database file failed", retryRepair
	case codes.SQLITE_NOMEM:
		return "out of memory", retryAfter
	case codes.SQLITE_INTERRUPT:
		return "the statement was interrupted", retryAfter
	default:
		if text, ok := driver.ErrorCodeString[code&0xff]; ok {
			return text, retryAfter
		}
		return "the database failed", retryAfter
	}
}

// invalid is a question that can never be answered as it is.
func invalid(op string, err error) error {
	return &store.Error{Reason: store.Invalid, Op: op, Message: err.Error(), Err: err}
}
