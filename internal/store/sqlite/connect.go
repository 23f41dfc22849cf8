package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

const (
	// A record touches a page of each of a dozen indices, and each touched
	// page is written whole: larger pages would write more, and read no faster.
	pageBytes = 4096
	// The writer touches the end of every index; readers share what they
	// read with the operating system's cache. Both in KiB, per connection.
	writerCacheKiB = 64 << 10
	readerCacheKiB = 16 << 10
	// checkpointPages is the length of the log at which it is copied into the
	// file: 64 MiB. SQLite's own 1,000 pages are less than one transaction of
	// ours, and each copy writes every touched page of every index.
	checkpointPages = 64 << 20 / pageBytes
	logBytes        = 128 << 20
)

// connect opens the writer's only connection and the readers' pool.
func connect(ctx context.Context, o Options) (writer, reader *sql.DB, err error) {
	if o.Path == "" {
		return nil, nil, invalid(opOpen, errors.New("no path was given"))
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, nil, err
	}
	// SQLite gives the log and the index of the log the mode of the file.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if err := file.Close(); err != nil {
		return nil, nil, err
	}
	writer, err = pool(path, 1, url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			busyPragma(o.BusyTimeout),
			// These two must come before the first table, and before WAL.
			fmt.Sprintf("page_size(%d)", pageBytes),
			"auto_vacuum(INCREMENTAL)",
			"journal_mode(WAL)",
			"synchronous(FULL)",
			// What is erased is overwritten in the pages that are written
			// anyway; Reclaim gives the others back. So nothing of it stays.
			"secure_delete(FAST)",
			fmt.Sprintf("cache_size(-%d)", writerCacheKiB),
			fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages),
			fmt.Sprintf("journal_size_limit(%d)", logBytes),
		},
	})
	if err != nil {
		return nil, nil, err
	}
	if err := prepareFile(ctx, writer); err != nil {
		return nil, nil, errors.Join(err, writer.Close())
	}
	reader, err = pool(path, o.Readers, url.Values{"_pragma": {
		busyPragma(o.BusyTimeout),
		"query_only(1)",
		fmt.Sprintf("cache_size(-%d)", readerCacheKiB),
	}})
	if err != nil {
		return nil, nil, errors.Join(err, writer.Close())
	}
	if err := reader.PingContext(ctx); err != nil {
		return nil, nil, errors.Join(err, reader.Close(), writer.Close())
	}
	return writer, reader, nil
}

func busyPragma(d time.Duration) string {
	return fmt.Sprintf("busy_timeout(%d)", d.Milliseconds())
}

// pool returns connections to a file. None is opened yet.
func pool(path string, size int, parameters url.Values) (*sql.DB, error) {
	name := url.URL{Scheme: "file", Path: path, RawQuery: parameters.Encode()}
	connector, err := driver.NewConnector(name.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// prepareFile waits for the file, as another process may just be making it, and
// brings its tables up to date.
func prepareFile(ctx context.Context, writer *sql.DB) error {
	var mode string
	for attempt := 0; ; attempt++ {
		err := writer.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode)
		if err == nil {
			break
		}
		// Two that switch a new file to WAL at once are not made to wait for
		// each other: one is refused without the busy timeout.
		if !isBusy(err) || attempt == 50 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	if mode != "wal" {
		return fmt.Errorf("journal mode is %q: %w", mode, errNoWAL)
	}
	return migrate(ctx, writer)
}

func isBusy(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == codes.SQLITE_BUSY
}
